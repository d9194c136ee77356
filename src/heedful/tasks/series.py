"""Series of numbers × a label, a number, a label a step, or the next steps."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from heedful.answers.forecast import Forecast
from heedful.answers.label import Label
from heedful.answers.number import Number
from heedful.answers.token_label import LabelsConfig, PositionLabel
from heedful.inputs.series import SeriesInput, SeriesInputsConfig
from heedful.models.config import Section
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.recurrent import RecurrentEncoderConfig
from heedful.models.heads import PoolingConfig
from heedful.tasks.base import PredictionConfig, Task
from heedful.tasks.readers.series import ForecastReader, SeriesData, SeriesReader
from heedful.tasks.training_config import EncoderTraining


class SeriesTraining(EncoderTraining):
    """How the model is trained."""

    batch_tokens: int = Field(4096, ge=1, description="Most steps in a batch, padding counted.")
    learning_rate: float = Field(2e-3, gt=0, description="The highest learning rate.")
    warmup_steps: int = Field(
        20, ge=0, description="Steps in which the learning rate rises from 0 to the highest."
    )


class LabelTraining(SeriesTraining):
    """How the model is trained."""

    metric: Literal["accuracy", "macro_f1", "loss"] = Field(
        "accuracy", description="The validation metric by which the best weights are chosen."
    )


class NumberTraining(SeriesTraining):
    """How the model is trained."""

    label_smoothing: float = Field(0.0, ge=0, le=0, description="Numbers are not smoothed.")
    metric: Literal["rmse", "mae", "r2", "loss"] = Field(
        "rmse", description="The validation metric by which the best weights are chosen."
    )


class ForecastTraining(SeriesTraining):
    """How the model is trained."""

    label_smoothing: float = Field(0.0, ge=0, le=0, description="Numbers are not smoothed.")
    metric: Literal["rmse", "mae", "skill", "loss"] = Field(
        "rmse", description="The validation metric by which the best weights are chosen."
    )


class LabelledSeries(SeriesData):
    """Where the series and their labels come from."""

    label: str = Field("label", description="Column of the labels.")
    separator: str = Field(
        "", description="Parts several labels in one field; empty: there is one."
    )
    min_examples: int = Field(
        2, ge=1, description="A label must have so many training series; fewer are an error."
    )

    @property
    def answer(self) -> str:
        return self.label


class NumberedSeries(SeriesData):
    """Where the series and their numbers come from."""

    target: str = Field("target", description="Column of the numbers.")

    @property
    def answer(self) -> str:
        return self.target


class ForecastData(SeriesData):
    """Where the series come from, and what is read and forecast."""

    horizon: int = Field(1, ge=1, description="Steps that are forecast at once.")
    steps: int = Field(48, ge=1, description="Steps that are read before those.")
    stride: int = Field(1, ge=1, description="Steps between the starts of two training windows.")
    season: int = Field(
        0,
        ge=0,
        description="Steps of a season, for the baseline of one season before; 0: there is none.",
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


class SeriesPrediction(PredictionConfig):
    """How a trained model reads files."""

    column: str = Field("predicted", min_length=1, description="Name of the column of predictions.")
    threshold: float = Field(
        0.5, gt=0, lt=1, description="With several labels: the least probability of one given."
    )


class SeriesConfig(Section):
    """What the configurations of all tasks on series share."""

    data: SeriesData = Field(SeriesData(), description="Where the series come from.")
    inputs: SeriesInputsConfig = Field(
        SeriesInputsConfig(), description="How a step becomes features."
    )
    encoder: EncoderSection = Field(
        default_factory=lambda: RecurrentEncoderConfig(hidden=64, layers=1),
        description="What a step knows of its context.",
    )
    training: SeriesTraining = Field(SeriesTraining(), description="How the model is trained.")
    prediction: SeriesPrediction = Field(
        SeriesPrediction(), description="How a trained model reads files."
    )


class ClassifySeriesConfig(SeriesConfig):
    """Configuration of `heedful train classify-series`."""

    data: LabelledSeries = Field(LabelledSeries(), description="Where series and labels come from.")
    pooling: PoolingConfig = Field(PoolingConfig(), description="How states become one vector.")
    training: LabelTraining = Field(LabelTraining(), description="How the model is trained.")


class RegressSeriesConfig(SeriesConfig):
    """Configuration of `heedful train regress-series`."""

    data: NumberedSeries = Field(NumberedSeries(), description="Where series and numbers are.")
    pooling: PoolingConfig = Field(PoolingConfig(), description="How states become one vector.")
    training: NumberTraining = Field(NumberTraining(), description="How the model is trained.")


class TagSeriesConfig(SeriesConfig):
    """Configuration of `heedful train tag-series`."""

    data: LabelledSeries = Field(LabelledSeries(), description="Where series and labels come from.")
    labels: LabelsConfig = Field(
        LabelsConfig(spans=False, dropout=0.1), description="How labels are scored."
    )
    training: LabelTraining = Field(LabelTraining(), description="How the model is trained.")


class ForecastConfig(SeriesConfig):
    """Configuration of `heedful train forecast`."""

    data: ForecastData = Field(ForecastData(), description="Where the series come from.")
    pooling: PoolingConfig = Field(
        PoolingConfig(kind="last", dropout=0.0), description="How states become one vector."
    )
    training: ForecastTraining = Field(ForecastTraining(), description="How the model is trained.")


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
