"""Sequence labelling: one label per position, predicted independently or by a linear-chain CRF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from heedful.answers.base import Metric, Numbers, ReportTable, Rows, Values
from heedful.answers.class_output import ClassOutput
from heedful.answers.label_tables import (
    confusion_reports,
    confusion_tables,
    label_report,
    label_table,
)
from heedful.answers.labels import LISTED, LabelAnswer, check_seen
from heedful.answers.token_metrics import TaggingScores, score_tags
from heedful.data.batching import pad_ids
from heedful.data.dataset import Dataset
from heedful.data.lexicon import Lexicon
from heedful.data.spans import OUTSIDE, SCHEMES, Scheme, detect_scheme, unknown_scheme
from heedful.errors import DataError, NonFiniteError, OptionError, shown
from heedful.models.config import Section
from heedful.models.encoders import Encoder
from heedful.models.heads import PositionHead
from heedful.models.model import Batch, Model
from heedful.nn.crf import LinearChain
from heedful.nn.cross_entropy import smoothed_cross_entropy
from heedful.ops.finite import all_finite


class LabelsConfig(Section):
    """Output layer of sequence labelling."""

    chain: bool = Field(
        False, description="Linear-chain CRF with Viterbi decoding, instead of independent labels."
    )
    spans: bool = Field(
        True,
        description="Enforce the scheme of span labels (BIO, IOB, IOE, BIOES, BILOU, BMES): data that violate it, or "
        "are of an unknown scheme, are an error, and a CRF never predicts a violation.",
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout probability of encoder states.")


@dataclass(frozen=True, eq=False)
class PositionLabels:
    """The predicted label of each position of one input."""

    labels: tuple[str, ...]
    names: tuple[str, ...] = ()
    """The label set, in the order of the columns of `scores`."""
    scores: Tensor | None = None
    """(length, labels), logits; None for a CRF, whose labels are not independent."""

    @property
    def probabilities(self) -> list[dict[str, float]] | None:
        """For each position the probability of every label; None for a CRF."""
        if self.scores is None:
            return None
        rows = self.scores.softmax(-1).tolist()
        return [dict(zip(self.names, row, strict=True)) for row in rows]


@dataclass(frozen=True)
class PositionLabel(LabelAnswer[PositionLabels]):
    """One label per position: part of speech, entity, state of a series.

    Reads the section labels (`LabelsConfig`) and training.label_smoothing.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric("loss"),
        "accuracy": Metric("accuracy", ".4f"),
        "macro_f1": Metric("macro F1", ".4f"),
    }
    charts: ClassVar[Sequence[tuple[str, ...]]] = (("accuracy", "macro_f1"),)
    primary_metric: ClassVar[str] = "accuracy"
    per_position: ClassVar[bool] = True
    command_options: ClassVar[frozenset[str]] = frozenset({"probabilities"})
    has_report_tables: ClassVar[bool] = True

    options: LabelsConfig
    smoothing: float
    scheme: Scheme | None = None
    """Span scheme of the training labels; used only to train a CRF."""

    @classmethod
    def check(cls, config: Any, train: Dataset, valid: Dataset) -> None:
        scheme = _scheme(config.labels, train.answers)
        if scheme is None and config.labels.spans:
            _check_known_scheme(train)
        if scheme is not None:
            for data in (train, valid):
                _check_spans(scheme, data)
        check_seen(train, valid)

    @classmethod
    def learn(cls, config: Any, answers: Sequence[Sequence[str]]) -> Self:
        lexicon = Lexicon.learn(label for labels in answers for label in labels)
        scheme = _scheme(config.labels, answers)
        return cls(lexicon, config.labels, config.training.label_smoothing, scheme)

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls(cls.load_labels(folder), config.labels, config.training.label_smoothing)

    def check_test(self, data: Dataset) -> None:
        """Check that at least one label besides O occurs in the training data.

        Raises: DataError if none does, which usually means that the label column is wrong.
        """
        answers = data.answers
        labels = {label for row in answers for label in row if label.upper() != OUTSIDE}
        if not labels or any(label in self.lexicon for label in labels):
            return
        row = next(row for row, each in enumerate(answers) if labels & set(each))
        position = next(p for p, label in enumerate(answers[row]) if label in labels)
        known = ", ".join(sorted(self.labels)[:LISTED])
        raise data.error(
            row,
            f"neither the label {shown(answers[row][position])} nor any other label of these data is in the training "
            f"data, whose labels are: {known}. Is this the right label column?",
            position,
        )

    def targets(self, data: Dataset) -> list[list[int]]:
        """Return label indices; -1 for a label not in the training data."""
        return [self.label_indices(labels) for labels in data.answers]

    def collate(self, targets: Sequence[list[int]]) -> Tensor:
        return pad_ids(targets, 0)[0]

    def head(self, encoder: Encoder) -> PositionHead:
        options = self.options
        head = PositionHead(
            encoder.width, len(self.labels), chain=options.chain, dropout=options.dropout
        )
        if head.chain is not None and self.scheme is not None:
            _forbid_violations(head.chain, self.scheme, self.labels)
        return head

    def network_loss(self, model: Any, batch: Any, targets: Tensor) -> Tensor:
        """Cross-entropy of each label; for a CRF the negative log-likelihood of each label sequence."""
        lengths, head = batch.lengths, model.head
        states = head.features(model.states(batch))
        if head.chain is not None:
            loss: Tensor = head.chain(head.output(states), targets, lengths).sum()
            return loss
        kept = torch.arange(states.shape[1], device=lengths.device) < lengths[:, None]
        smoothing = self.smoothing if model.training else 0.0
        output = head.output
        return smoothed_cross_entropy(
            states[kept], output.weight, output.bias, targets[kept], smoothing
        )

    def count_predictions(self, batch: Batch, targets: Tensor) -> int:
        return int(batch.lengths.sum())

    def predict(self, model: Any, batch: Batch, **search: Any) -> list[PositionLabels]:
        scores, chain = self.finite_scores(model, batch), model.head.chain
        if chain is None:
            return self.predictions(scores, batch)
        if not all_finite(chain.transitions, chain.first, chain.last):
            raise NonFiniteError(0)
        best = chain.decode(scores, batch.lengths).tolist()
        return [
            PositionLabels(self._named(row[:length]))
            for row, length in zip(best, batch.lengths.tolist(), strict=True)
        ]

    def predictions(self, scores: Tensor, batch: Batch) -> list[PositionLabels]:
        best, logits = scores.argmax(dim=-1).tolist(), scores.float().cpu()
        return [
            PositionLabels(self._named(row[:length]), self.labels, logits[n, :length])
            for n, (row, length) in enumerate(zip(best, batch.lengths.tolist(), strict=True))
        ]

    def empty(self) -> PositionLabels:
        return PositionLabels(())

    def _named(self, indices: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.labels[index] for index in indices)

    def score(
        self,
        predicted: Sequence[PositionLabels],
        data: Dataset,
        in_vocabulary: Sequence[Sequence[bool]] | None = None,
    ) -> TaggingScores:
        if in_vocabulary is None:
            in_vocabulary = [[True] * len(labels) for labels in data.answers]
        return score_tags([each.labels for each in predicted], data.answers, in_vocabulary)

    def tables(self, metrics: TaggingScores) -> list[Rows]:
        rows = [["accuracy", f"{metrics.accuracy:.4f}", ""]]
        if metrics.unknown_accuracy is not None:
            what = f"on {metrics.unknown:,} tokens"
            rows.append(["accuracy, unknown words", f"{metrics.unknown_accuracy:.4f}", what])
        rows.append(["macro F1", f"{metrics.macro_f1:.4f}", ""])
        rows += _span_rows(metrics)
        tables = [[*rows, ["sentence accuracy", f"{metrics.sentences_right:.4f}", ""]]]
        if metrics.span_types:
            tables.append(label_table(metrics.span_types, *_SPAN_TYPES))
        return [
            *tables,
            label_table(metrics.labels, count="positions"),
            *confusion_tables(metrics.labels, metrics.confusion),
        ]

    def report_tables(self, metrics: TaggingScores) -> list[ReportTable]:
        tables = [label_report(metrics.span_types, *_SPAN_TYPES)] if metrics.span_types else []
        tables.append(label_report(metrics.labels, count="positions"))
        return tables + confusion_reports(metrics.labels, metrics.confusion)

    def statistics(self, predicted: Sequence[PositionLabels], data: Dataset) -> Numbers:
        """Return (correct labels, labels) per example, so that bootstrap resampling keeps sequences whole."""
        return np.array(
            [
                (sum(a == b for a, b in zip(one.labels, labels, strict=True)), len(labels))
                for one, labels in zip(predicted, data.answers, strict=True)
            ],
            dtype=np.float64,
        )

    def to_text(self, prediction: PositionLabels) -> str:
        return " ".join(prediction.labels)

    def to_json(self, prediction: PositionLabels) -> Values:
        return {"labels": list(prediction.labels)}

    def cells(self, prediction: PositionLabels) -> list[Any]:
        return [list(prediction.labels)]

    def check_classes(self, output: ClassOutput, *, json: bool) -> None:
        if output.probabilities and self.options.chain:
            raise OptionError(
                "a chain of labels (labels.chain) has no probability of each label; leave --probabilities out"
            )
        if output.probabilities and not json:
            raise OptionError("the probabilities of every position are written as JSON; add --json")

    def class_values(self, prediction: PositionLabels, output: ClassOutput) -> Values:
        return {"all_probabilities": prediction.probabilities or []} if output.probabilities else {}

    def row_names(self, positions: Sequence[str], prediction: PositionLabels) -> list[str]:
        if len(prediction.labels) != len(positions):
            raise DataError(
                f"got {len(prediction.labels)} labels for {len(positions)} positions; expected one per position."
            )
        return [f"{p}/{label}" for p, label in zip(positions, prediction.labels, strict=True)]

    def explained_score(
        self, model: Model, features: Tensor, batch: Any, prediction: PositionLabels
    ) -> Tensor:
        """Return the sum of the log-probabilities of all labels, each computed from its own copy of the input.

        A single copy serves for all of them.
        """
        count, length = len(features), len(prediction.labels)
        states = model.encoder(features, model.lengths(batch).expand(count)).values
        rows = torch.arange(length, device=states.device)
        head: Any = model.head
        own = states[rows if count == length else 0, rows]
        log_probabilities = head.output(own).log_softmax(-1)
        indices = torch.tensor([max(0, index) for index in self.label_indices(prediction.labels)])
        total: Tensor = log_probabilities[rows, indices.to(states.device)].sum()
        return total


