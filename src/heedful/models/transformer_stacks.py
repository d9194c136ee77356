"""The two halves of a Transformer: stacks of layers with their positions."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from heedful.models.transformer_config import TransformerConfig
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear
from heedful.nn.positions import InputPositions, LearnedPositions, SinusoidalPositions, build_bias
from heedful.nn.scores import build_score
from heedful.nn.transformer import (
    DecoderLayerCache,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
)
from heedful.ops import masks
from heedful.ops.positions import PositionBias, Rotary


class _Inputs(nn.Module):
    """Gives embedded tokens their positions, as the configuration says, and drops features."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.every_layer = config.positions_how == "every_layer"
        how = "concat" if config.positions_how == "concat" else "add"
        self.positions: InputPositions | None = None
        if config.positions == "sinusoidal":
            self.positions = SinusoidalPositions(config.width, how=how)
        elif config.positions == "learned":
            self.positions = LearnedPositions(config.max_length, config.width, how=how)
        # Tokens and positions side by side are twice as wide as the layers: a learned map joins them.
        self.join: nn.Linear | None = None
        if self.positions is not None and how == "concat":
            self.join = Linear(2 * config.width, config.width)
            nn.init.xavier_uniform_(self.join.weight)
            nn.init.zeros_(self.join.bias)
        self.dropout = Dropout(config.dropout)

    def forward(self, embedded: Tensor, start: int = 0) -> Tensor:
        """Before the first layer: (batch, length, width) -> the same."""
        placed = embedded if self.positions is None else self.positions(embedded, start)
        joined = placed if self.join is None else self.join(placed)
        output: Tensor = self.dropout(joined)
        return output

    def again(self, states: Tensor, start: int = 0) -> Tensor:
        """Before a later layer."""
        if not self.every_layer or self.positions is None:
            return states
        placed: Tensor = self.positions(states, start)
        return placed


class _Stack(nn.Module):
    """What both halves share: inputs, positions as a bias, and the norm after the last pre-norm layer."""

    def __init__(self, config: TransformerConfig, *, bidirectional: bool):
        super().__init__()
        self.inputs = _Inputs(config)
        self.position_bias = build_bias(config.positions, config.heads, bidirectional=bidirectional)
        self.norm = nn.LayerNorm(config.width) if config.norm == "pre" else nn.Identity()

    def _bias(self, start: int = 0) -> PositionBias | None:
        if self.position_bias is None:
            return None
        bias: PositionBias = self.position_bias(start)
        return bias


def _rotary(config: TransformerConfig) -> Rotary | None:
    if config.positions != "rotary":
        return None
    head_width = config.width // config.heads
    return Rotary(build_score(config.score, head_width, head_width).projected_dim)


def _layers(
    layer: type[TransformerEncoderLayer] | type[TransformerDecoderLayer],
    count: int,
    config: TransformerConfig,
) -> nn.ModuleList:
    return nn.ModuleList(
        layer(
            config.width,
            config.heads,
            config.feed_forward,
            dropout=config.dropout,
            activation=config.activation,
            norm=config.norm,
            score=config.score,
            normalizer=config.normalizer,
            key_heads=config.key_heads,
            rotary=_rotary(config),
            attention_dropout=config.attention_dropout,
        )
        for _ in range(count)
    )


class TransformerEncoder(_Stack):
    """Encoder layers over embedded tokens: (batch, source, width) -> the same."""

    def __init__(self, config: TransformerConfig):
        super().__init__(config, bidirectional=True)
        self.layers = _layers(TransformerEncoderLayer, config.encoder_layers, config)

    def forward(self, embedded: Tensor, mask: masks.Mask | None) -> Tensor:
        """Encode; `mask` says which tokens are no padding."""
        states, bias = self.inputs(embedded), self._bias()
        for index, layer in enumerate(self.layers):
            states = layer(self.inputs.again(states) if index else states, mask=mask, bias=bias)
        output: Tensor = self.norm(states)
        return output


class TransformerDecoder(_Stack):
    """Decoder layers over embedded tokens and a memory: all tokens at once, or token by token."""

    def __init__(self, config: TransformerConfig):
        super().__init__(config, bidirectional=False)
        self.layers = _layers(TransformerDecoderLayer, config.decoder_layers, config)

    def prepare(self, memory: Tensor) -> tuple[DecoderLayerCache, ...]:
        """Do the per-token work on the memory once, for every layer."""
        return tuple(cast(TransformerDecoderLayer, layer).prepare(memory) for layer in self.layers)

    def forward(
        self,
        embedded: Tensor,
        memory: Tensor,
        memory_mask: masks.Mask | None,
        *,
        memory_bias: Tensor | None = None,
        return_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Decode all tokens at once, each seeing those before it: states, and cross weights of all layers."""
        states, bias = self.inputs(embedded), self._bias()
        weights: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            states, looked_at, _ = layer(
                self.inputs.again(states) if index else states,
                memory=memory,
                memory_mask=memory_mask,
                memory_bias=memory_bias,
                mask=masks.Causal(),
                bias=bias,
                return_weights=return_weights,
            )
            if looked_at is not None:
                weights.append(looked_at)
        return self.norm(states), torch.stack(weights, dim=1) if return_weights else None

    def step(
        self,
        embedded: Tensor,
        layers: tuple[DecoderLayerCache, ...],
        memory_mask: masks.Mask | None,
        position: int,
        *,
        memory_bias: Tensor | None = None,
    ) -> tuple[Tensor, tuple[DecoderLayerCache, ...]]:
        """Decode one more token, (batch, 1, width), at `position`: its states and the grown caches."""
        states, bias = self.inputs(embedded, position), self._bias(position)
        grown: list[DecoderLayerCache] = []
        for index, (layer, cache) in enumerate(zip(self.layers, layers, strict=True)):
            states, _, after = layer(
                self.inputs.again(states, position) if index else states,
                memory_mask=memory_mask,
                memory_bias=memory_bias,
                bias=bias,
                cache=cache,
            )
            grown.append(after)
        output: Tensor = self.norm(states)
        return output, tuple(grown)
