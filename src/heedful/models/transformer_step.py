"""One step of a Transformer's decoder in few operations, for decoding token by token.

It computes what `PositionedDecoder` computes for one token of each hypothesis: keys and values of the past are appended
in place, projections of one input are one product, and attention is PyTorch's fused one. It serves the scaled inner
product under softmax without rotary positions or biases, in inference mode; `fused_state` returns None for the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heedful.models.transformer_config import TransformerDecoderConfig
from heedful.models.transformer_past import PastTokens
from heedful.models.transformer_stacks import PositionedDecoder, PositionedInputs
from heedful.nn.feed_forward import ACTIVATIONS
from heedful.nn.positions import SinusoidalPositions
from heedful.nn.transformer import DecoderLayerCache, TransformerDecoderLayer
from heedful.ops.observe import current_observer
from heedful.ops.products import product

COMPACT_BELOW: Final = 0.75
"""Share of sentences still searched for, below which the memory of the others is dropped."""
POSITIONS: Final = 64
"""Positions of which the embedding is computed at once."""


@dataclass(frozen=True, eq=False)
class _Map:
    """A linear map."""

    weight: Tensor
    """(inputs, outputs), a transposed view."""
    bias: Tensor | None

    @classmethod
    def of(cls, *parts: nn.Linear) -> _Map:
        """Return one map to the outputs of all parts."""
        if len(parts) == 1:
            return cls(parts[0].weight.t(), parts[0].bias)
        biases: list[Tensor] = [bias for part in parts if (bias := part.bias) is not None]
        weights: list[Tensor] = [part.weight for part in parts]
        return cls(torch.cat(weights).t(), torch.cat(biases) if biases else None)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Map (rows, inputs) to (rows, outputs)."""
        return product(inputs, self.weight, self.bias)


def _norm(module: nn.LayerNorm) -> Callable[[Tensor], Tensor]:
    shape, weight, bias, eps = module.normalized_shape, module.weight, module.bias, module.eps
    return lambda inputs: torch.layer_norm(inputs, shape, weight, bias, eps)


