"""Text classification: text × one or several labels."""

from __future__ import annotations

from typing import Annotated, Final

from heedful.answers.label import Label
from heedful.data.texts import TextColumns
from heedful.inputs.text import Text
from heedful.models.config import OneOf
from heedful.tasks.base import Task
from heedful.tasks.readers.texts import TextData, TextReader
from heedful.tasks.sections import ClassWeighting, EncoderTraining, LabelColumns, LabelPrediction
from heedful.tasks.text_config import TextConfig, describe


class ClassifyData(LabelColumns, TextData):
    """Files and columns of texts and labels."""

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
