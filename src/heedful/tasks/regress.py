"""Text regression: text × one number."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from heedful.answers.number import Number
from heedful.data.texts import TextColumns
from heedful.inputs.text import Text
from heedful.models.config import OneOf
from heedful.tasks.base import Task
from heedful.tasks.readers.texts import TextData, TextReader
from heedful.tasks.sections import EncoderTraining, TargetColumn
from heedful.tasks.text_config import TextConfig, describe


class RegressData(TargetColumn, TextData):
    """Files and columns of texts and numbers."""

    def columns(self) -> TextColumns:
        return TextColumns(
            self.text,
            self.target,
            answer_is_label=False,
            encoding=self.encoding,
            max_line=self.max_line,
            skip_bad=self.skip_bad,
        )


class RegressTraining(EncoderTraining):
    """Optimization, schedule, stopping and reproducibility."""

    label_smoothing: float = Field(0.0, ge=0, le=0)
    metric: Annotated[str, OneOf("metric", Number.metrics)] = "rmse"


class RegressConfig(TextConfig):
    """Configuration of `heedful train regress`."""

    data: RegressData = RegressData()
    training: RegressTraining = RegressTraining()


TASK: Final = Task(
    name="regress",
    examples="texts",
    configuration=RegressConfig,
    input=Text,
    answer=Number,
    reader=TextReader(),
    describe=describe,
)
