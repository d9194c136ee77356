"""Nodes of a graph × a label or a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field, model_validator

from heedful.answers.label import Label
from heedful.answers.number import Number
from heedful.data.graphs.tables import NODE
from heedful.data.text_rows import TextColumns
from heedful.inputs.nodes import Nodes
from heedful.models.config import Chunk, OneOf, PredictionBatch, Section, choices_of
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.graph import GraphConfig
from heedful.models.encoders.nodes import NodesConfig
from heedful.models.heads import PoolingConfig
from heedful.models.model import EnsembleConfig
from heedful.tasks.base import Task
from heedful.tasks.readers.nodes import NodeData, NodeReader
from heedful.tasks.sections import (
    ClassWeighting,
    ColumnPrediction,
    EncoderTraining,
    LabelColumn,
    LabelPrediction,
    Schedule,
    TargetColumn,
)


class LabelledNodes(LabelColumn, NodeData):
    """Files, columns and parts of nodes and labels."""

    def answer_columns(self) -> TextColumns:
        return TextColumns(NODE, self.label, self.separator)


class MeasuredNodes(TargetColumn, NodeData):
    """Files, columns and parts of nodes and numbers."""

    def answer_columns(self) -> TextColumns:
        return TextColumns(NODE, self.target, answer_is_label=False)


class NodeTraining(EncoderTraining):
    """Optimization, schedule, stopping and reproducibility."""

    epochs: int = 1000
    batch_tokens: int = Field(
        2**17,
        ge=1,
        description="Maximum nodes with an answer in a step; most graphs are one batch.",
    )
    learning_rate: float = 5e-3
    schedule: Schedule = "constant"
    warmup_share: float = 0.0
    weight_decay: float = 5e-4
    decoupled_decay: bool = False
    adam_betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float = 0.0
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    average_epochs: int = 1
    patience: int = 200


class ClassifyTraining(ClassWeighting, NodeTraining):
    """Optimization, schedule, stopping and reproducibility."""

    metric: Annotated[str, OneOf("metric", Label.metrics)] = "loss"


class RegressTraining(NodeTraining):
    """Optimization, schedule, stopping and reproducibility."""

    metric: Annotated[str, OneOf("metric", Number.metrics)] = "rmse"


class NodePooling(PoolingConfig):
    """The state of a node, from which the answer is read."""

    kind: Annotated[str, OneOf("pooling", ("last",))] = Field(
        "last", description="The state of the node: there is nothing to pool."
    )
    dropout: float = 0.0


class NodeLabels(LabelPrediction):
    """Batching and output of predictions."""

    batch_tokens: PredictionBatch = 2**17
    chunk: Chunk = 2**17


class NodeNumbers(ColumnPrediction):
    """Batching and output of predictions."""

    batch_tokens: PredictionBatch = 2**17
    chunk: Chunk = 2**17


DEFAULT: Final = GraphConfig(
    kind="gat",
    width=64,
    heads=8,
    layers=2,
    residual=False,
    projections=False,
    dropout=0.6,
    attention_dropout=0.6,
)
"""The sizes of Veličković et al. 2018, for few labels."""


class NodesTaskConfig(Section):
    """Sections of all tasks on nodes."""

    data: NodeData
    inputs: NodesConfig = NodesConfig()
    encoder: EncoderSection = DEFAULT
    pooling: PoolingConfig = NodePooling()
    ensemble: EnsembleConfig = EnsembleConfig()
    training: NodeTraining = NodeTraining()
    prediction: ColumnPrediction = NodeNumbers()

    @model_validator(mode="before")
    @classmethod
    def _fill_encoder(cls, values: Any) -> Any:
        """Give graph encoders that are chosen by name the settings of the task's default."""
        default = cls.model_fields["encoder"].default
        given = values.get("encoder") if isinstance(values, Mapping) else None
        kinds = choices_of(GraphConfig.model_fields["kind"])
        if not isinstance(given, Mapping) or given.get("kind", default.kind) not in kinds:
            return values
        filled = {**default.model_dump(), **given}
        needs_maps = (
            filled["kind"] == "graph-transformer" or filled["residual"] or filled["mean_heads"]
        )
        return {
            **values,
            "encoder": {**filled, "projections": given.get("projections", needs_maps)},
        }


class ClassifyNodesConfig(NodesTaskConfig):
    """Configuration of `heedful train classify-nodes`."""

    data: LabelledNodes = LabelledNodes()
    training: ClassifyTraining = ClassifyTraining()
    prediction: NodeLabels = NodeLabels()


class RegressNodesConfig(NodesTaskConfig):
    """Configuration of `heedful train regress-nodes`."""

    data: MeasuredNodes = MeasuredNodes()
    training: RegressTraining = RegressTraining()
    prediction: NodeNumbers = NodeNumbers()


CLASSIFY: Final = Task(
    name="classify-nodes",
    examples="nodes",
    unit="nodes",
    configuration=ClassifyNodesConfig,
    input=Nodes,
    answer=Label,
    reader=NodeReader(),
)
REGRESS: Final = Task(
    name="regress-nodes",
    examples="nodes",
    unit="nodes",
    configuration=RegressNodesConfig,
    input=Nodes,
    answer=Number,
    reader=NodeReader(),
)
