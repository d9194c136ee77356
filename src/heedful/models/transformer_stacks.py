"""The encoder and decoder of a `Transformer` model: layers of `heedful.nn` with positions."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from heedful.models.transformer_config import TransformerConfig, TransformerDecoderConfig
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear
from heedful.nn.positions import build_bias, build_input_positions, build_rotary
from heedful.nn.transformer import TransformerDecoderLayer, TransformerEncoderLayer
from heedful.nn.transformer_stacks import (
    DecoderCache,
    DecoderOutput,
    prepare_decoder_layers,
    run_decoder_layers,
    run_encoder_layers,
)
from heedful.ops import masks
from heedful.ops.positions import PositionBias, Rotary


class PositionedInputs(nn.Module):
    """Adds positions to embedded tokens as configured, then applies dropout."""

    def __init__(self, config: TransformerDecoderConfig):
        super().__init__()
        self.every_layer = config.positions_how == "every_layer"
        how = "concat" if config.positions_how == "concat" else "add"
        self.positions = build_input_positions(
            config.positions, config.width, max_length=config.max_length, how=how
        )
        # Concatenation doubles the features; a linear map projects them back to the width of the layers.
        self.join: nn.Linear | None = None
        if self.positions is not None and how == "concat":
            self.join = Linear(2 * config.width, config.width)
            nn.init.xavier_uniform_(self.join.weight)
            nn.init.zeros_(self.join.bias)
        self.dropout = Dropout(config.dropout)

    def forward(self, embedded: Tensor, start: int = 0) -> Tensor:
        """Return the input of the first layer: (batch, length, width) -> the same."""
        positioned = embedded if self.positions is None else self.positions(embedded, start)
        projected = positioned if self.join is None else self.join(positioned)
        output: Tensor = self.dropout(projected)
        return output

    def between_layers(self, states: Tensor, start: int = 0) -> Tensor:
        """Return the input of a later layer: (batch, length, width) -> the same."""
        if not self.every_layer or self.positions is None:
            return states
        positioned: Tensor = self.positions(states, start)
        return positioned


def _rotary(config: TransformerDecoderConfig) -> Rotary | None:
    return build_rotary(config.positions, config.width // config.heads, score=config.score)


class _Stack(nn.Module):
    """Positions, layers, and a final norm for pre-norm layers."""

    def __init__(
        self,
        config: TransformerDecoderConfig,
        kind: type[TransformerEncoderLayer] | type[TransformerDecoderLayer],
        count: int,
    ):
        super().__init__()
        # Do not reorder: optimizer checkpoints identify parameters by registration order.
        self.inputs = PositionedInputs(config)
        self.position_bias = build_bias(
            config.positions, config.heads, bidirectional=kind is TransformerEncoderLayer
        )
        self.norm = nn.LayerNorm(config.width) if config.norm == "pre" else nn.Identity()
        self.layers = nn.ModuleList(
            kind(
                config.width,
                config.heads,
                config.feed_forward,
                dropout=config.dropout,
                activation=config.activation,
                norm=config.norm,
                score=config.score,
                normalizer=config.normalizer,
                num_kv_heads=config.key_heads,
                rotary=_rotary(config),
                attention_dropout=config.attention_dropout,
                activation_dropout=config.activation_dropout,
            )
            for _ in range(count)
        )

    def _bias(self, start: int = 0) -> PositionBias | None:
        if self.position_bias is None:
            return None
        bias: PositionBias = self.position_bias(start)
        return bias


class PositionedEncoder(_Stack):
    """Transformer encoder on embedded tokens: (batch, source, width) -> the same."""

    def __init__(self, config: TransformerConfig):
        super().__init__(config, TransformerEncoderLayer, config.encoder_layers)

    def forward(self, embedded: Tensor, mask: masks.Mask | None) -> Tensor:
        """Encode embedded tokens; `mask` excludes the padding."""
        states = run_encoder_layers(
            self.layers,
            self.inputs(embedded),
            mask=mask,
            bias=self._bias(),
            between_layers=self.inputs.between_layers,
        )
        output: Tensor = self.norm(states)
        return output


class PositionedDecoder(_Stack):
    """Transformer decoder on embedded tokens and a memory, for teacher forcing and for incremental decoding."""

    def __init__(self, config: TransformerDecoderConfig):
        super().__init__(config, TransformerDecoderLayer, config.decoder_layers)

    def prepare(self, memory: Tensor) -> DecoderCache:
        """Project and prepare the memory in every layer, once for all decoding steps."""
        return prepare_decoder_layers(self.layers, memory)

    def forward(
        self,
        embedded: Tensor,
        cache: DecoderCache,
        *,
        memory_mask: masks.Mask | None,
        memory_bias: Tensor | None = None,
        mask: masks.Mask | None = None,
        position: int = 0,
        return_weights: bool = False,
    ) -> DecoderOutput:
        """Decode embedded tokens (batch, target, width) that start at `position`.

        `mask` applies to the self-attention: `masks.Causal()` for several tokens, None for one.
        """
        states, weights, after = run_decoder_layers(
            self.layers,
            self.inputs(embedded, position),
            cache,
            memory_mask=memory_mask,
            mask=mask,
            bias=self._bias(position),
            memory_bias=memory_bias,
            return_weights=return_weights,
            between_layers=partial(self.inputs.between_layers, start=position),
        )
        return DecoderOutput(self.norm(states), weights, after)