class _Layer:
    """The parts of one decoder layer, ready to be called."""

    def __init__(self, layer: TransformerDecoderLayer):
        own, cross = layer.self_attention, layer.cross_attention
        self.heads, self.is_pre = own.num_heads, layer.norm == "pre"
        self.projection = _Map.of(own.query_projection, own.key_projection, own.value_projection)
        self.own_output = _Map.of(own.output_projection)
        self.query = _Map.of(cross.query_projection)
        self.cross_output = _Map.of(cross.output_projection)
        self.widen = _Map.of(layer.feed_forward.widen)
        self.narrow = _Map.of(layer.feed_forward.narrow)
        self.activation = ACTIVATIONS[layer.feed_forward.activation]
        self.norms = [
            _norm(layer.attention_norm), _norm(layer.cross_norm), _norm(layer.feed_forward_norm),
        ]  # fmt: skip

    def residual(self, number: int, inputs: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
        """Add a part to its inputs, with its norm before or after."""
        norm = self.norms[number]
        return inputs + part(norm(inputs)) if self.is_pre else norm(inputs + part(inputs))

    def feed_forward(self, inputs: Tensor) -> Tensor:
        """Map (rows, width) to the same."""
        return self.narrow(self.activation(self.widen(inputs)))

    def attend_past(self, inputs: Tensor, past: Tensor, position: int) -> Tensor:
        """Append keys and values of the token to the past (capacity, rows, 2, heads, features), and attend to it."""
        rows, width = inputs.shape
        split = self.projection(inputs).view(rows, 3, self.heads, width // self.heads)
        past[position] = split[:, 1:]
        key, value = past[: position + 1].permute(2, 1, 3, 0, 4)
        output = F.scaled_dot_product_attention(split[:, 0].unsqueeze(2), key, value)
        return self.own_output(output.reshape(rows, width))


@dataclass(frozen=True, eq=False)
class FusedState:
    """State of decoding by `FusedStep`; a `heedful.models.base.DecoderState`."""

    step: FusedStep
    memory: tuple[tuple[Tensor, Tensor], ...]
    """For each layer keys and values, (sentences, heads, source, features) each."""
    bias: Tensor | None
    """(sentences, 1, 1, source), added to the scores; None without padding."""
    past: PastTokens
    position: int
    """Number of past tokens."""
    sentence: Tensor
    """(rows,), the row of the memory that each hypothesis attends to, non-decreasing."""
    beams: int
    """The most hypotheses of a sentence."""
    slots: Tensor | None
    """(rows,), the places of the hypotheses among sentences × beams; None if there is one in each."""

    def select(self, index: Tensor) -> FusedState:
        """Return the state of the rows `index`, in that order; rows may repeat.

        The memory is not copied before a quarter of its sentences have been left.
        """
        sentence, past = self.sentence[index], self.past.select(index, self.position)
        memory, bias = self.memory, self.bias
        if bool((sentence[1:] < sentence[:-1]).any()):  # not in the order of the sentences
            memory, bias = self._memory_of(sentence)
            sentence = torch.arange(len(index), device=index.device)
        count = memory[0][0].shape[0]
        counts = torch.bincount(sentence, minlength=count)
        present = counts > 0
        if int(present.sum()) < COMPACT_BELOW * count:
            left = present.nonzero()[:, 0]
            memory, bias = replace(self, memory=memory, bias=bias)._memory_of(left)
            sentence, counts = torch.searchsorted(left, sentence), counts[left]
        beams = int(counts.max()) if len(index) else 1
        slots = None
        if not bool((counts == beams).all()):
            rank = torch.arange(len(index), device=index.device)
            slots = sentence * beams + rank - torch.searchsorted(sentence, sentence)
        return replace(
            self, memory=memory, bias=bias, past=past, sentence=sentence, beams=beams, slots=slots
        )

    def run(
        self, embedded: Tensor, weights_of: int | None = None
    ) -> tuple[Tensor, Tensor | None, FusedState]:
        """Decode one embedded token of each hypothesis; as `FusedStep.run`."""
        return self.step.run(embedded, self, weights_of)

    def _memory_of(
        self, sentences: Tensor
    ) -> tuple[tuple[tuple[Tensor, Tensor], ...], Tensor | None]:
        memory = tuple(
            (key.index_select(0, sentences), value.index_select(0, sentences))
            for key, value in self.memory
        )
        return memory, None if self.bias is None else self.bias.index_select(0, sentences)


class TokenPositions:
    """Adds its position to one token of each hypothesis.

    Args:
        inputs: the module that does it for sequences.
    """

    def __init__(self, inputs: PositionedInputs):
        self.inputs = inputs
        self.table: Tensor | None = None

    def __call__(self, embedded: Tensor, position: int) -> Tensor:
        """Add the position: (rows, width) -> the same."""
        inputs = self.inputs
        if not isinstance(inputs.positions, SinusoidalPositions) or inputs.join is not None:
            positioned: Tensor = inputs(embedded[:, None], position)[:, 0]
            return positioned
        if self.table is None or position >= len(self.table):
            count = POSITIONS * (position // POSITIONS + 1)
            self.table = inputs.positions.table(count, 0, embedded)
        return embedded + self.table[position]


class FusedStep:
    """The layers of a decoder, ready for steps of one token.

    Args:
        decoder: of the kind that `is_fused` says.
        width: features of a token.
    """

    def __init__(self, decoder: PositionedDecoder, width: int):
        self.width, self.positions = width, TokenPositions(decoder.inputs)
        self.layers = [_Layer(layer) for layer in decoder.layers]  # type: ignore[arg-type]
        norm = decoder.norm
        self.norm = _norm(norm) if isinstance(norm, nn.LayerNorm) else None

    def run(
        self, embedded: Tensor, state: FusedState, weights_of: int | None = None
    ) -> tuple[Tensor, Tensor | None, FusedState]:
        """Decode one embedded token of each hypothesis.

        Args:
            embedded: (rows, width).
            state: what has been decoded before.
            weights_of: the layer whose cross-attention weights are returned too; None: no layer's.

        Returns:
            States (rows, width), weights (rows, heads, source) or None, and the next state.
        """
        weights = None
        past = state.past.writable(state.position)
        states = self.positions(embedded, state.position)
        for number, (layer, memory) in enumerate(zip(self.layers, state.memory, strict=True)):
            attend_past = partial(
                layer.attend_past, past=past.layers[number], position=state.position
            )
            states = layer.residual(0, states, attend_past)
            query = layer.query(layer.norms[1](states) if layer.is_pre else states)
            attended, looked = _attend_memory(
                query, layer.heads, memory, state, number == weights_of
            )
            weights = looked if number == weights_of else weights
            informed = states + layer.cross_output(attended)
            states = informed if layer.is_pre else layer.norms[1](informed)
            states = layer.residual(2, states, layer.feed_forward)
        past.filled = state.position + 1
        after = replace(state, past=past, position=state.position + 1)
        return states if self.norm is None else self.norm(states), weights, after


def _attend_memory(
    query: Tensor, heads: int, memory: tuple[Tensor, Tensor], state: FusedState, needs_weights: bool
) -> tuple[Tensor, Tensor | None]:
    """Attend to the memory: (rows, width) -> (rows, width), and weights (rows, heads, source) if needed.

    The hypotheses of a sentence are its queries; where some sentences have fewer, the others' places stay empty.
    """
    (key, value), width, slots = memory, query.shape[1], state.slots
    if slots is not None:
        query = query.new_zeros(key.shape[0] * state.beams, width).index_copy(0, slots, query)
    query = query.view(key.shape[0], state.beams, heads, width // heads).transpose(1, 2)
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=state.bias)
    merged = output.transpose(1, 2).reshape(-1, width)
    weights = None
    if needs_weights:
        scores = query @ key.transpose(2, 3) * (width // heads) ** -0.5
        scores = scores if state.bias is None else scores + state.bias
        weights = torch.softmax(scores, dim=-1).transpose(1, 2).flatten(0, 1)
    if slots is None:
        return merged, weights
    return merged[slots], None if weights is None else weights[slots]


def fused_state(
    decoder: PositionedDecoder,
    config: TransformerDecoderConfig,
    prepared: tuple[DecoderLayerCache, ...],
    keep: Tensor,
    bias: Tensor | None,
) -> FusedState | None:
    """Return the first state of fused decoding, or None if the decoder or the moment does not allow it.

    Args:
        decoder: the layers.
        config: their options.
        prepared: the prepared memory, a row for each sentence.
        keep: (sentences, 1, 1, source), True where hypotheses may attend.
        bias: (sentences, 1, 1, source) or None, added to the scores.
    """
    if not is_fused(decoder, config, keep):
        return None
    memory = tuple(
        (each.cross_attention.key.features, each.cross_attention.value) for each in prepared
    )
    values = memory[0][1]
    added = None
    if bias is not None or not bool(keep.all()):
        added = values.new_zeros(keep.shape) if bias is None else bias.to(values.dtype)
        added = added.masked_fill(~keep, float("-inf"))
    sentences, heads, _, features = values.shape
    past = PastTokens.empty(len(memory), sentences, heads, features, like=values)
    order = torch.arange(sentences, device=values.device)
    step = FusedStep(decoder, config.width)
    return FusedState(step, memory, added, past, 0, order, 1, None)


def is_fused(decoder: PositionedDecoder, config: TransformerDecoderConfig, keep: Tensor) -> bool:
    """Whether steps are scaled inner products under softmax, outside of training, with something to attend to."""
    return (
        config.score == "scaled_dot"
        and config.normalizer == "softmax"
        and config.key_heads in (None, config.heads)
        and decoder.position_bias is None
        and not decoder.inputs.every_layer
        and all(layer.self_attention.rotary is None for layer in decoder.layers)  # type: ignore[union-attr]
        and not decoder.training
        and torch.is_inference_mode_enabled()  # programs to export are traced without it
        and current_observer() is None
        and bool(keep.any(dim=-1).all())
    )
