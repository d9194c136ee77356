"""A set of objects from the states of an encoder: a Transformer decoder with one learned query per object (DETR)."""

from __future__ import annotations

import math
from typing import Final, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.models.config import Section, check_divides
from heedful.models.encoders import Encoder, States
from heedful.models.heads import HeadOutput
from heedful.nn.linear import Linear
from heedful.nn.transformer import TransformerDecoderLayer
from heedful.ops.grid import Grid
from heedful.ops.masks import Padding

FREQUENCIES: Final = 6
"""Waves that a coordinate is written in, the shortest of 1/32 of the image."""


class ObjectsConfig(Section):
    """Decoder of object queries, matching and loss. The defaults suit some ten objects and thousands of images."""

    queries: int = Field(
        12, ge=1, description="Object queries: the most objects that an image can have."
    )
    start: Literal["cells", "learned"] = Field(
        "cells",
        description="Where the queries start. cells: at what the most promising cells of the image predict, which are "
        "trained too; learned: each at a learned place of its own, as always where the encoder knows no rows and "
        "columns.",
    )
    cell_matches: int = Field(
        4, ge=1, description="Cells that learn from each object, for start = cells."
    )
    groups: int = Field(
        1,
        ge=1,
        description="Groups of queries in training, each matched on its own; only the first predicts. More groups "
        "may learn from fewer images.",
    )
    layers: int = Field(3, ge=1, description="Layers of the decoder.")
    heads: int = Field(4, ge=1, description="Attention heads; must divide the width of the states.")
    feed_forward: int = Field(256, ge=1, description="Hidden features of the feed-forward layers.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout probability of the decoder.")
    no_object: float = Field(
        0.1, gt=0, description="Weight of the label 'no object', which most queries have."
    )
    label_cost: float = Field(1.0, ge=0, description="Weight of the label in matching and loss.")
    distance_cost: float = Field(
        5.0, ge=0, description="Weight of the L1 distance of boxes in matching and loss."
    )
    overlap_cost: float = Field(
        2.0,
        ge=0,
        description="Weight of the generalized intersection over union in matching and loss.",
    )


class ObjectSets(NamedTuple):
    """What a `QueryHead` predicts."""

    scores: Tensor
    """(layers, batch, queries, labels + 1 + 4): after each layer of the decoder, the last one last."""
    cells: Tensor | None
    """(batch, length, labels + 1 + 4): of each cell, if the queries start at cells."""
    weights: Tensor | None
    """(batch, heads, queries, length) of the last layer, if requested."""


