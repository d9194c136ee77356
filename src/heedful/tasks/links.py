"""Pairs of nodes × a link."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from heedful.answers.link import Link
from heedful.inputs.links import Links
from heedful.models.config import Chunk, OneOf, PredictionBatch
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.graph import GraphConfig
from heedful.models.encoders.nodes import NodesConfig
from heedful.tasks.base import Task
from heedful.tasks.nodes import NodeNumbers, NodePooling, NodesTaskConfig, NodeTraining
from heedful.tasks.readers.links import LinkData, LinkReader


class LinkTraining(NodeTraining):
    """Optimization, schedule, stopping and reproducibility."""

    epochs: int = 100
    batch_tokens: int = Field(1024, ge=1, description="Maximum links in a step.")
    weight_decay: float = 0.0
    patience: int = 20
    metric: Annotated[str, OneOf("metric", Link.metrics)] = "mrr"


class LinkNodes(NodesConfig):
    """Features of nodes and edges."""

    dropout: float = 0.2
    min_frequency: int = 1


class LinkPrediction(NodeNumbers):
    """Batching and output of predictions."""

    batch_tokens: PredictionBatch = 1024
    chunk: Chunk = 2**16


class LinksConfig(NodesTaskConfig):
    """Configuration of `heedful train links`."""

    data: LinkData = LinkData()
    inputs: LinkNodes = LinkNodes()
    encoder: EncoderSection = GraphConfig(kind="gat", width=64, heads=8, layers=2, dropout=0.2)
    pooling: NodePooling = NodePooling()
    training: LinkTraining = LinkTraining()
    prediction: LinkPrediction = LinkPrediction()


TASK: Final = Task(
    name="links",
    examples="links",
    unit="nodes",
    configuration=LinksConfig,
    input=Links,
    answer=Link,
    reader=LinkReader(),
)
