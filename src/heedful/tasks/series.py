"""Series of numbers × a label, a number, a label per step, or a forecast."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from heedful.answers.forecast import Forecast
from heedful.answers.label import Label
from heedful.answers.number import Number
from heedful.answers.token_label import LabelsConfig, PositionLabel
from heedful.inputs.series import SeriesInput, SeriesInputsConfig
from heedful.models.config import OneOf, Section
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.recurrent import RecurrentEncoderConfig
from heedful.models.heads import PoolingConfig
from heedful.tasks.base import Task
from heedful.tasks.readers.series import ForecastReader, SeriesData, SeriesReader
from heedful.tasks.sections import (
    ClassWeighting,
    EncoderTraining,
    LabelColumn,
    LabelPrediction,
    TargetColumn,
)


class SeriesTraining(EncoderTraining):
    """Optimization, schedule, stopping and reproducibility."""

    batch_tokens: int = 4096
    learning_rate: float = 2e-3


class ClassifyTraining(ClassWeighting, SeriesTraining):
    """Optimization, schedule, stopping and reproducibility."""

    metric: Annotated[str, OneOf("metric", Label.metrics)] = "accuracy"


class TagTraining(SeriesTraining):
    """Optimization, schedule, stopping and reproducibility."""

    metric: Annotated[str, OneOf("metric", PositionLabel.metrics)] = "accuracy"


class RegressTraining(SeriesTraining):
    """Optimization, schedule, stopping and reproducibility."""

    label_smoothing: float = Field(0.0, ge=0, le=0)
    metric: Annotated[str, OneOf("metric", Number.metrics)] = "rmse"


class ForecastTraining(SeriesTraining):
    """Optimization, schedule, stopping and reproducibility."""

    label_smoothing: float = Field(0.0, ge=0, le=0)
    metric: Annotated[str, OneOf("metric", Forecast.metrics)] = "rmse"


class LabelledSeries(LabelColumn, SeriesData):
    """Files and columns of series and labels."""

    @property
    def answer(self) -> str:
        return self.label


class NumberedSeries(TargetColumn, SeriesData):
    """Files and columns of series and numbers."""

    @property
    def answer(self) -> str:
        return self.target


class ForecastData(SeriesData):
    """Files, columns and windows of the series."""

    horizon: int = Field(1, ge=1, description="Steps to forecast at once.")
    steps: int = Field(48, ge=1, description="Steps of input before the forecast.")
    stride: int = Field(
        1, ge=1, description="Steps between the starts of consecutive training windows."
    )
    season: int = Field(
        0,
        ge=0,
        description="Steps per season, for the seasonal-naive baseline; 0: no seasonal baseline.",
    )
    relative: bool = Field(
        False,
        description="Whether the last known value is taken off the steps that are read and added to those that are "
        "forecast: for series with a trend.",
    )

    @property
    def window(self) -> int:
        return self.steps

    @property
    def is_relative(self) -> bool:
        return self.relative


class SeriesConfig(Section):
    """Sections of all tasks on series."""

    data: SeriesData = SeriesData()
    inputs: SeriesInputsConfig = SeriesInputsConfig()
    encoder: EncoderSection = RecurrentEncoderConfig(hidden=64, layers=1)
    training: SeriesTraining = SeriesTraining()
    prediction: LabelPrediction = LabelPrediction()


class ClassifySeriesConfig(SeriesConfig):
    """Configuration of `heedful train classify-series`."""

    data: LabelledSeries = LabelledSeries()
    pooling: PoolingConfig = PoolingConfig()
    training: ClassifyTraining = ClassifyTraining()


class RegressSeriesConfig(SeriesConfig):
    """Configuration of `heedful train regress-series`."""

    data: NumberedSeries = NumberedSeries()
    pooling: PoolingConfig = PoolingConfig()
    training: RegressTraining = RegressTraining()


class TagSeriesConfig(SeriesConfig):
    """Configuration of `heedful train tag-series`."""

    data: LabelledSeries = LabelledSeries()
    labels: LabelsConfig = LabelsConfig(spans=False, dropout=0.1)
    training: TagTraining = TagTraining()


class ForecastConfig(SeriesConfig):
    """Configuration of `heedful train forecast`."""

    data: ForecastData = ForecastData()
    pooling: PoolingConfig = PoolingConfig(kind="last", dropout=0.0)
    training: ForecastTraining = ForecastTraining()


def _task(name: str, answer: Any, configuration: Any, reader: SeriesReader) -> Task:
    examples = "windows" if answer is Forecast else "series"
    return Task(
        name=name,
        examples=examples,
        unit="steps",
        configuration=configuration,
        input=SeriesInput,
        answer=answer,
        reader=reader,
    )


CLASSIFY: Final = _task("classify-series", Label, ClassifySeriesConfig, SeriesReader("label"))
REGRESS: Final = _task("regress-series", Number, RegressSeriesConfig, SeriesReader("number"))
TAG: Final = _task("tag-series", PositionLabel, TagSeriesConfig, SeriesReader("steps"))
FORECAST: Final = _task("forecast", Forecast, ForecastConfig, ForecastReader())