class QueryHead(nn.Module):
    r"""Labels and boxes of a fixed number of object queries (Carion et al. 2020, https://arxiv.org/abs/2005.12872).

    The learned queries are the inputs of a pre-norm Transformer decoder whose memory is the states of the encoder.
    A linear map gives the logits of each query's label, the last of them "no object", and three layers its box:
    center x, center y, width and height in shares of the image.

    Each query has a learned reference box, and each layer moves the box of the one before,

    .. math:: b_l = \sigma(\sigma^{-1}(b_{l-1}) + \Delta_l)

    without a gradient through :math:`b_{l-1}` (Zhu et al. 2021, https://arxiv.org/abs/2010.04159). The coordinates of
    that box are added to the query, and those of its cell to each state, as sines and cosines under a linear map, so
    that a query can attend by place (Liu et al. 2022, https://arxiv.org/abs/2201.12329).

    If queries start at cells, each cell predicts a label and a box from its state; the reference boxes are those of the
    most probable cells, and a linear map of their states is added to the learned queries (the "two-stage" variant of
    Zhu et al. 2021).

    With a grid a head attends more to what lies near the center of that box, measured in its width and height: to the
    scores it adds

    .. math:: -\beta \left( \frac{(x - c_x)^2}{w^2} + \frac{(y - c_y)^2}{h^2} \right)

    with a learned :math:`\beta > 0` for each layer and head (Gao et al. 2021, https://arxiv.org/abs/2101.07448).

    In training there may be several groups of queries, which do not see each other; each is matched with all objects
    (Chen et al. 2023, https://arxiv.org/abs/2207.13085). Later only the first is there.

    Args:
        config: sizes.
        encoder: the encoder of the states; with a grid its cells have places.
        labels: number of labels, without "no object".

    Returns scores of (layers, batch, queries, labels + 1 + 4): the output after each layer of the decoder, the last
    layer last; the box in the last four. In training the queries of all groups, one group after the other. Weights, if
    requested, are those of the last layer, (batch, heads, queries, length).

    Raises: OptionError if the heads do not divide the width of the states.

    >>> from heedful.models.encoders.local import NoContextConfig, NoContextEncoder
    >>> encoder = NoContextEncoder(NoContextConfig(hidden=8), 4)
    >>> head = QueryHead(ObjectsConfig(queries=5, heads=2, groups=4), encoder, 3)
    >>> states = encoder(torch.ones(2, 9, 4), torch.tensor([9, 4]))
    >>> head(states).scores.shape, head.eval()(states).scores.shape
    (torch.Size([3, 2, 20, 8]), torch.Size([3, 2, 5, 8]))
    """

    places: Tensor

    def __init__(self, config: ObjectsConfig, encoder: Encoder, labels: int):
        super().__init__()
        width = encoder.width
        check_divides("objects.heads", config.heads, "the width of the states", width)
        self.count, self.groups = config.queries, config.groups
        in_all = config.queries * config.groups
        self.queries = nn.Parameter(torch.randn(in_all, width) * 0.1)
        self.query_place = Linear(2 * FREQUENCIES * 4, width)
        self.state_place: Linear | None = None
        if encoder.grid is not None:
            self.state_place = Linear(2 * FREQUENCIES * 2, width)
            self.register_buffer("places", cell_centers(encoder.grid), persistent=False)
            spread = torch.linspace(-0.5, 2.0, config.heads).repeat(config.layers, 1)
            self.nearness = nn.Parameter(spread)
        self.layers = nn.ModuleList(
            TransformerDecoderLayer(
                width, config.heads, config.feed_forward, dropout=config.dropout
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.prediction = ObjectPrediction(width, labels)
        self.cells: ObjectPrediction | None = None
        if config.start == "cells" and encoder.grid is not None:
            if encoder.grid.length < config.queries:
                raise OptionError(
                    f"objects.queries is {config.queries}, but the image has {encoder.grid.length} cells to start at; "
                    "set fewer queries, a smaller patch (--patch), or objects.start=learned"
                )
            self.cells = ObjectPrediction(width, labels)
            self.from_cell = Linear(width, width)
        else:
            reference = reference_boxes(config.queries).repeat(config.groups, 1)
            self.reference = nn.Parameter(torch.logit(reference))

    def forward(
        self, states: States, *, key_bias: Tensor | None = None, return_weights: bool = False
    ) -> HeadOutput:
        """Predict the objects of each image; `key_bias` (batch, length) is added to the scores of the states."""
        found = self.find(states, key_bias=key_bias, return_weights=return_weights)
        return HeadOutput(found.scores, found.weights)

    def find(
        self, states: States, *, key_bias: Tensor | None = None, return_weights: bool = False
    ) -> ObjectSets:
        """As `forward`, with what the cells predict."""
        memory = states.values
        if self.state_place is not None:
            memory = memory + self.state_place(waves(self.places).to(memory.dtype))
        count = len(self.queries) if self.training else self.count
        output = self.queries[:count].expand(memory.shape[0], -1, -1)
        if self.cells is None:
            cells, reference = None, self.reference[:count].expand(memory.shape[0], -1, -1)
        else:
            cells, content, reference = self._start(self.cells, states.values, count)
            output = output + content
        mask, weights, outputs = Padding(states.lengths), None, []
        group = torch.arange(count, device=memory.device) // self.count
        own = None if count == self.count else group[:, None] == group
        memory_bias = None if key_bias is None else key_bias[:, None, None]
        for number, layer in enumerate(self.layers):
            box = reference.sigmoid()
            output, weights, _ = layer(
                output + self.query_place(waves(box)),
                memory=memory,
                mask=own,
                memory_mask=mask,
                memory_bias=self._near(number, box, memory_bias),
                return_weights=return_weights,
            )
            normed = self.norm(output)
            scores, moved = self.prediction(normed, reference)
            outputs.append(scores)
            reference = moved.detach()
        return ObjectSets(torch.stack(outputs), cells, weights)

    def _start(
        self, predict: ObjectPrediction, states: Tensor, count: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the cells predict, and content and reference of `count` queries from the most probable ones."""
        sizes = torch.full_like(self.places, 1 / 3)
        reference = torch.logit(torch.cat([self.places, sizes], dim=-1)).to(states.dtype)
        scores, boxes = predict(states, reference)
        nothing = scores[..., :-4].float().softmax(-1)[..., -1]
        best = nothing.topk(self.count, largest=False).indices.repeat(1, count // self.count)
        rows = torch.arange(best.shape[0], device=best.device)[:, None]
        return scores, self.from_cell(states[rows, best]), boxes[rows, best].detach()

    def _near(self, layer: int, box: Tensor, bias: Tensor | None) -> Tensor | None:
        """Return what is added to the scores of a layer: the bias, and what is less far from the box."""
        if self.state_place is None:
            return bias
        offset = (self.places - box[..., None, :2]) / box[..., None, 2:].clamp(min=1e-3)
        far = offset.square().sum(-1).clamp(max=1e4)[:, None]  # (batch, 1, queries, length)
        near = -F.softplus(self.nearness[layer])[:, None, None] * far
        return near if bias is None else near + bias


class ObjectPrediction(nn.Module):
    """Label and box of each state: (..., width) and reference boxes as logits -> scores, and the box as logits.

    >>> scores, box = ObjectPrediction(8, 3)(torch.ones(2, 5, 8), torch.zeros(5, 4))
    >>> scores.shape, bool((box == 0).all())
    (torch.Size([2, 5, 8]), True)
    """

    def __init__(self, width: int, labels: int):
        super().__init__()
        # Apart, so that the weights of more labels begin with those of fewer.
        self.label, self.nothing = Linear(width, labels), Linear(width, 1)
        self.box = nn.Sequential(
            Linear(width, width), nn.ReLU(), Linear(width, width), nn.ReLU(), Linear(width, 4)
        )
        last = self.box[-1]
        assert isinstance(last, Linear)
        # A box begins at its reference.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, states: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        box = reference + self.box(states)
        scores = torch.cat([self.label(states), self.nothing(states), box.sigmoid()], dim=-1)
        return scores, box


def reference_boxes(count: int) -> Tensor:
    """Return boxes (count, 4) of a third of the image's height and width, their centers spread evenly over it.

    The centers are those of the R2 sequence, whose first n points leave no large hole for any n.

    >>> [[round(x, 2) for x in box] for box in reference_boxes(2).tolist()]
    [[0.5, 0.5, 0.33, 0.33], [0.25, 0.07, 0.33, 0.33]]
    """
    plastic = 1.3247179572447460  # the real root of x³ = x + 1
    step = torch.tensor([1 / plastic, 1 / plastic**2], dtype=torch.float64)
    centers = (0.5 + torch.arange(count)[:, None] * step) % 1
    return torch.cat([centers, torch.full((count, 2), 1 / 3)], dim=1).float()


def cell_centers(grid: Grid) -> Tensor:
    """Return x and y of the center of each position, in shares of the image: (length, 2); the middle for a prefix.

    >>> cell_centers(Grid(1, 2, prefix=1)).tolist()
    [[0.5, 0.5], [0.25, 0.5], [0.75, 0.5]]
    """
    index = torch.arange(grid.length)
    _, rows, columns = grid.axes(index)
    centers = torch.stack([(columns + 0.5) / grid.columns, (rows + 0.5) / grid.rows], dim=1)
    return torch.where(grid.is_cell(index)[:, None], centers, 0.5)


def waves(coordinates: Tensor) -> Tensor:
    """Return sine and cosine of each coordinate from 0 to 1 in `FREQUENCIES` waves: (..., n) -> (..., 2·n·waves)."""
    frequency = math.pi * 2 ** torch.arange(FREQUENCIES, device=coordinates.device)
    angle = (coordinates[..., None] * frequency).flatten(-2)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
