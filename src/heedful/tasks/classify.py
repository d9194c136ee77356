"""Classifying: text × one label, or several."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from heedful.answers.label import Label
from heedful.data.texts import TextColumns
from heedful.inputs.text import Text
from heedful.tasks.base import Task
from heedful.tasks.readers.texts import TextData, TextReader
from heedful.tasks.text_config import TextConfig, TextPrediction, describe
from heedful.tasks.training_config import EncoderTraining


class ClassifyData(TextData):
    """Where the texts and their labels come from."""

    label: str = Field("label", description="Column of the labels, likewise.")
    separator: str = Field(
        "",
        description="Parts several labels in one field, as in a,b: each text then has any number of labels. "
        "Empty: each text has one.",
    )
    min_examples: int = Field(
        2, ge=1, description="A label must have so many training texts; fewer are an error."
    )

    def columns(self) -> TextColumns:
        return TextColumns(self.text, self.label, self.separator)


class ClassifyTraining(EncoderTraining):
    """How the model is trained."""

    label_smoothing: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of each target's probability spread over all labels; not with several a text.",
    )
    metric: Literal["accuracy", "macro_f1", "micro_f1", "loss"] = Field(
        "accuracy",
        description="The validation figure by which the best weights are chosen. With several labels a text "
        "accuracy is the share of texts whose labels are all right, and none other.",
    )


class ClassifyPrediction(TextPrediction):
    """How a trained classifier reads files."""

    threshold: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="With several labels a text: the least probability of one given.",
    )


class ClassifyConfig(TextConfig):
    """Configuration of `heedful train classify`."""

    data: ClassifyData = Field(ClassifyData(), description="Where texts and labels come from.")
    training: ClassifyTraining = Field(ClassifyTraining(), description="How the model is trained.")
    prediction: ClassifyPrediction = Field(
        ClassifyPrediction(), description="How a trained model reads files."
    )


TASK: Final = Task(
    name="classify",
    examples="texts",
    configuration=ClassifyConfig,
    input=Text,
    answer=Label,
    reader=TextReader(),
    describe=describe,
)
