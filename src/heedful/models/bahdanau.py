"""The recurrent decoder with attention in Bahdanau's order."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from heedful.models import bahdanau_sequence as whole
from heedful.models.recurrent_decoders import (
    AttendedMemory,
    AttentionDecoder,
    DecoderSizes,
    Memory,
    Readout,
    Stepped,
)
from heedful.nn.attention import Attention
from heedful.nn.recurrent import CELLS, CellStep, Hidden, build_layers
from heedful.nn.recurrent_precision import recurrent_precision
from heedful.nn.scores import AdditiveScore
from heedful.ops.finite import is_eager
from heedful.ops.normalizers import Softmax
from heedful.ops.observe import Observed, current_observer
from heedful.ops.products import linear


def _layers_first(per_layer: list[Hidden]) -> Hidden:
    """A hidden state for each layer -> one with the layers as its first axis."""
    return tuple(torch.stack(parts) for parts in zip(*per_layer, strict=True))


class _Steps(NamedTuple):
    """What the recurrence made of some target positions, before the readout."""

    tops: Tensor
    """(batch, target, hidden), the states of the last layer."""
    contexts: Tensor
    """(batch, target, memory width)."""
    weights: Tensor | None
    """(batch, target, source), or None."""
    hidden: Hidden
    """The recurrent state after the last position: (layers, batch, hidden), one or (h, c)."""


class BahdanauDecoder(AttentionDecoder):
    """Attention before the recurrence (Bahdanau et al. 2015): the context enters the cell, step by step.

    c_t = attention(h_{t-1}, memory),  h_t = cell([e_t; c_t], h_{t-1}),  state_t = readout(h_t, c_t, e_t).
    The query is the state before of the last layer. The readout is the paper's deep output with h_t for
    its h_{t-1}, so that what the cell has just made of the context counts.

    One layer with additive attention under softmax runs as one function with a backward pass of its own,
    `heedful.models.bahdanau_sequence`, faster and with less kept, unless `as_one_function` is False.
    """

    as_one_function = True

    def __init__(self, attention: Attention, resize: nn.Linear | None, sizes: DecoderSizes) -> None:
        super().__init__(attention, resize, sizes)
        # PyTorch's layers own the parameters; the loop calls the same cells one step at a time.
        self.layers = build_layers(
            sizes.cell, sizes.embedding + sizes.memory, sizes.hidden, layers=sizes.layers
        )
        self.cell = sizes.cell
        self.cell_step: CellStep = CELLS[sizes.cell].step
        inputs = sizes.hidden + sizes.memory + sizes.embedding
        self.split = [sizes.embedding, sizes.memory]
        self.readout = Readout(inputs, sizes.embedding, sizes.readout, sizes.dropout)

    def forward(
        self, embedded: Tensor, hidden: Hidden, memory: Memory, *, return_weights: bool = False
    ) -> Stepped:
        """Read the tokens one after the other."""
        assert isinstance(memory, AttendedMemory)
        inputs, precision = recurrent_precision(embedded, self.layers.all_weights[0][0])
        with precision:
            steps = self._steps(inputs, hidden, memory, return_weights)
        weights = None if steps.weights is None else steps.weights[:, None, None]
        return Stepped(self.readout(steps.tops, steps.contexts, embedded), steps.hidden, weights)

    def _steps(
        self, embedded: Tensor, hidden: Hidden, memory: AttendedMemory, return_weights: bool
    ) -> _Steps:
        """All that depends on the state before, which is everything but the readout."""
        input_weight, _, input_bias, _ = self.layers.all_weights[0]
        embedding_weight, context_weight = torch.split(input_weight, self.split, dim=1)
        # The embeddings' share of the gates does not wait for the loop; time first, so slices are dense.
        shares = linear(embedded.transpose(0, 1), embedding_weight, input_bias)
        if self._is_one_function(shares):
            made = self._sequence(shares, context_weight, hidden, memory)
            observer = current_observer()
            if observer is not None:
                observer(self._observed(made, memory))
            return _Steps(
                made.tops.transpose(0, 1),
                made.contexts.transpose(0, 1),
                made.weights.transpose(0, 1) if return_weights else None,
                tuple(part.unsqueeze(0) for part in made.final),
            )
        return self._loop(shares, context_weight, hidden, memory, return_weights)

    def _is_one_function(self, shares: Tensor) -> bool:
        """Whether all steps can run as one function."""
        attention = self.attention
        score = attention.score
        return (
            self.as_one_function
            and len(shares) > 1
            and self.layers.num_layers == 1
            and isinstance(score, AdditiveScore)
            and score.vector.ndim == 1
            and isinstance(attention.normalizer, Softmax)
            and not attention.dropout
            and shares.is_cpu
            and is_eager()
        )

    def _observed(self, made: whole.Sequence, memory: AttendedMemory) -> Observed:
        """All steps as one call of `attend` would tell them: (batch, target, source)."""
        weights = made.weights.detach().transpose(0, 1)
        return Observed(
            memory.mask.keep.expand(weights.shape), weights, made.plan.backend, self.attention
        )

    def _sequence(
        self, shares: Tensor, context_weight: Tensor, hidden: Hidden, memory: AttendedMemory
    ) -> whole.Sequence:
        """All steps as one function."""
        score = self.attention.score
        assert isinstance(score, AdditiveScore)
        _, recurrent_weight, _, recurrent_bias = self.layers.all_weights[0]
        return whole.bahdanau_sequence(
            self.cell,
            shares,
            tuple(part[0] for part in hidden),
            whole.Memory(
                memory.key.features,
                memory.values,
                memory.mask.keep.squeeze(1),
                None if memory.bias is None else memory.bias.squeeze(1),
            ),
            whole.Weights(
                score.vector, score.query_weight, context_weight, recurrent_weight, recurrent_bias
            ),
        )

    def _loop(
        self,
        shares: Tensor,
        context_weight: Tensor,
        hidden: Hidden,
        memory: AttendedMemory,
        return_weights: bool,
    ) -> _Steps:
        """Any score, normalizer and number of layers, one step after the other: the truth for the other way."""
        # Cast once under autocast, which remembers whole parameters and not parts of them.
        context_weight = context_weight.to(shares.dtype)
        stack = self.layers.all_weights
        per_layer: list[Hidden] = list(zip(*(part.unbind(0) for part in hidden), strict=True))
        tops, contexts, rows = [], [], []
        for share in shares.unbind(0):
            attended = self.attention(
                per_layer[-1][0].unsqueeze(1),
                memory.key,
                memory.values,
                mask=memory.mask,
                bias=memory.bias,
                return_weights=return_weights,
            )
            context = attended.output.squeeze(1)
            gates = torch.addmm(share, context, context_weight.t())
            per_layer = self._climb(gates, per_layer, stack)
            tops.append(per_layer[-1][0])
            contexts.append(context)
            rows.append(attended.weights)
        return _Steps(
            torch.stack(tops, 1),
            torch.stack(contexts, 1),
            torch.cat(rows, 1) if return_weights else None,
            _layers_first(per_layer),
        )

    def _climb(
        self, gates: Tensor, before: list[Hidden], stack: list[list[nn.Parameter]]
    ) -> list[Hidden]:
        """One step of every layer, from the input's share of the first layer's gates."""
        after: list[Hidden] = []
        for hidden, (weight, recurrent_weight, bias, recurrent_bias) in zip(
            before, stack, strict=True
        ):
            if after:
                gates = linear(self.dropout(after[-1][0]), weight, bias)
            after.append(self.cell_step(gates, hidden, recurrent_weight, recurrent_bias))
        return after
