"""What the configurations of tasks with one answer a text share."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from heedful.errors import OptionError
from heedful.inputs.text import TextInputs, TextVocabulary
from heedful.models.config import Section
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.recurrent import RecurrentEncoderConfig
from heedful.models.frequency import FrequencyConfig
from heedful.models.heads import PoolingConfig
from heedful.models.model import EnsembleConfig
from heedful.tasks.base import PredictionConfig
from heedful.tasks.readers.texts import TextData


class TextPrediction(PredictionConfig):
    """How a trained model reads files."""

    column: str = Field("predicted", min_length=1, description="Name of the column that is added.")


class TextConfig(Section):
    """What both configurations share."""

    data: TextData = Field(description="Where the texts come from.")
    vocabulary: TextVocabulary = Field(TextVocabulary(), description="What a token is.")
    inputs: TextInputs = Field(TextInputs(), description="How a token becomes features.")
    encoder: EncoderSection = Field(
        default_factory=RecurrentEncoderConfig, description="What a token knows of its context."
    )
    pooling: PoolingConfig = Field(
        PoolingConfig(), description="How the states of a text become one vector."
    )
    frequency: FrequencyConfig = Field(
        FrequencyConfig(), description="What is done about frequent words."
    )
    ensemble: EnsembleConfig = Field(
        EnsembleConfig(), description="How many networks answer together."
    )

    @model_validator(mode="after")
    def _frequency_needs_attention(self) -> Self:
        for name in ("down_weight", "penalty"):
            if getattr(self.frequency, name) and self.pooling.kind != "attention":
                raise OptionError(
                    f"frequency.{name} acts on the attention that pools, but pooling.kind is "
                    f"{self.pooling.kind!r}; set pooling.kind to 'attention', or frequency.{name} to 0"
                )
        return self


def describe(config: TextConfig) -> str:
    """Name the model of a configuration, for the report."""
    return f"the encoder {config.encoder.kind} and pooling by {config.pooling.kind}"
