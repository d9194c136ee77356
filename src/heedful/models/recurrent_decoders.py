"""Recurrent decoders: base classes, fixed context vector, and Luong attention."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from heedful.nn.attention import Attention
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear
from heedful.nn.recurrent import (
    Hidden,
    States,
    as_hidden,
    build_layers,
    from_hidden,
)
from heedful.nn.recurrent_precision import recurrent_precision
from heedful.nn.scanned import one_step
from heedful.ops.masks import Dense
from heedful.ops.scores import PreparedKey


class Memory(Protocol):
    """Encoded source, shared by all decoder steps."""

    def select(self, index: Tensor) -> Self:
        """Return the memory of the batch rows `index`, in that order."""
        ...


@dataclass(frozen=True, eq=False)
class FixedContext:
    """One vector for the whole source: (batch, width)."""

    context: Tensor

    def select(self, index: Tensor) -> FixedContext:
        """Return the context of the batch rows `index`."""
        return FixedContext(self.context.index_select(0, index))


@dataclass(frozen=True, eq=False)
class AttendedMemory:
    """Keys (prepared once for all steps), values and padding mask of the source positions."""

    key: PreparedKey
    values: Tensor
    mask: Dense
    bias: Tensor | None
    """(batch, 1, source), added to the scores, or None."""

    def select(self, index: Tensor) -> AttendedMemory:
        """Return the memory of the batch rows `index`."""
        return AttendedMemory(
            self.key.with_features(self.key.features.index_select(0, index)),
            self.values.index_select(0, index),
            Dense(self.mask.keep.index_select(0, index)),
            None if self.bias is None else self.bias.index_select(0, index),
        )


class RecurrentOutput(NamedTuple):
    """Output of a decoder for one or more target positions."""

    states: Tensor
    """(batch, target, width), after the readout."""
    hidden: Hidden
    """The recurrent state after the last position: (layers, batch, hidden), one or (h, c)."""
    weights: Tensor | None
    """(batch, 1 layer, 1 head, target, source), or None."""


class Readout(nn.Module):
    """The layer before the output layer.

    "tanh": tanh(W [p₁; p₂; …] + b), which for [c; h] is Luong's attentional vector (2015, eq. 5);
    "maxout": the elementwise maximum of two linear maps (Goodfellow et al. 2013), as in Bahdanau et al. 2015,
    appendix A.2.2.
    """

    def __init__(self, inputs: int, width: int, kind: str, dropout: float) -> None:
        super().__init__()
        self.kind = kind
        self.linear = Linear(inputs, width * (2 if kind == "maxout" else 1))
        self.dropout = Dropout(dropout)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, *parts: Tensor) -> Tensor:
        """Combine parts (batch, target, part width) to (batch, target, width)."""
        mixed: Tensor = self.linear(torch.cat(parts, dim=-1))
        if self.kind == "maxout":
            mixed = mixed.view(*mixed.shape[:-1], -1, 2).amax(dim=-1)
        else:
            mixed = torch.tanh(mixed)
        dropped: Tensor = self.dropout(mixed)
        return dropped


@dataclass(frozen=True)
class DecoderSizes:
    """Sizes and options of a recurrent decoder."""

    cell: str
    embedding: int
    memory: int
    hidden: int
    layers: int
    readout: str
    dropout: float


class RecurrentDecoder(nn.Module, abc.ABC):
    """A decoder that reads embedded target tokens (batch, target, embedding), any number at a time."""

    layers: nn.RNNBase

    @abc.abstractmethod
    def prepare(self, encoded: States, bias: Tensor | None = None) -> Memory:
        """Precompute what all steps need of the source; `bias` (batch, source) is added to attention scores."""

    @abc.abstractmethod
    def forward(
        self, embedded: Tensor, hidden: Hidden, memory: Memory, *, return_weights: bool = False
    ) -> RecurrentOutput:
        """Read the embedded tokens in order, starting from `hidden`."""

    def _run_layers(self, inputs: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        """Run PyTorch's fused layers: (batch, target, features) -> (batch, target, hidden), final state."""
        if torch.compiler.is_exporting():
            return one_step(self.layers, inputs, hidden)
        inputs, precision = recurrent_precision(inputs, self.layers.all_weights[0][0])
        with precision:
            outputs, final = self.layers(inputs, from_hidden(hidden))
        return outputs, as_hidden(final)


