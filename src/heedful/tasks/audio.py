"""Recordings × a label, a number, or a label per frame."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from heedful.answers.label import Label
from heedful.answers.number import Number
from heedful.answers.token_label import LabelsConfig, PositionLabel
from heedful.data.audio.segments import BACKGROUND
from heedful.inputs.frames import FramesInput
from heedful.inputs.frames_config import (
    AugmentConfig,
    FeaturesConfig,
    FrameInputsConfig,
    PositionAugmentConfig,
    PositionFeaturesConfig,
    PositionInputsConfig,
)
from heedful.models.config import OneOf, Section
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.recurrent import RecurrentEncoderConfig
from heedful.models.heads import PoolingConfig
from heedful.tasks.base import Task
from heedful.tasks.readers.audio import AudioData, AudioReader
from heedful.tasks.sections import (
    ClassWeighting,
    EncoderTraining,
    LabelColumn,
    LabelPrediction,
    TargetColumn,
)


class AudioTraining(EncoderTraining):
    """Optimization, schedule, stopping and reproducibility."""

    epochs: int = 30
    batch_tokens: int = 4096
    learning_rate: float = 3e-3
    weight_decay: float = 0.01


class ClassifyTraining(ClassWeighting, AudioTraining):
    """Optimization, schedule, stopping and reproducibility."""

    metric: Annotated[str, OneOf("metric", Label.metrics)] = "accuracy"


class RegressTraining(AudioTraining):
    """Optimization, schedule, stopping and reproducibility."""

    label_smoothing: float = Field(0.0, ge=0, le=0)
    metric: Annotated[str, OneOf("metric", Number.metrics)] = "rmse"


class TagTraining(AudioTraining):
    """Optimization, schedule, stopping and reproducibility."""

    metric: Annotated[str, OneOf("metric", PositionLabel.metrics)] = "accuracy"


class LabelledAudio(LabelColumn, AudioData):
    """Where the recordings and their labels come from, and how they are cut into frames."""

    @property
    def answer(self) -> str:
        return self.label


class NumberedAudio(TargetColumn, AudioData):
    """Where the recordings and their numbers come from, and how they are cut into frames."""

    @property
    def answer(self) -> str:
        return self.target


class SegmentedAudio(LabelledAudio):
    """Where the recordings and their segments come from, and how they are cut into frames."""

    begin: str = Field("start", description="Column of the seconds at which a segment begins.")
    end: str = Field("end", description="Column of the seconds at which it ends.")
    background: str = Field(
        BACKGROUND, min_length=1, description="Label of the frames outside all segments."
    )


class AudioConfig(Section):
    """Sections of all tasks on recordings."""

    data: AudioData = AudioData()
    features: FeaturesConfig = FeaturesConfig()
    augment: AugmentConfig = AugmentConfig()
    inputs: FrameInputsConfig = FrameInputsConfig()
    encoder: EncoderSection = RecurrentEncoderConfig(kind="gru", hidden=48, layers=1)
    training: AudioTraining = AudioTraining()
    prediction: LabelPrediction = LabelPrediction()


class ClassifyAudioConfig(AudioConfig):
    """Configuration of `heedful train classify-audio`."""

    data: LabelledAudio = LabelledAudio()
    pooling: PoolingConfig = PoolingConfig()
    training: ClassifyTraining = ClassifyTraining()


class RegressAudioConfig(AudioConfig):
    """Configuration of `heedful train regress-audio`."""

    data: NumberedAudio = NumberedAudio()
    pooling: PoolingConfig = PoolingConfig()
    training: RegressTraining = RegressTraining()


class TagAudioConfig(AudioConfig):
    """Configuration of `heedful train tag-audio`."""

    data: SegmentedAudio = SegmentedAudio()
    features: PositionFeaturesConfig = PositionFeaturesConfig()
    augment: PositionAugmentConfig = PositionAugmentConfig()
    inputs: PositionInputsConfig = PositionInputsConfig()
    labels: LabelsConfig = LabelsConfig(spans=False, dropout=0.1)
    training: TagTraining = TagTraining()


def _task(name: str, answer: Any, configuration: Any, reader: AudioReader) -> Task:
    return Task(
        name=name,
        examples="recordings",
        unit="frames",
        configuration=configuration,
        input=FramesInput,
        answer=answer,
        reader=reader,
    )


CLASSIFY: Final = _task("classify-audio", Label, ClassifyAudioConfig, AudioReader("label"))
REGRESS: Final = _task("regress-audio", Number, RegressAudioConfig, AudioReader("number"))
TAG: Final = _task("tag-audio", PositionLabel, TagAudioConfig, AudioReader("frames"))
