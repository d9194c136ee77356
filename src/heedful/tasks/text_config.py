"""Configuration shared by tasks that predict one answer per text."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from heedful.errors import OptionError, shown
from heedful.inputs.text import TextInputs, TextVocabulary
from heedful.models.config import Section
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.recurrent import RecurrentEncoderConfig
from heedful.models.frequency import FrequencyConfig
from heedful.models.heads import PoolingConfig
from heedful.models.model import EnsembleConfig
from heedful.tasks.readers.texts import TextData
from heedful.tasks.sections import ColumnPrediction, EncoderTraining


class TextConfig(Section):
    """Sections of text classification and regression."""

    data: TextData
    vocabulary: TextVocabulary = TextVocabulary()
    inputs: TextInputs = TextInputs()
    encoder: EncoderSection = RecurrentEncoderConfig()
    pooling: PoolingConfig = PoolingConfig()
    frequency: FrequencyConfig = FrequencyConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    training: EncoderTraining = EncoderTraining()
    prediction: ColumnPrediction = ColumnPrediction()

    @model_validator(mode="after")
    def _frequency_needs_attention(self) -> Self:
        for name in ("down_weight", "penalty"):
            if getattr(self.frequency, name) and self.pooling.kind != "attention":
                raise OptionError(
                    f"frequency.{name} needs attention pooling, but pooling.kind is "
                    f"{shown(self.pooling.kind)}; set pooling.kind to 'attention', or frequency.{name} to 0"
                )
        return self


def describe(config: TextConfig) -> str:
    """Return a description of the configured model, for the report."""
    return f"the encoder {config.encoder.kind} and pooling by {config.pooling.kind}"
