"""Sequence classification: one label per input, or any number of labels (multi-label)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from heedful.answers.base import Metric, Numbers, ReportTable, Rows, Values
from heedful.answers.calibration import (
    Calibration,
    calibration_error,
    class_probabilities,
    fit_calibration,
    save_calibration,
)
from heedful.answers.class_output import ClassOutput, most_probable
from heedful.answers.class_weights import (
    Weights,
    extend_weights,
    learn_weights,
    load_weights,
    save_weights,
    weights_of,
)
from heedful.answers.constant import constant_warning
from heedful.answers.label_checks import check_labels
from heedful.answers.label_tables import (
    calibration_report,
    confusion_reports,
    confusion_tables,
    label_report,
    label_table,
    summary_rows,
)
from heedful.answers.labels import LabelAnswer
from heedful.answers.mixup import mix_images
from heedful.answers.sequence_metrics import LabelScores, score_labels
from heedful.data.dataset import Dataset
from heedful.data.indicator_columns import unknown_labels
from heedful.data.lexicon import Lexicon
from heedful.errors import OptionError
from heedful.models.encoders import Encoder
from heedful.models.heads import PooledHead, PoolingConfig
from heedful.models.model import Batch


@dataclass(frozen=True)
class Labels:
    """The predicted labels of one input."""

    labels: tuple[str, ...]
    """One label; any number for multi-label; none for an input without positions, or below the threshold."""
    all_probabilities: Mapping[str, float] = field(default_factory=dict)
    """The calibrated probability of every label in the label set."""
    scores: tuple[float, ...] = field(default=(), repr=False)
    """The score of every label before calibration: a logit."""
    top: tuple[tuple[str, float], ...] = ()
    """With `top_k`, that many labels with their probabilities, most probable first."""

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
    """One label per input, or any number with `multi_label`.

    Reads from a configuration: `pooling`; `training.label_smoothing`, `class_weights` and `class_weights_beta`;
    `data.multi_label` (`separator`, `label_columns`) and `data.min_examples`; `prediction.threshold`.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric("loss"),
        "accuracy": Metric("accuracy", ".4f"),
        "macro_f1": Metric("macro F1", ".4f"),
        "micro_f1": Metric("micro F1", ".4f"),
    }
    charts: ClassVar[Sequence[tuple[str, ...]]] = (("accuracy", "macro_f1"),)
    primary_metric: ClassVar[str] = "accuracy"
    search_options: ClassVar[frozenset[str]] = frozenset({"threshold", "top_k"})
    command_options: ClassVar[frozenset[str]] = frozenset({"probabilities"})
    has_report_tables: ClassVar[bool] = True
    has_calibration: ClassVar[bool] = True

    pooling: PoolingConfig
    smoothing: float
    multi_label: bool
    threshold: float
    """Minimum probability of a predicted label, with `multi_label`."""
    class_weights: Weights | None = None
    """Weights of the classes in the training loss; None: all 1."""
    calibration: Calibration | None = None
    """None: temperature 1."""
    mixup: float = 0.0
    """α of mixup in training, see `mix_images`; 0: off."""

    @classmethod
    def check(cls, config: Any, train: Dataset, valid: Dataset) -> None:
        check_labels(config.data, train, valid)

    @classmethod
    def learn(cls, config: Any, answers: Sequence[Sequence[str]]) -> Self:
        lexicon = Lexicon.learn(label for labels in answers for label in labels)
        return cls._of(config, lexicon)._weighted(config, answers)

    def _weighted(self, config: Any, answers: Sequence[Sequence[str]]) -> Self:
        """Return this answer with the class weights of training answers."""
        weights = learn_weights(
            answers,
            self.labels,
            config.training.class_weights,
            config.training.class_weights_beta,
            multi_label=self.multi_label,
        )
        return replace(self, class_weights=weights)

    def extend(self, initial: Self) -> Self:
        extended = super().extend(initial)
        if self.class_weights is None:
            return extended
        weights = extend_weights(
            self.class_weights, self.labels, extended.labels, multi_label=self.multi_label
        )
        return replace(extended, class_weights=weights)

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return replace(
            cls._of(config, cls.load_labels(folder)),
            class_weights=load_weights(folder, config.training.class_weights),
            calibration=Calibration.load(folder),
        )

    @classmethod
    def load_finished(cls, config: Any, folder: Path, answers: Sequence[Sequence[str]]) -> Self:
        """The class weights are those of `answers`, and the calibration is left out until the end of the training."""
        return cls._of(config, cls.load_labels(folder))._weighted(config, answers)

    def save(self, folder: Path) -> None:
        super().save(folder)
        save_weights(folder, self.labels, self.class_weights)
        save_calibration(folder, self.calibration)

    @property
    def temperature(self) -> float:
        """The temperature that scores are divided by."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    @classmethod
    def _of(cls, config: Any, lexicon: Lexicon) -> Self:
        return cls(
            lexicon,
            config.pooling,
            config.training.label_smoothing,
            config.data.multi_label,
            config.prediction.threshold,
            mixup=getattr(getattr(config, "augmentation", None), "mixup", 0.0),
        )

    def targets(self, data: Dataset) -> list[list[float]]:
        """Return the label index, or with `multi_label` a multi-hot vector, NaN where it is not known."""
        if self.multi_label:
            return [self._multi_hot(labels) for labels in data.answers]
        return [[float(self.label_indices(labels)[0])] for labels in data.answers]

    def _multi_hot(self, labels: Sequence[str]) -> list[float]:
        unknown = unknown_labels(labels)
        return [
            float("nan") if label in unknown else float(label in labels) for label in self.labels
        ]

    def collate(self, targets: Sequence[list[float]]) -> Tensor:
        return torch.tensor(targets)

    def head(self, encoder: Encoder) -> PooledHead:
        return PooledHead(self.pooling, encoder, len(self.labels))

    def network_loss(self, model: Any, batch: Any, targets: Tensor) -> Tensor:
        """Cross-entropy of the label; with `multi_label`, binary cross-entropy of each label that is known."""
        if not (self.mixup and model.training):
            scores, penalty = self.scores_and_penalty(model, batch)
            return self._loss(scores, targets, training=model.training) + penalty
        mixed = mix_images(batch, self.mixup)
        scores, penalty = self.scores_and_penalty(model, mixed.batch)
        own = self._loss(scores, targets, training=True)
        other = self._loss(scores, targets[mixed.order], training=True)
        return mixed.share * own + (1 - mixed.share) * other + penalty

    def _loss(self, scores: Tensor, targets: Tensor, *, training: bool) -> Tensor:
        """Return the summed loss of scores."""
        known: Tensor | None = None
        if self.multi_label:
            known = ~targets.isnan()
            targets = targets.nan_to_num(0.0).to(scores.dtype)
            loss = F.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        else:
            targets = targets[:, 0].long()
            smoothing = self.smoothing if training else 0.0
            loss = F.cross_entropy(scores, targets, reduction="none", label_smoothing=smoothing)
        if training and self.class_weights is not None:
            weights = weights_of(self.class_weights, targets, multi_label=self.multi_label)
            loss = loss * weights.to(loss.dtype)
        return loss.sum() if known is None else (loss * known).sum()

    def check_search(self, search: Mapping[str, Any]) -> None:
        super().check_search(search)
        threshold, top_k = search.get("threshold"), search.get("top_k")
        if threshold is not None and not 0 < threshold < 1:
            raise OptionError(f"threshold is {threshold}; expected a probability between 0 and 1")
        if top_k is not None and not 1 <= top_k <= len(self.labels):
            raise OptionError(
                f"top_k is {top_k}; expected 1 to {len(self.labels)}, the number of labels"
            )

    def predict(
        self,
        model: Any,
        batch: Batch,
        *,
        threshold: float | None = None,
        top_k: int | None = None,
        **search: Any,
    ) -> list[Labels]:
        """Return the prediction of each row of a batch.

        Args:
            model: the model.
            batch: the batch.
            threshold: least probability of a label; with one label per input, an input whose label is less probable
                gets none. None: the run's setting for several labels, and no limit for one.
            top_k: how many of the most probable labels `Labels.top` holds.
            search: must be empty.
        """
        scores = self.finite_scores(model, batch)
        return self.predictions(scores, batch, threshold=threshold, top_k=top_k)

    def predictions(
        self,
        scores: Tensor,
        batch: Batch,
        *,
        threshold: float | None = None,
        top_k: int | None = None,
    ) -> list[Labels]:
        logits = scores.float().cpu()
        probabilities = class_probabilities(
            logits, multi_label=self.multi_label, temperature=self.temperature
        )
        if threshold is None:
            threshold = self.threshold if self.multi_label else 0.0
        found = []
        for logit, row in zip(logits.tolist(), probabilities.tolist(), strict=True):
            by_label = dict(zip(self.labels, row, strict=True))
            labels = self._chosen(by_label, logit, threshold)
            top = most_probable(by_label, top_k) if top_k else ()
            found.append(Labels(labels, by_label, tuple(logit), top))
        return found

    def _chosen(
        self, probabilities: Mapping[str, float], scores: Sequence[float], threshold: float
    ) -> tuple[str, ...]:
        """Return the labels whose probability is at least the threshold; with one label per input the best or none."""
        if self.multi_label:
            return tuple(label for label, p in probabilities.items() if p >= threshold)
        best = self.labels[max(range(len(scores)), key=scores.__getitem__)]
        return (best,) if probabilities[best] >= threshold else ()

    def empty(self) -> Labels:
        return Labels(())

    def score(
        self,
        predicted: Sequence[Labels],
        data: Dataset,
        in_vocabulary: Sequence[Sequence[bool]] | None = None,
    ) -> LabelScores:
        labels = _compared(predicted, data)
        metrics = score_labels(labels, data.answers, multi_label=self.multi_label)
        scores, targets = self._scores_and_targets(predicted, data)
        if not len(scores):
            return metrics
        after, before = (
            calibration_error(scores, targets, multi_label=self.multi_label, temperature=each)
            for each in (self.temperature, 1.0)
        )
        return replace(
            metrics,
            calibration_error=after,
            uncalibrated_error=before,
            temperature=self.temperature,
        )

    def tables(self, metrics: LabelScores) -> list[Rows]:
        tables = [summary_rows(metrics), label_table(metrics.labels)]
        if metrics.confusion is not None:
            tables += confusion_tables(metrics.labels, metrics.confusion)
        return tables

    def report_tables(self, metrics: LabelScores) -> list[ReportTable]:
        tables = [label_report(metrics.labels)]
        if metrics.calibration_error is not None:
            tables.append(calibration_report(metrics))
        if metrics.confusion is not None:
            tables += confusion_reports(metrics.labels, metrics.confusion)
        return tables

    def warnings(self, predicted: Sequence[Labels], data: Dataset) -> list[str]:
        labels = [each.labels for each in predicted]
        warning = constant_warning(labels, data.answers, multi_label=self.multi_label)
        return [] if warning is None else [warning]

    def calibrated(self, predicted: Sequence[Labels], data: Dataset) -> tuple[Self, str]:
        """Fit the temperature, see `heedful.answers.calibration`."""
        scores, targets = self._scores_and_targets(predicted, data)
        calibration, reason = fit_calibration(
            scores, targets, data.example, multi_label=self.multi_label
        )
        return replace(self, calibration=calibration), reason

    def uncalibrated(self) -> Self:
        return replace(self, calibration=None)

    def _scores_and_targets(
        self, predicted: Sequence[Labels], data: Dataset
    ) -> tuple[Tensor, Tensor]:
        """Return scores and multi-hot targets, (examples, labels), of the examples with scores."""
        pairs = zip(predicted, data.answers, strict=True)
        known = [(each.scores, self._multi_hot(answer)) for each, answer in pairs if each.scores]
        shape = len(known), len(self.labels)
        scores = torch.tensor([row for row, _ in known]).view(shape)
        return scores, torch.tensor([row for _, row in known]).view(shape)

    def statistics(self, predicted: Sequence[Labels], data: Dataset) -> Numbers:
        """Return (correct, 1): correct is 1 if the set of labels equals the reference, as far as that is known."""
        pairs = zip(_compared(predicted, data), data.answers, strict=True)
        rows = [(set(found) == set(labels), 1) for found, labels in pairs]
        return np.array(rows, dtype=np.float64)

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
        if prediction.labels:
            return [prediction.labels[0], prediction.probabilities[0]]
        # below the threshold: how probable the label would have been
        return ["", max(prediction.all_probabilities.values(), default="")]

    def class_columns(self, name: str, output: ClassOutput) -> list[str]:
        return output.columns(name, self.labels)

    def class_cells(self, prediction: Labels, output: ClassOutput) -> list[Any]:
        return output.cells(self.labels, prediction.all_probabilities, prediction.top)

    def class_values(self, prediction: Labels, output: ClassOutput) -> Values:
        return output.values(prediction.all_probabilities, prediction.top)


def _compared(predicted: Sequence[Labels], data: Dataset) -> list[tuple[str, ...]]:
    """Return the predicted labels of each example without those of which nothing is known."""
    return [
        tuple(label for label in one.labels if label not in unknown_labels(labels))
        for one, labels in zip(predicted, data.answers, strict=True)
    ]
