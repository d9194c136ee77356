"""Encoders under one contract, and the table of them by the `kind` of their configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from heedful.models.encoders.attention import (
    AttentionConfig,
    AttentionEncoder,
    TransformerEncoderConfig,
    TransformerStates,
)
from heedful.models.encoders.base import Encoder, EncoderConfig, States
from heedful.models.encoders.local import (
    ConvolutionConfig,
    ConvolutionEncoder,
    NoContextConfig,
    WindowConfig,
    WindowEncoder,
)
from heedful.models.encoders.ngrams import NGramsConfig, NGramsEncoder
from heedful.models.encoders.recurrent import (
    RecurrentAttention,
    RecurrentAttentionConfig,
    RecurrentEncoderConfig,
    RecurrentStates,
)

ENCODERS: dict[str, Callable[[Any, int], Encoder]] = {
    "none": WindowEncoder,
    "window": WindowEncoder,
    "convolution": ConvolutionEncoder,
    "ngrams": NGramsEncoder,
    "rnn": RecurrentStates,
    "lstm": RecurrentStates,
    "gru": RecurrentStates,
    "attention": AttentionEncoder,
    "transformer": TransformerStates,
    "lstm+attention": RecurrentAttention,
}
"""Kind of a configuration -> builder, `ENCODERS[config.kind](config, input_width)`."""

ENCODER_CONFIGS: dict[str, type[EncoderConfig]] = {
    "none": NoContextConfig,
    "window": WindowConfig,
    "convolution": ConvolutionConfig,
    "ngrams": NGramsConfig,
    "rnn": RecurrentEncoderConfig,
    "lstm": RecurrentEncoderConfig,
    "gru": RecurrentEncoderConfig,
    "attention": AttentionConfig,
    "transformer": TransformerEncoderConfig,
    "lstm+attention": RecurrentAttentionConfig,
}
"""Kind -> class of its configuration."""

EncoderSection = Annotated[
    NoContextConfig
    | WindowConfig
    | ConvolutionConfig
    | NGramsConfig
    | RecurrentEncoderConfig
    | AttentionConfig
    | TransformerEncoderConfig
    | RecurrentAttentionConfig,
    Field(discriminator="kind"),
]
"""The section of a task's configuration that chooses an encoder."""

__all__ = ["ENCODERS", "ENCODER_CONFIGS", "Encoder", "EncoderConfig", "EncoderSection", "States"]
