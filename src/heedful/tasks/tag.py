"""Tagging: tokens × one label per token."""

from __future__ import annotations

from typing import Annotated, Final

from heedful.answers.token_label import LabelsConfig, PositionLabel
from heedful.inputs.tokens import Tokens, TokenVocabulary
from heedful.models.config import OneOf, Section
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.inputs import TokenInputsConfig
from heedful.models.encoders.recurrent import RecurrentEncoderConfig
from heedful.tasks.base import Task
from heedful.tasks.readers.labelled import LabelledData, LabelledReader
from heedful.tasks.sections import EncoderTraining, PredictionConfig


class TaggingTraining(EncoderTraining):
    """Optimization, schedule, stopping and reproducibility."""

    epochs: int = 20
    learning_rate: float = 2e-3
    patience: int = 10
    metric: Annotated[str, OneOf("metric", PositionLabel.metrics)] = "accuracy"


class TaggingConfig(Section):
    """Configuration of `heedful train tag`."""

    data: LabelledData = LabelledData()
    vocabulary: TokenVocabulary = TokenVocabulary()
    inputs: TokenInputsConfig = TokenInputsConfig()
    encoder: EncoderSection = RecurrentEncoderConfig()
    labels: LabelsConfig = LabelsConfig()
    training: TaggingTraining = TaggingTraining()
    prediction: PredictionConfig = PredictionConfig()


TASK: Final = Task(
    name="tag",
    examples="sentences",
    unit="tokens",
    configuration=TaggingConfig,
    input=Tokens,
    answer=PositionLabel,
    reader=LabelledReader(),
)
