"""Regression: text × one number."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from heedful.answers.number import Number
from heedful.data.texts import TextColumns
from heedful.inputs.text import Text
from heedful.tasks.base import Task
from heedful.tasks.readers.texts import TextData, TextReader
from heedful.tasks.text_config import TextConfig, TextPrediction, describe
from heedful.tasks.training_config import EncoderTraining


class RegressData(TextData):
    """Where the texts and their targets come from."""

    target: str = Field("target", description="Column of the numbers, likewise.")

    def columns(self) -> TextColumns:
        return TextColumns(self.text, self.target, answer_is_label=False)


class RegressTraining(EncoderTraining):
    """How the model is trained."""

    label_smoothing: float = Field(0.0, ge=0, le=0, description="Numbers are not smoothed.")
    metric: Literal["rmse", "mae", "r2", "loss"] = Field(
        "rmse", description="The validation figure by which the best weights are chosen."
    )


class RegressConfig(TextConfig):
    """Configuration of `heedful train regress`."""

    data: RegressData = Field(RegressData(), description="Where texts and targets come from.")
    training: RegressTraining = Field(RegressTraining(), description="How the model is trained.")
    prediction: TextPrediction = Field(
        TextPrediction(), description="How a trained model reads files."
    )


TASK: Final = Task(
    name="regress",
    examples="texts",
    configuration=RegressConfig,
    input=Text,
    answer=Number,
    reader=TextReader(),
    describe=describe,
)
