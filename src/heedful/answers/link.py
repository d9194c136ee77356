"""Links: the rank of a target among nodes that the source has no link to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from heedful.answers.base import HeadAnswer, Metric, Numbers, Rows, Values
from heedful.data.dataset import Dataset
from heedful.models.encoders import Encoder
from heedful.models.link_head import LinkHead
from heedful.models.model import Batch, Model


@dataclass(frozen=True)
class LinkScore:
    """The score of one pair."""

    score: float | None
    """Larger is more probable; to be compared with other targets of the same source."""
    rank: float | None = None
    """Among the negatives of the pair, from 1; ties count half. None without negatives."""


@dataclass(frozen=True)
class LinkScores:
    """Metrics of ranked links, beside those of a ranking by popularity."""

    mrr: float
    hits_1: float
    hits_10: float
    popularity_mrr: float
    """Of ranking by the number of training edges of a node."""
    popularity_hits_10: float
    negatives: int


@dataclass(frozen=True)
class Link(HeadAnswer[LinkScore]):
    """Whether a link is there, as a ranking: mean reciprocal rank and hits among fixed negatives.

    Reads pooling.dropout.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric("loss"),
        "mrr": Metric("MRR", ".4f"),
        "hits_1": Metric("hits@1", ".4f"),
        "hits_10": Metric("hits@10", ".4f"),
    }
    charts: ClassVar[Sequence[tuple[str, ...]]] = (("mrr", "hits_1", "hits_10"),)
    primary_metric: ClassVar[str] = "mrr"

    dropout: float = 0.0

    @classmethod
    def learn(cls, config: Any, answers: Sequence[Any]) -> Self:
        return cls(config.pooling.dropout)

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls(config.pooling.dropout)

    def save(self, folder: Path) -> None:
        """Write nothing: nothing is learned from the answers."""

    def targets(self, data: Dataset) -> list[int]:
        """Return the place of the target among the candidates: it comes first."""
        return [0] * len(data)

    def collate(self, targets: Sequence[int]) -> Tensor:
        return torch.tensor(targets)

    def head(self, encoder: Encoder) -> LinkHead:
        return LinkHead(encoder.width, self.dropout)

    def network_loss(self, model: Any, batch: Any, targets: Tensor) -> Tensor:
        """Cross-entropy of the target among the candidates."""
        scores, penalty = self.scores_and_penalty(model, batch)
        return F.cross_entropy(scores, targets, reduction="sum") + penalty

    def predictions(self, scores: Tensor, batch: Batch) -> list[LinkScore]:
        own, others = scores[:, :1], scores[:, 1:]
        ranks = (1 + (others > own).sum(1) + 0.5 * (others == own).sum(1)).tolist()
        has_others = others.shape[1] > 0
        return [
            LinkScore(score, rank if has_others else None)
            for score, rank in zip(own[:, 0].tolist(), ranks, strict=True)
        ]

    def empty(self) -> LinkScore:
        return LinkScore(None)

    def explained_score(
        self, model: Model, features: Tensor, batch: Any, prediction: Any
    ) -> Tensor:
        return model.score_features(features, batch)[0][:, 0].sum()

    def score(
        self,
        predicted: Sequence[LinkScore],
        data: Any,
        in_vocabulary: Sequence[Sequence[bool]] | None = None,
    ) -> LinkScores:
        ranks = np.array([each.rank or 1.0 for each in predicted])
        popular = popularity_ranks(data)
        return LinkScores(
            float((1 / ranks).mean()),
            float((ranks <= 1).mean()),
            float((ranks <= 10).mean()),
            float((1 / popular).mean()),
            float((popular <= 10).mean()),
            int(data.others.shape[1]) if len(data.others) else 0,
        )

    def tables(self, metrics: LinkScores) -> list[Rows]:
        of = f"among {metrics.negatives:,} others"
        return [
            [
                ["", "model", "popularity"],
                [f"MRR, {of}", f"{metrics.mrr:.4f}", f"{metrics.popularity_mrr:.4f}"],
                ["hits@1", f"{metrics.hits_1:.4f}", ""],
                ["hits@10", f"{metrics.hits_10:.4f}", f"{metrics.popularity_hits_10:.4f}"],
            ]
        ]

    def statistics(self, predicted: Sequence[LinkScore], data: Dataset) -> Numbers:
        """Return (reciprocal rank, 1) of each pair."""
        return np.array([(1 / (each.rank or 1.0), 1) for each in predicted], dtype=np.float64)

    def to_text(self, prediction: LinkScore) -> str:
        return "–" if prediction.score is None else f"{prediction.score:.4g}"

    def to_json(self, prediction: LinkScore) -> Values:
        return {"score": prediction.score}

    def cells(self, prediction: LinkScore) -> list[Any]:
        return ["" if prediction.score is None else prediction.score]


def popularity_ranks(data: Any) -> Numbers:
    """Return the rank of each target by the number of training edges that point to it; ties count half."""
    if not len(data.others):
        return np.ones(len(data))
    counts = np.diff(data.graph.start)
    own, others = counts[data.pairs[:, 1]][:, None], counts[data.others]
    ranks: Numbers = 1 + (others > own).sum(1) + 0.5 * (others == own).sum(1)
    return ranks
