"""Encoder–decoders, and their table by the `kind` of their configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from heedful.models.base import Decoded, DecoderState, EncoderDecoder
from heedful.models.frequency import FrequencyConfig
from heedful.models.recurrent import RecurrentConfig, RecurrentEncoderDecoder, RecurrentState
from heedful.models.transformer import TransformerConfig, TransformerEncoderDecoder

MODELS: dict[str, Callable[[Any, int, int, FrequencyConfig], EncoderDecoder[Any]]] = {
    "transformer": TransformerEncoderDecoder,
    "gru": RecurrentEncoderDecoder,
    "lstm": RecurrentEncoderDecoder,
    "rnn": RecurrentEncoderDecoder,
}
"""Kind of a configuration -> builder, `MODELS[config.kind](config, source_size, target_size, frequency)`."""

__all__ = [
    "MODELS",
    "Decoded",
    "DecoderState",
    "EncoderDecoder",
    "FrequencyConfig",
    "RecurrentConfig",
    "RecurrentEncoderDecoder",
    "RecurrentState",
    "TransformerConfig",
    "TransformerEncoderDecoder",
]
