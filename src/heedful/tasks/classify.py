"""Text classification: text × one or several labels."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from heedful.answers.label import Label
from heedful.data.texts import TextColumns
from heedful.data.words import canonical
from heedful.errors import OptionError
from heedful.inputs.text import Text
from heedful.models.config import OneOf
from heedful.tasks.base import Task
from heedful.tasks.readers.texts import TextData, TextReader
from heedful.tasks.sections import ClassWeighting, EncoderTraining, LabelColumn, LabelPrediction
from heedful.tasks.text_config import TextConfig, describe


class ClassifyData(LabelColumn, TextData):
    """Files and columns of texts and labels."""

    label_columns: tuple[str, ...] = Field(
        (),
        description="0/1 columns, one per label, instead of the label column (multi-label classification).",
    )

    @model_validator(mode="after")
    def _one_form_of_labels(self) -> Self:
        columns = self.label_columns
        if columns and self.separator:
            raise OptionError(
                "data.label_columns and data.separator are two forms of several labels; give one of them"
            )
        if len(set(map(canonical, columns))) < len(columns) or len(columns) == 1 or "" in columns:
            raise OptionError(
                f"data.label_columns is {list(columns)}; expected two or more columns, all different"
            )
        return self

    @property
    def multi_label(self) -> bool:
        return bool(self.label_columns) or super().multi_label

    @property
    def required_labels(self) -> tuple[str, ...]:
        return tuple(map(canonical, self.label_columns))

    def columns(self) -> TextColumns:
        return TextColumns(
            self.text,
            self.label,
            self.separator,
            label_columns=self.label_columns,
            encoding=self.encoding,
            max_line=self.max_line,
            skip_bad=self.skip_bad,
        )


class ClassifyTraining(ClassWeighting, EncoderTraining):
    """Optimization, schedule, stopping and reproducibility."""

    metric: Annotated[str, OneOf("metric", Label.metrics)] = "accuracy"


class ClassifyConfig(TextConfig):
    """Configuration of `heedful train classify`."""

    data: ClassifyData = ClassifyData()
    training: ClassifyTraining = ClassifyTraining()
    prediction: LabelPrediction = LabelPrediction()


TASK: Final = Task(
    name="classify",
    examples="texts",
    configuration=ClassifyConfig,
    input=Text,
    answer=Label,
    reader=TextReader(),
    describe=describe,
)
