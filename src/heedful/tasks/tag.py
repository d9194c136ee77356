"""Tagging: tokens × a label for each token."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from heedful.answers.token_label import LabelsConfig, PositionLabel
from heedful.inputs.tokens import Tokens, TokenVocabulary
from heedful.models.config import Section
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.inputs import TokenInputsConfig
from heedful.models.encoders.recurrent import RecurrentEncoderConfig
from heedful.tasks.base import PredictionConfig, Task
from heedful.tasks.readers.labelled import LabelledData, LabelledReader
from heedful.tasks.training_config import EncoderTraining


class TaggingTraining(EncoderTraining):
    """How the model is trained."""

    epochs: int = Field(20, ge=1, description="Most passes over the training data.")
    learning_rate: float = Field(2e-3, gt=0, description="The highest learning rate.")
    label_smoothing: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of each target's probability spread over all labels; not with a chain.",
    )
    patience: int = Field(
        10, ge=0, description="Stop after so many epochs without a better one; 0 never stops early."
    )
    metric: Literal["accuracy", "macro_f1", "loss"] = Field(
        "accuracy", description="The validation figure by which the best weights are chosen."
    )


class TaggingConfig(Section):
    """Configuration of `heedful train tag`."""

    data: LabelledData = Field(
        LabelledData(), description="Where the labelled sentences come from."
    )
    vocabulary: TokenVocabulary = Field(
        TokenVocabulary(), description="Which words get an embedding of their own."
    )
    inputs: TokenInputsConfig = Field(
        TokenInputsConfig(), description="How a token becomes features."
    )
    encoder: EncoderSection = Field(
        default_factory=RecurrentEncoderConfig, description="What a token knows of its context."
    )
    labels: LabelsConfig = Field(LabelsConfig(), description="How labels are scored.")
    training: TaggingTraining = Field(TaggingTraining(), description="How the model is trained.")
    prediction: PredictionConfig = Field(
        PredictionConfig(), description="How a trained tagger reads files."
    )


TASK: Final = Task(
    name="tag",
    examples="sentences",
    unit="tokens",
    configuration=TaggingConfig,
    input=Tokens,
    answer=PositionLabel,
    reader=LabelledReader(),
)
