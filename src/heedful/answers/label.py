"""One label for each sequence, or any number of labels."""

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
"""Labels up to which the whole matrix of confusions is shown; of more, the most frequent confusions."""
CONFUSIONS = 10


@dataclass(frozen=True)
class Labels:
    """The predicted labels of one input."""

    labels: tuple[str, ...]
    """One, or where an input may have several labels any number; none for an input without positions."""
    all_probabilities: Mapping[str, float] = field(default_factory=dict)
    """Of every label, also of those that were not given."""

    @property
    def label(self) -> str | None:
        """The first label; None where there is none."""
        return self.labels[0] if self.labels else None

    @property
    def probabilities(self) -> tuple[float, ...]:
        """The probabilities of the labels that were given."""
        return tuple(self.all_probabilities[label] for label in self.labels)


@dataclass(frozen=True)
class Label(LabelAnswer[Labels]):
    """One label a sequence, or with `multi_label` any number: topic, sentiment, event."""

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
    """Least probability of a label that is given, with `multi_label`."""

    @classmethod
    def check(cls, config: Any, train: Dataset, valid: Dataset) -> None:
        counts = Counter(label for labels in train.answers for label in labels)
        least = config.data.min_examples
        for row, labels in enumerate(train.answers):
            for label in labels:
                if counts[label] < least:
                    raise train.error(
                        row,
                        f"the label {label!r} has {_count(counts[label], train)}, and data.min_examples = {least} are "
                        "wanted to learn it from; add some, or merge it with another label.",
                    )
        check_seen(train, valid)
        if len(counts) < 2 and not config.data.separator:
            raise OptionError(
                f"every training {train.example} has the label {next(iter(counts))!r}; two labels or more are "
                "wanted"
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
        """Return the number of the label, or with `multi_label` 0 or 1 for each label."""
        found = []
        for labels in data.answers:
            numbers = self.numbers(labels)
            if self.multi_label:
                found.append([float(number in numbers) for number in range(len(self.labels))])
            else:
                found.append([float(numbers[0])])
        return found

    def collate(self, targets: Sequence[list[float]]) -> Tensor:
        return torch.tensor(targets)

    def head(self, encoder: Encoder) -> PooledHead:
        return PooledHead(self.pooling, encoder, len(self.labels))

    def cost(self, model: Any, batch: Any, targets: Tensor) -> Tensor:
        """Cross-entropy of the label; with `multi_label`, of the presence of each label."""
        scores, penalty = self.scored(model, batch)
        if self.multi_label:
            wanted = targets.to(scores.dtype)
            loss = F.binary_cross_entropy_with_logits(scores, wanted, reduction="sum")
        else:
            loss = F.cross_entropy(
                scores,
                targets[:, 0].long(),
                reduction="sum",
                label_smoothing=self.smoothing if model.training else 0.0,
            )
        return loss + penalty

    def predictions(self, scores: Tensor, batch: Batch) -> list[Labels]:
        found = scores.float().cpu()
        chances = found.sigmoid() if self.multi_label else found.softmax(-1)
        best = found.argmax(-1).tolist()
        return [self._given(row, best[n]) for n, row in enumerate(chances.tolist())]

    def _given(self, chances: list[float], best: int) -> Labels:
        if self.multi_label:
            given = [number for number, chance in enumerate(chances) if chance >= self.threshold]
        else:
            given = [best]
        return Labels(
            tuple(self.labels[number] for number in given),
            dict(zip(self.labels, chances, strict=True)),
        )

    def empty(self) -> Labels:
        return Labels(())

    def score(
        self,
        predicted: Sequence[Labels],
        data: Dataset,
        known: Sequence[Sequence[bool]] | None = None,
    ) -> LabelScores:
        given = [each.labels for each in predicted]
        return score_labels(given, data.answers, multi_label=self.multi_label)

    def tables(self, found: LabelScores) -> list[Rows]:
        accuracy = "subset accuracy" if found.confusion is None else "accuracy"
        summary = [
            [accuracy, f"{found.accuracy:.4f}"],
            ["macro F1", f"{found.macro_f1:.4f}"],
            ["micro F1", f"{found.micro_f1:.4f}"],
        ]
        rows = [
            [
                each.label,
                f"{each.wanted:,}",
                *(f"{x:.3f}" for x in (each.precision, each.recall, each.f1)),
            ]
            for each in found.labels
        ]
        head = ["label", "texts", "precision", "recall", "F1"]
        tables = [summary, [[""] * 5, head, *rows]]
        if found.confusion is not None:
            tables.append(_confusion(found.labels, found.confusion))
        return tables

    @classmethod
    def statistics(cls, predicted: Sequence[Labels], data: Dataset) -> Numbers:
        """Whether the label, or the set of labels, is right, and 1."""
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
    """Show the matrix, or where it is large its most frequent entries off the diagonal."""
    names = [each.label for each in labels]
    if len(names) <= SHOWN_LABELS:
        empty = [""] * (len(names) + 1)
        rows = [
            [name, *(f"{count:,}" for count in row)]
            for name, row in zip(names, confusion, strict=True)
        ]
        return [empty, ["true \\ given", *names], *rows]
    wrong = [
        (count, true, given)
        for true, row in zip(names, confusion, strict=True)
        for given, count in zip(names, row, strict=True)
        if count and true != given
    ]
    wrong.sort(key=lambda each: (-each[0], each[1:]))
    most = [[true, given, f"{count:,}"] for count, true, given in wrong[:CONFUSIONS]]
    return [["", "", ""], ["true label", "given", "times"], *most]