class FixedContextDecoder(RecurrentDecoder):
    """Decoder without attention, conditioned on one source vector (Sutskever et al. 2014, Cho et al. 2014).

    h_t = cell([e_t; c], h_{t-1}),  state_t = readout(h_t, c, e_t), with c the final encoder state.
    Without `feed_context`, c only sets the initial state and both formulas omit it.
    """

    def __init__(self, sizes: DecoderSizes, *, feed_context: bool) -> None:
        super().__init__()
        context = sizes.memory if feed_context else 0
        self.feed_context = feed_context
        self.layers = build_layers(
            sizes.cell,
            sizes.embedding + context,
            sizes.hidden,
            layers=sizes.layers,
            dropout=sizes.dropout,
        )
        inputs = sizes.hidden + sizes.embedding + context
        self.readout = Readout(inputs, sizes.embedding, sizes.readout, sizes.dropout)
        self.dropout = Dropout(sizes.dropout)

    def prepare(self, encoded: States, bias: Tensor | None = None) -> FixedContext:
        """Return the final state of the last encoder layer; `bias` has no effect."""
        return FixedContext(self.dropout(encoded.summary[0][-1]))

    def forward(
        self, embedded: Tensor, hidden: Hidden, memory: Memory, *, return_weights: bool = False
    ) -> RecurrentOutput:
        """Read all tokens in one call of the fused layers; there are no weights to return."""
        assert isinstance(memory, FixedContext)
        inputs = [embedded]
        if self.feed_context:
            inputs.append(memory.context.unsqueeze(1).expand(-1, embedded.shape[1], -1))
        outputs, final = self._run_layers(torch.cat(inputs, dim=-1), hidden)
        return RecurrentOutput(self.readout(outputs, *inputs), final, None)


class AttentionDecoder(RecurrentDecoder):
    """Base class of decoders with attention over a memory that is prepared once.

    For scores that need queries and keys of equal size (dot, scaled dot, cosine, Gaussian), the linear layer `resize`
    maps keys of another size to that of the queries; values are unchanged.
    """

    def __init__(self, attention: Attention, resize: nn.Linear | None, sizes: DecoderSizes) -> None:
        super().__init__()
        self.attention = attention
        self.resize = resize
        self.dropout = Dropout(sizes.dropout)

    def prepare(self, encoded: States, bias: Tensor | None = None) -> AttendedMemory:
        """Prepare the keys and the padding mask of the source."""
        # Attention computes in full precision; under autocast this casts once instead of at each step.
        precision = self.layers.all_weights[0][0].dtype
        values = self.dropout(encoded.values).to(precision)
        key = self.attention.prepare(values if self.resize is None else self.resize(values))
        positions = torch.arange(values.shape[1], device=values.device)
        keep = positions < encoded.lengths.to(values.device).unsqueeze(1)
        key = key.with_features(key.features.to(precision))
        row_bias = None if bias is None else bias.unsqueeze(1)
        return AttendedMemory(key, values, Dense(keep.unsqueeze(1)), row_bias)


class LuongDecoder(AttentionDecoder):
    """Attention after the recurrence (Luong et al. 2015): all target positions at once in training.

    h_t = cell(e_t, h_{t-1}),  c_t = attention(h_t, memory),  state_t = readout(c_t, h_t)
    = tanh(W [c_t; h_t]). There is no input feeding, which would need a loop over positions.
    """

    def __init__(self, attention: Attention, resize: nn.Linear | None, sizes: DecoderSizes) -> None:
        super().__init__(attention, resize, sizes)
        self.layers = build_layers(
            sizes.cell, sizes.embedding, sizes.hidden, layers=sizes.layers, dropout=sizes.dropout
        )
        inputs = sizes.memory + sizes.hidden
        self.readout = Readout(inputs, sizes.embedding, sizes.readout, sizes.dropout)

    def forward(
        self, embedded: Tensor, hidden: Hidden, memory: Memory, *, return_weights: bool = False
    ) -> RecurrentOutput:
        """Read all tokens in one call of the fused layers and one of attention."""
        assert isinstance(memory, AttendedMemory)
        outputs, final = self._run_layers(embedded, hidden)
        attended = self.attention(
            outputs,
            memory.key,
            memory.values,
            mask=memory.mask,
            bias=memory.bias,
            return_weights=return_weights,
        )
        weights = None if attended.weights is None else attended.weights[:, None, None]
        return RecurrentOutput(self.readout(attended.output, outputs), final, weights)
