"""Sequence classification: one label per input, or any number of labels (multi-label)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from heedful.answers.base import Metric, Numbers, Rows, Values
from heedful.answers.labels import LabelAnswer, check_seen
from heedful.answers.sequence_metrics import LabelMetrics, LabelScores, score_labels
from heedful.data.dataset import Dataset
from heedful.data.lexicon import Lexicon
from heedful.errors import OptionError
from heedful.models.encoders import Encoder
from heedful.models.heads import PooledHead, PoolingConfig
from heedful.models.model import Batch

SHOWN_LABELS = 12
"""Maximum labels for a full confusion matrix; above it, only the most frequent confusions are shown."""
CONFUSIONS = 10


@dataclass(frozen=True)
class Labels:
    """The predicted labels of one input."""

    labels: tuple[str, ...]
    """One label; any number for multi-label; none for an input without positions."""
    all_probabilities: Mapping[str, float] = field(default_factory=dict)
    """The probability of every label in the label set."""

    @property
    def label(self) -> str | None:
        """The first label, or None."""
        return self.labels[0] if self.labels else None

    @property
    def probabilities(self) -> tuple[float, ...]:
        """The probabilities of the predicted labels."""
        return tuple(self.all_probabilities[label] for label in self.labels)


@dataclass(frozen=True)
class Label(LabelAnswer[Labels]):
    """One label per input, or any number with `multi_label`."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric("loss"),
        "accuracy": Metric("accuracy", ".4f"),
        "macro_f1": Metric("macro F1", ".4f"),
        "micro_f1": Metric("micro F1", ".4f"),
    }
    charts: ClassVar[Sequence[tuple[str, ...]]] = (("accuracy", "macro_f1"),)
    primary_metric: ClassVar[str] = "accuracy"

    pooling: PoolingConfig
    smoothing: float
    multi_label: bool
    threshold: float
    """Minimum probability of a predicted label, with `multi_label`."""

    @classmethod
    def check(cls, config: Any, train: Dataset, valid: Dataset) -> None:
        counts = Counter(label for labels in train.answers for label in labels)
        minimum = config.data.min_examples
        for row, labels in enumerate(train.answers):
            for label in labels:
                if counts[label] < minimum:
                    raise train.error(
                        row,
                        f"the label {label!r} has {_count(counts[label], train)}; expected at least "
                        f"data.min_examples = {minimum}; add examples, or merge it with another label.",
                    )
        check_seen(train, valid)
        if len(counts) < 2 and not config.data.separator:
            raise OptionError(
                f"every training {train.example} has the label {next(iter(counts))!r}; expected at least two "
                "labels"
            )

    @classmethod
    def learn(cls, config: Any, answers: Sequence[Sequence[str]]) -> Self:
        return cls._of(config, Lexicon.learn(label for labels in answers for label in labels))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls._of(config, cls.load_labels(folder))

    @classmethod
    def _of(cls, config: Any, lexicon: Lexicon) -> Self:
        return cls(
            lexicon,
            config.pooling,
            config.training.label_smoothing,
            bool(config.data.separator),
            config.prediction.threshold,
        )

    def targets(self, data: Dataset) -> list[list[float]]:
        """Return the label index, or with `multi_label` a multi-hot vector."""
        targets = []
        for labels in data.answers:
            indices = self.label_indices(labels)
            if self.multi_label:
                targets.append([float(index in indices) for index in range(len(self.labels))])
            else:
                targets.append([float(indices[0])])
        return targets

    def collate(self, targets: Sequence[list[float]]) -> Tensor:
        return torch.tensor(targets)

    def head(self, encoder: Encoder) -> PooledHead:
        return PooledHead(self.pooling, encoder, len(self.labels))

    def network_loss(self, model: Any, batch: Any, targets: Tensor) -> Tensor:
        """Cross-entropy of the label; with `multi_label`, binary cross-entropy of each label."""
        scores, penalty = self.scores_and_penalty(model, batch)
        if self.multi_label:
            loss = F.binary_cross_entropy_with_logits(
                scores, targets.to(scores.dtype), reduction="sum"
            )
        else:
            loss = F.cross_entropy(
                scores,
                targets[:, 0].long(),
                reduction="sum",
                label_smoothing=self.smoothing if model.training else 0.0,
            )
        return loss + penalty

    def predictions(self, scores: Tensor, batch: Batch) -> list[Labels]:
        logits = scores.float().cpu()
        probabilities = logits.sigmoid() if self.multi_label else logits.softmax(-1)
        best = logits.argmax(-1).tolist()
        return [self._predicted(row, best[n]) for n, row in enumerate(probabilities.tolist())]

    def _predicted(self, probabilities: list[float], best: int) -> Labels:
        by_label = dict(zip(self.labels, probabilities, strict=True))
        if not self.multi_label:
            return Labels((self.labels[best],), by_label)
        chosen = tuple(label for label, p in by_label.items() if p >= self.threshold)
        return Labels(chosen, by_label)

    def empty(self) -> Labels:
        return Labels(())

    def score(
        self,
        predicted: Sequence[Labels],
        data: Dataset,
        in_vocabulary: Sequence[Sequence[bool]] | None = None,
    ) -> LabelScores:
        labels = [each.labels for each in predicted]
        return score_labels(labels, data.answers, multi_label=self.multi_label)

    def tables(self, metrics: LabelScores) -> list[Rows]:
        accuracy = "subset accuracy" if metrics.confusion is None else "accuracy"
        summary = [
            [accuracy, f"{metrics.accuracy:.4f}"],
            ["macro F1", f"{metrics.macro_f1:.4f}"],
            ["micro F1", f"{metrics.micro_f1:.4f}"],
        ]
        rows = [
            [
                each.label,
                f"{each.wanted:,}",
                *(f"{x:.3f}" for x in (each.precision, each.recall, each.f1)),
            ]
            for each in metrics.labels
        ]
        header = ["label", "texts", "precision", "recall", "F1"]
        tables = [summary, [[""] * 5, header, *rows]]
        if metrics.confusion is not None:
            tables.append(_confusion(metrics.labels, metrics.confusion))
        return tables

    @classmethod
    def statistics(cls, predicted: Sequence[Labels], data: Dataset) -> Numbers:
        """Return (correct, 1): correct is 1 if the set of labels equals the reference."""
        return np.array(
            [
                (set(one.labels) == set(labels), 1)
                for one, labels in zip(predicted, data.answers, strict=True)
            ],
            dtype=np.float64,
        )

    def to_text(self, prediction: Labels) -> str:
        return " + ".join(prediction.labels) or "–"

    def to_json(self, prediction: Labels) -> Values:
        return {
            "labels": list(prediction.labels),
            "probabilities": list(prediction.probabilities),
        }

    def columns(self, name: str) -> list[str]:
        return [name] if self.multi_label else [name, f"{name}_probability"]

    def cells(self, prediction: Labels) -> list[Any]:
        if self.multi_label:
            return [prediction.labels]
        if not prediction.labels:
            return ["", ""]
        return [prediction.labels[0], prediction.probabilities[0]]


def _count(number: int, data: Dataset) -> str:
    plural = "" if number == 1 or data.example.endswith("s") else "s"
    return f"{number} training {data.example}{plural}"


def _confusion(labels: Sequence[LabelMetrics], confusion: Sequence[Sequence[int]]) -> Rows:
    """Return the confusion matrix as a table, or if it is large its most frequent off-diagonal entries."""
    names = [each.label for each in labels]
    if len(names) <= SHOWN_LABELS:
        empty = [""] * (len(names) + 1)
        rows = [
            [name, *(f"{count:,}" for count in row)]
            for name, row in zip(names, confusion, strict=True)
        ]
        return [empty, ["true \\ predicted", *names], *rows]
    wrong = [
        (count, true, predicted)
        for true, row in zip(names, confusion, strict=True)
        for predicted, count in zip(names, row, strict=True)
        if count and true != predicted
    ]
    wrong.sort(key=lambda each: (-each[0], each[1:]))
    rows = [[true, predicted, f"{count:,}"] for count, true, predicted in wrong[:CONFUSIONS]]
    return [["", "", ""], ["true label", "predicted", "count"], *rows]