_SPAN_TYPES: Final = ("type of span", "spans")
_ACCEPT_ANY: Final = "or accept any labels with --set labels.spans=false."


def _span_rows(metrics: TaggingScores) -> Rows:
    """Return the rows of the metrics table that describe spans."""
    rows = []
    scheme = metrics.span_scheme
    if metrics.span_f1 is not None:
        rows.append(["span F1", f"{metrics.span_f1:.4f}", f"{scheme}, conlleval"])
    if metrics.span_f1_strict is not None:
        rows.append(["span F1, strict", f"{metrics.span_f1_strict:.4f}", f"{scheme}, valid spans"])
    if metrics.span_problem is not None:
        rows.append(["span F1", "none", metrics.span_problem])
    if metrics.span_breaks is not None:
        rows.append(["span violations", f"{metrics.span_breaks:,}", "such as I-X after O"])
    return rows


def _scheme(options: LabelsConfig, answers: Sequence[Sequence[str]]) -> Scheme | None:
    """Return the span scheme to enforce, or None."""
    return detect_scheme(answers) if options.spans else None


def _check_known_scheme(data: Dataset) -> None:
    """Raise DataError for labels that seem to mark spans, but not in a known scheme."""
    problem = unknown_scheme({label for labels in data.answers for label in labels})
    if problem is None:
        return
    label, message = problem
    row = next(row for row, labels in enumerate(data.answers) if label in labels)
    position = list(data.answers[row]).index(label)
    raise data.error(row, f"{message}; correct it, {_ACCEPT_ANY}", position)


def _check_spans(scheme: Scheme, data: Dataset) -> None:
    for row, labels in enumerate(data.answers):
        position = scheme.first_violation(labels)
        if position is None:
            continue
        if position == len(labels):
            violation = f"the sentence ends with the label {shown(labels[-1])}"
        elif position == 0:
            violation = f"the sentence begins with the label {shown(labels[0])}"
        else:
            violation = f"the label {shown(labels[position])} follows {shown(labels[position - 1])}"
        raise data.error(
            row,
            f"{violation}, but the training labels are {SCHEMES[scheme.name]}; correct it, {_ACCEPT_ANY}",
            min(position, len(labels) - 1),
        )


def _forbid_violations(chain: LinearChain, scheme: Scheme, labels: Sequence[str]) -> None:
    """Set the scores of transitions that violate a span scheme to -inf."""
    pairs = [[scheme.allows(before, label) for label in labels] for before in labels]
    first = [scheme.allows(OUTSIDE, label) for label in labels]
    last = [scheme.allows(label, OUTSIDE) for label in labels]
    chain.allow(torch.tensor(pairs), torch.tensor(first), torch.tensor(last))
