"""Whole graphs × a label or a number, or several of either."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final

from pydantic import Field

from heedful.answers.label import Label
from heedful.answers.number import Number
from heedful.data.text_rows import TextColumns
from heedful.inputs.graphs import Graphs
from heedful.models.config import OneOf, Section
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.graph import GraphConfig
from heedful.models.encoders.nodes import NodesConfig
from heedful.models.heads import PoolingConfig
from heedful.models.model import EnsembleConfig
from heedful.tasks.base import Task
from heedful.tasks.readers.graphs import GraphData, GraphReader
from heedful.tasks.sections import (
    ClassWeighting,
    ColumnPrediction,
    EncoderTraining,
    LabelColumns,
    LabelPrediction,
    TargetColumn,
)


class LabelledGraphs(LabelColumns, GraphData):
    """Files, columns and parts of graphs and labels."""

    def columns(self) -> TextColumns:
        columns = self.answer_columns(self.label, self.separator, is_label=True)
        return replace(columns, label_columns=self.label_columns, blanks=True)


class MeasuredGraphs(TargetColumn, GraphData):
    """Files, columns and parts of graphs and numbers."""

    def columns(self) -> TextColumns:
        return self.answer_columns(self.target, "", is_label=False)


class GraphFeaturesConfig(NodesConfig):
    """Features of nodes and edges."""

    dropout: float = Field(
        0.0, ge=0, lt=1, description="Probability of dropping a word or a category of a node."
    )


class GraphTraining(EncoderTraining):
    """Optimization, schedule, stopping and reproducibility."""

    epochs: int = 60
    batch_tokens: int = Field(1000, ge=1, description="Maximum nodes in a batch, padding included.")
    average_epochs: int = 1


class ClassifyTraining(ClassWeighting, GraphTraining):
    """Optimization, schedule, stopping and reproducibility."""

    metric: Annotated[str, OneOf("metric", Label.metrics)] = "accuracy"


class RegressTraining(GraphTraining):
    """Optimization, schedule, stopping and reproducibility."""

    label_smoothing: float = Field(0.0, ge=0, le=0)
    metric: Annotated[str, OneOf("metric", Number.metrics)] = "rmse"


class GraphsTaskConfig(Section):
    """Sections of all tasks on whole graphs."""

    data: GraphData
    inputs: GraphFeaturesConfig = GraphFeaturesConfig()
    encoder: EncoderSection = GraphConfig(width=64)
    pooling: PoolingConfig = PoolingConfig(dropout=0.1)
    ensemble: EnsembleConfig = EnsembleConfig()
    training: GraphTraining = GraphTraining()
    prediction: ColumnPrediction = ColumnPrediction()


class ClassifyGraphsConfig(GraphsTaskConfig):
    """Configuration of `heedful train classify-graphs`."""

    data: LabelledGraphs = LabelledGraphs()
    training: ClassifyTraining = ClassifyTraining()
    prediction: LabelPrediction = LabelPrediction()


class RegressGraphsConfig(GraphsTaskConfig):
    """Configuration of `heedful train regress-graphs`."""

    data: MeasuredGraphs = MeasuredGraphs()
    training: RegressTraining = RegressTraining()


CLASSIFY: Final = Task(
    name="classify-graphs",
    examples="graphs",
    unit="nodes",
    configuration=ClassifyGraphsConfig,
    input=Graphs,
    answer=Label,
    reader=GraphReader(),
)
REGRESS: Final = Task(
    name="regress-graphs",
    examples="graphs",
    unit="nodes",
    configuration=RegressGraphsConfig,
    input=Graphs,
    answer=Number,
    reader=GraphReader(),
)
