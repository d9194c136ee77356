"""The recurrent decoder with Bahdanau attention."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from heedful.models import bahdanau_sequence as sequence
from heedful.models.recurrent_decoders import (
    AttendedMemory,
    AttentionDecoder,
    DecoderSizes,
    Memory,
    Readout,
    RecurrentOutput,
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
    """Stack the hidden states of all layers along a new first axis."""
    return tuple(torch.stack(parts) for parts in zip(*per_layer, strict=True))


class _RecurrenceOutput(NamedTuple):
    """Output of the recurrence for one or more target positions, before the readout."""

    tops: Tensor
    """(batch, target, hidden), the states of the last layer."""
    contexts: Tensor
    """(batch, target, memory width)."""
    weights: Tensor | None
    """(batch, target, source), or None."""
    hidden: Hidden
    """The recurrent state after the last position: (layers, batch, hidden), one or (h, c)."""


class BahdanauDecoder(AttentionDecoder):
    """Attention before the recurrence (Bahdanau et al. 2015): the context is an input of the cell.

    c_t = attention(h_{t-1}, memory),  h_t = cell([e_t; c_t], h_{t-1}),  state_t = readout(h_t, c_t, e_t).
    The query is the previous state of the last layer. The readout is the paper's deep output with h_t in place of
    h_{t-1}.

    One layer with additive attention and softmax runs as one autograd function,
    `heedful.models.bahdanau_sequence`, which is faster and uses less memory, unless `fused` is False.
    """

    fused = True

    def __init__(self, attention: Attention, resize: nn.Linear | None, sizes: DecoderSizes) -> None:
        super().__init__(attention, resize, sizes)
        # PyTorch's layers own the parameters; the loop computes the same cells step by step.
        self.layers = build_layers(
            sizes.cell, sizes.embedding + sizes.memory, sizes.hidden, layers=sizes.layers
        )
        self.cell = sizes.cell
        self.cell_step: CellStep = CELLS[sizes.cell].step
        inputs = sizes.hidden + sizes.memory + sizes.embedding
        self.input_sizes = [sizes.embedding, sizes.memory]
        self.readout = Readout(inputs, sizes.embedding, sizes.readout, sizes.dropout)

    def forward(
        self, embedded: Tensor, hidden: Hidden, memory: Memory, *, return_weights: bool = False
    ) -> RecurrentOutput:
        """Read the tokens one by one."""
        assert isinstance(memory, AttendedMemory)
        inputs, precision = recurrent_precision(embedded, self.layers.all_weights[0][0])
        with precision:
            output = self._recurrence(inputs, hidden, memory, return_weights)
        weights = None if output.weights is None else output.weights[:, None, None]
        states = self.readout(output.tops, output.contexts, embedded)
        return RecurrentOutput(states, output.hidden, weights)

    def _recurrence(
        self, embedded: Tensor, hidden: Hidden, memory: AttendedMemory, return_weights: bool
    ) -> _RecurrenceOutput:
        """Run attention and cell for all positions: everything except the readout."""
        input_weight, _, input_bias, _ = self.layers.all_weights[0]
        embedding_weight, context_weight = torch.split(input_weight, self.input_sizes, dim=1)
        # The embeddings' part of the gates, outside the loop; time first, so that slices are contiguous.
        input_gates = linear(embedded.transpose(0, 1), embedding_weight, input_bias)
        if self._can_fuse(input_gates):
            fused = self._fused(input_gates, context_weight, hidden, memory)
            observer = current_observer()
            if observer is not None:
                observer(self._observed(fused, memory))
            return _RecurrenceOutput(
                fused.tops.transpose(0, 1),
                fused.contexts.transpose(0, 1),
                fused.weights.transpose(0, 1) if return_weights else None,
                tuple(part.unsqueeze(0) for part in fused.final),
            )
        return self._loop(input_gates, context_weight, hidden, memory, return_weights)

    def _can_fuse(self, input_gates: Tensor) -> bool:
        """Whether all steps can run as one autograd function."""
        attention = self.attention
        score = attention.score
        return (
            self.fused
            and len(input_gates) > 1
            and self.layers.num_layers == 1
            and isinstance(score, AdditiveScore)
            and score.vector.ndim == 1
            and isinstance(attention.normalizer, Softmax)
            and not attention.dropout
            and input_gates.is_cpu
            and is_eager()
        )

    def _observed(self, output: sequence.Output, memory: AttendedMemory) -> Observed:
        """Return all steps as one observed call of `attend`: (batch, target, source)."""
        weights = output.weights.detach().transpose(0, 1)
        return Observed(
            memory.mask.keep.expand(weights.shape), weights, output.plan.backend, self.attention
        )

    def _fused(
        self, input_gates: Tensor, context_weight: Tensor, hidden: Hidden, memory: AttendedMemory
    ) -> sequence.Output:
        """Run all steps as one autograd function."""
        score = self.attention.score
        assert isinstance(score, AdditiveScore)
        _, recurrent_weight, _, recurrent_bias = self.layers.all_weights[0]
        return sequence.bahdanau_sequence(
            self.cell,
            input_gates,
            tuple(part[0] for part in hidden),
            sequence.Memory(
                memory.key.features,
                memory.values,
                memory.mask.keep.squeeze(1),
                None if memory.bias is None else memory.bias.squeeze(1),
            ),
            sequence.Weights(
                score.vector, score.query_weight, context_weight, recurrent_weight, recurrent_bias
            ),
        )

    def _loop(
        self,
        input_gates: Tensor,
        context_weight: Tensor,
        hidden: Hidden,
        memory: AttendedMemory,
        return_weights: bool,
    ) -> _RecurrenceOutput:
        """Run any score, normalizer and number of layers step by step; the reference of `_fused`."""
        # Cast once: autocast caches casts of parameters, but not of slices.
        context_weight = context_weight.to(input_gates.dtype)
        layer_weights = self.layers.all_weights
        per_layer: list[Hidden] = list(zip(*(part.unbind(0) for part in hidden), strict=True))
        tops, contexts, rows = [], [], []
        for gate_input in input_gates.unbind(0):
            attended = self.attention(
                per_layer[-1][0].unsqueeze(1),
                memory.key,
                memory.values,
                mask=memory.mask,
                bias=memory.bias,
                return_weights=return_weights,
            )
            context = attended.output.squeeze(1)
            gates = torch.addmm(gate_input, context, context_weight.t())
            per_layer = self._step_layers(gates, per_layer, layer_weights)
            tops.append(per_layer[-1][0])
            contexts.append(context)
            rows.append(attended.weights)
        return _RecurrenceOutput(
            torch.stack(tops, 1),
            torch.stack(contexts, 1),
            torch.cat(rows, 1) if return_weights else None,
            _layers_first(per_layer),
        )

    def _step_layers(
        self, gates: Tensor, before: list[Hidden], layer_weights: list[list[nn.Parameter]]
    ) -> list[Hidden]:
        """Run one step of every layer, given the input part of the gates of the first layer."""
        after: list[Hidden] = []
        for hidden, (weight, recurrent_weight, bias, recurrent_bias) in zip(
            before, layer_weights, strict=True
        ):
            if after:
                gates = linear(self.dropout(after[-1][0]), weight, bias)
            after.append(self.cell_step(gates, hidden, recurrent_weight, recurrent_bias))
        return after
