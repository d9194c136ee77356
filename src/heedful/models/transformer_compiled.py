"""Steps of a Transformer's decoder in one kernel, `heedful.ops.decoding.layers`, on a CPU in float32.

It serves what `heedful.models.transformer_step` does in operators, for layers with ReLU and heads of a multiple of 16
features; `compiled_state` returns None for the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heedful.models.transformer_config import TransformerDecoderConfig
from heedful.models.transformer_stacks import PositionedDecoder
from heedful.models.transformer_step import TokenPositions, is_fused
from heedful.nn.transformer import DecoderLayerCache, TransformerDecoderLayer
from heedful.ops.decoding.layers import PANEL, decoder_step, step_space
from heedful.ops.jit.kernel import launch, parts_for, unavailable
from heedful.ops.jit.scratch import scratch
from heedful.ops.jit.source import LANES

MOST_WEIGHTS: Final = 2**23
"""Weights of larger decoders are not copied for each search: their products take most of a step as they are."""
NANOSECONDS: Final = 0.02
"""Of one thread for a multiplication."""
FIRST_TOKENS: Final = 16
"""Tokens of each hypothesis that there is room for at first."""
NONE: Final = torch.empty(0)


class Memory(NamedTuple):
    """What hypotheses attend to, as the kernel reads it; `span` is the length of the source in whole vectors."""

    keys: Tensor
    """(sentences, layers, heads, features, span)."""
    values: Tensor
    """(sentences, layers, source, width)."""
    bias: Tensor
    """(sentences, span), added to the scores; -inf hides a position."""


@dataclass(eq=False)
class Slots:
    """Keys and values of tokens, each in a slot of its own, (slots, layers, 2, width).

    States share it: each finds its tokens by the numbers of their slots. Only the state that filled the last slot
    appends in place; `writable` gives any other a copy, so that a state stays a value.
    """

    storage: Tensor
    filled: int

    def writable(self, filled: int, count: int) -> Slots:
        """Return the first `filled` slots with room for `count` further ones, which no other state reads."""
        capacity = len(self.storage)
        if self.filled == filled and filled + count <= capacity:
            return self
        larger = self.storage.new_empty(max(capacity, 2 * filled + count), *self.storage.shape[1:])
        larger[:filled] = self.storage[:filled]
        return Slots(larger, filled)


@dataclass(frozen=True, eq=False)
class CompiledState:
    """State of decoding by `CompiledStep`; a `heedful.models.base.DecoderState`."""

    step: CompiledStep
    memory: Memory
    slots: Slots
    filled: int
    """Slots that were filled when this state was made."""
    ancestors: Tensor
    """(rows, tokens), the slot of each past token of each hypothesis."""
    sentence: Tensor
    """(rows,), the sentence of the memory that each hypothesis attends to."""

    def select(self, index: Tensor) -> CompiledState:
        """Return the state of the rows `index`, in that order; rows may repeat. No key or value is copied."""
        ancestors, sentence = self.ancestors[index], self.sentence[index]
        return replace(self, ancestors=ancestors, sentence=sentence)

    def run(
        self, embedded: Tensor, weights_of: int | None = None
    ) -> tuple[Tensor, Tensor | None, CompiledState]:
        """Decode one embedded token of each hypothesis; as `FusedState.run`."""
        return self.step.run(embedded, self, weights_of)


class CompiledStep:
    """The layers of a decoder, with their weights as the kernel reads them.

    Args:
        decoder: of the kind that `_is_compiled` says.
        config: its options.
    """

    def __init__(self, decoder: PositionedDecoder, config: TransformerDecoderConfig):
        self.config, self.positions = config, TokenPositions(decoder.inputs)
        layers: list[TransformerDecoderLayer] = list(decoder.layers)  # type: ignore[arg-type]
        parts, places, at = [], [], 0
        for layer in layers:
            for own in _parts(layer):
                places.append(at)
                parts += own
                at += sum(part.numel() for part in own)
            places.append(at)
        if isinstance(decoder.norm, nn.LayerNorm):
            parts += _of_norm(decoder.norm)
        self.weights = parts[0].new_empty(sum(part.numel() for part in parts))
        for target, part in zip(
            self.weights.split([each.numel() for each in parts]), parts, strict=True
        ):
            target.view(part.shape).copy_(part)
        self.places = torch.tensor(places)
        self.epsilon = layers[0].attention_norm.eps

    def run(
        self, embedded: Tensor, state: CompiledState, weights_of: int | None = None
    ) -> tuple[Tensor, Tensor | None, CompiledState]:
        """Decode one embedded token of each hypothesis: (rows, width) -> states, weights and the next state."""
        config, memory = self.config, state.memory
        (rows, width), (source, length) = (
            embedded.shape,
            (memory.values.shape[2], state.ancestors.shape[1]),
        )
        slots = state.slots.writable(state.filled, rows)
        looked = NONE
        if weights_of is not None:
            looked = embedded.new_empty(rows, config.heads, source)
        sizes = torch.tensor(
            [
                rows, width, config.heads, config.feed_forward, source, config.decoder_layers, config.norm == "pre",
                length, state.filled, -1 if weights_of is None else weights_of,
            ]
        )  # fmt: skip
        work = NANOSECONDS * rows * self.weights.numel()
        parts = parts_for(work)
        space = step_space(width, config.heads, config.feed_forward, source, length)
        output = torch.empty_like(embedded)
        launch(
            decoder_step, self.positions(embedded, length).view(-1), sizes, self.epsilon, self.weights, self.places,
            slots.storage.view(-1), state.ancestors.view(-1), state.sentence, memory.keys.view(-1),
            memory.values.view(-1), memory.bias.view(-1), looked.view(-1), output.view(-1),
            scratch(parts, space).view(-1), work=work, parts=parts,
        )  # fmt: skip
        slots.filled = filled = state.filled + rows
        own = torch.arange(state.filled, filled)[:, None]
        after = replace(
            state, slots=slots, filled=filled, ancestors=torch.cat([state.ancestors, own], dim=1)
        )
        return output, None if weights_of is None else looked, after


def _parts(layer: TransformerDecoderLayer) -> Iterator[list[Tensor]]:
    """Yield the parts of a layer in the order of `heedful.ops.decoding.layers.PLACES`."""
    own, cross, feed_forward = layer.self_attention, layer.cross_attention, layer.feed_forward
    for norm in (layer.attention_norm, layer.cross_norm, layer.feed_forward_norm):
        yield _of_norm(norm)
    yield _of_map(own.query_projection, own.key_projection, own.value_projection)
    for each in (own.output_projection, cross.query_projection, cross.output_projection):
        yield _of_map(each)
    yield _of_map(feed_forward.widen)
    yield _of_map(feed_forward.narrow)


def _of_norm(norm: nn.LayerNorm) -> list[Tensor]:
    return [norm.weight, norm.bias]


def _of_map(*maps: nn.Linear) -> list[Tensor]:
    """Panels (panel, inputs, PANEL) of the maps beside each other, and then their biases."""
    weights, outputs = [each.weight for each in maps], sum(each.out_features for each in maps)
    rest = -outputs % PANEL
    if any(each.out_features % PANEL for each in maps):
        weights = [F.pad(torch.cat(weights), (0, 0, 0, rest))]
    panels = [each.view(-1, PANEL, each.shape[1]).transpose(1, 2) for each in weights]
    biases = [
        each.weight.new_zeros(each.out_features) if each.bias is None else each.bias
        for each in maps
    ]
    return [*panels, *biases, *([weights[0].new_zeros(rest)] if rest else [])]


def compiled_state(
    decoder: PositionedDecoder,
    config: TransformerDecoderConfig,
    prepared: tuple[DecoderLayerCache, ...],
    keep: Tensor,
    bias: Tensor | None,
) -> CompiledState | None:
    """Return the first state of compiled decoding, or None if the decoder or the moment does not allow it.

    Args: as for `heedful.models.transformer_step.fused_state`.
    """
    values = prepared[0].cross_attention.value
    if not (
        is_fused(decoder, config, keep) and _is_compiled(decoder, config) and _is_plain(values)
    ):
        return None
    sentences, heads, source, features = values.shape
    span, layers = -(-source // LANES) * LANES, len(prepared)
    keys = values.new_zeros(sentences, layers, heads, features, span)
    both = values.new_empty(sentences, layers, source, heads, features)
    for number, each in enumerate(prepared):
        keys[:, number, :, :, :source] = each.cross_attention.key.features.transpose(2, 3)
        both[:, number] = each.cross_attention.value.transpose(1, 2)
    added = values.new_full((sentences, span), -torch.inf)
    hidden = ~keep[:, 0, 0]
    own = 0.0 if bias is None else bias[:, 0, 0].to(values.dtype)
    added[:, :source] = torch.where(hidden, -torch.inf, own)
    if bool(hidden.any()):  # what is hidden may hold anything
        keys[..., :source].masked_fill_(hidden[:, None, None, None], 0.0)
        both.masked_fill_(hidden[:, None, :, None, None], 0.0)
    memory = Memory(keys, both.flatten(3), added)
    storage = values.new_empty(FIRST_TOKENS * sentences, layers, 2, heads * features)
    order = torch.arange(sentences)
    step = CompiledStep(decoder, config)
    return CompiledState(step, memory, Slots(storage, 0), 0, order.new_empty(sentences, 0), order)


def _is_plain(values: Tensor) -> bool:
    return values.dtype == torch.float32 and values.is_cpu and not torch.is_autocast_enabled("cpu")


def _is_compiled(decoder: PositionedDecoder, config: TransformerDecoderConfig) -> bool:
    if config.activation != "relu" or (config.width // config.heads) % LANES:
        return False
    width, hidden = config.width, config.feed_forward
    if config.decoder_layers * (6 * width * width + 2 * width * hidden) > MOST_WEIGHTS:
        return False
    return unavailable() is None
