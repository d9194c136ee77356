"""Base class of encoders: embedded tokens and lengths -> states."""

from __future__ import annotations

import abc
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from heedful.errors import OptionError, ShapeError
from heedful.models.config import Section
from heedful.nn.recurrent import States
from heedful.ops.grid import Grid
from heedful.ops.masks import Edges

__all__ = [
    "UNBOUNDED", "Context", "Encoder", "EncoderConfig", "GraphEdges", "States", "real_tokens",
]  # fmt: skip


class GraphEdges(NamedTuple):
    """The edges of a batch of padded graphs."""

    edge_index: Tensor | Edges
    """(2, edges), long: row 0 the source, row 1 the target; node i of graph g has number g · length + i. Or `Edges`
    made of it, which are sorted once however often they are used."""
    features: Tensor | None = None
    """(edges, edge features)."""

    def among(self, nodes: int) -> Edges:
        """Return the edges among so many nodes, which all layers share, so that they are sorted once."""
        index = self.edge_index
        return index if isinstance(index, Edges) else Edges(index, nodes, nodes)


class EncoderConfig(Section):
    """Base class of encoder configurations. A subclass narrows `kind` to a Literal of the encoder's names."""

    kind: str


class Context(NamedTuple):
    """How many positions before and after it a state depends on; None: on any number, or on its own place.

    >>> Context(3, 0).after
    0
    """

    before: int | None
    after: int | None


UNBOUNDED = Context(None, None)


class Encoder(nn.Module, abc.ABC):
    """Maps token features to contextual states.

    `encoder(inputs, lengths)` takes right-padded inputs (batch, length, input_width) and lengths (batch,) of at
    least 1. It returns `States`: values (batch, length, width), zero at padding; the lengths; and a summary of each
    sequence, a tuple whose first entry is (layers, batch, width): the final states of recurrent layers, or else the
    mean of the values as one layer.

    Outputs do not depend on the inputs at padding.

    >>> from heedful.models.encoders import ENCODERS, ENCODER_CONFIGS
    >>> encoder = ENCODERS["window"](ENCODER_CONFIGS["window"](size=1, hidden=6), 4)
    >>> values, lengths, summary = encoder(torch.ones(2, 3, 4), torch.tensor([3, 1]))
    >>> values.shape, summary[0].shape, bool(values[1, 1:].any())
    (torch.Size([2, 3, 6]), torch.Size([1, 2, 6]), False)
    """

    configuration: ClassVar[type[EncoderConfig]]
    """Class of the first constructor argument; its `kind` lists the encoder's names."""
    input_width: int
    width: int
    """Features of a state."""
    has_attention: bool = False
    """Whether the encoder has attention weights."""
    reads_grid: ClassVar[bool] = False
    """Whether the constructor takes `grid`, the `Grid` of inputs that are the cells of an image, or None."""
    reads_edges: ClassVar[bool] = False
    """Whether the constructor takes `edge_width`, the features of an edge of a graph or 0, and calls take edges."""
    further_hops: ClassVar[int] = 0
    """Edges beyond its layers that states depend on, of an encoder with `reads_edges`; 1 for one that counts the
    neighbours of neighbours."""
    grid: Grid | None = None
    """The grid that the constructor was given: its inputs are whole images, without padding."""
    whole_width: int = 0
    """Features of the whole sequence that the input has beside those of its positions, for the head; 0: none."""
    summary_is_last_state: bool = False
    """Whether the summary is the final states of recurrent layers, not the mean of the values."""

    def __init__(self, input_width: int, width: int):
        super().__init__()
        self.input_width, self.width = input_width, width

    def forward(self, inputs: Tensor, lengths: Tensor, edges: GraphEdges | None = None) -> States:
        """Encode inputs (batch, length, input_width) of the given lengths (batch,), with the edges of graphs."""
        if inputs.ndim != 3 or inputs.shape[2] != self.input_width:
            raise ShapeError(
                f"inputs have shape {tuple(inputs.shape)}; expected (batch, length, {self.input_width})."
            )
        if lengths.shape != inputs.shape[:1]:
            raise ShapeError(
                f"lengths have shape {tuple(lengths.shape)}; expected ({inputs.shape[0]},), one per sequence."
            )
        if self.grid is not None:
            check_whole(inputs, lengths, self.grid)
            states = self.encode(inputs, lengths)
            return States(states, lengths, self.summarize(states, lengths))
        real = real_tokens(inputs.shape[1], lengths)
        # Not a product: padding may hold NaN.
        clean = inputs.masked_fill(~real, 0.0)
        encoded = self.encode(clean, lengths) if edges is None else self.encode_graphs(clean, edges)
        values = encoded.masked_fill(~real, 0.0)
        return States(values, lengths, self.summarize(values, lengths))

    @abc.abstractmethod
    def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return states (batch, length, width), arbitrary at padding, of inputs that are zero at padding."""

    def encode_graphs(self, inputs: Tensor, edges: GraphEdges) -> Tensor:
        """Return states as `encode` does, of graphs with the given edges, if `reads_edges`.

        Raises: OptionError otherwise.
        """
        raise OptionError(
            f"{type(self).__name__} has no use for the edges of graphs; leave them out."
        )

    @property
    def context(self) -> Context:
        """How far a state sees; default: unbounded."""
        return UNBOUNDED

    def summarize(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Return the mean over each sequence, as one layer."""
        if self.grid is not None:  # without padding
            return (values.mean(dim=1)[None],)
        mean = values.sum(dim=1) / lengths[:, None].to(values.dtype)
        return (mean[None],)


def check_whole(inputs: Tensor, lengths: Tensor, grid: Grid) -> None:
    """Raise ShapeError unless every sequence is a whole grid; lengths on an accelerator, or traced, are not read."""
    can_read = lengths.is_cpu and not torch.compiler.is_exporting()
    if inputs.shape[1] != grid.length or (can_read and int(lengths.min()) < grid.length):
        raise ShapeError(
            f"inputs have {inputs.shape[1]} positions and lengths {lengths.tolist()[:5]}; expected {grid.length}, "
            f"those of {grid}."
        )


def real_tokens(length: int, lengths: Tensor) -> Tensor:
    """Return True for tokens and False for padding: (batch, length, 1).

    >>> real_tokens(3, torch.tensor([2])).flatten().tolist()
    [True, True, False]
    """
    return (torch.arange(length, device=lengths.device) < lengths[:, None])[..., None]
