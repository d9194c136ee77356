"""A label for each position, alone or with a chain of labels (a linear-chain CRF)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from heedful.answers.base import Metric, Numbers, Rows, Values
from heedful.answers.labels import LISTED, LabelAnswer, check_seen
from heedful.answers.token_metrics import TaggingScores, score_tags
from heedful.data.batching import pad_ids
from heedful.data.dataset import Dataset
from heedful.data.lexicon import Lexicon
from heedful.data.spans import OUTSIDE, SCHEMES, Scheme, detect_scheme, unknown_scheme
from heedful.errors import DataError
from heedful.models.config import Section
from heedful.models.encoders import Encoder
from heedful.models.heads import PositionHead
from heedful.models.model import Batch, Model
from heedful.nn.crf import LinearChain
from heedful.nn.cross_entropy import smoothed_cross_entropy


class LabelsConfig(Section):
    """How labels are scored."""

    chain: bool = Field(
        False, description="Score neighbouring labels together: a linear-chain CRF and Viterbi."
    )
    spans: bool = Field(
        True,
        description="Labels that mark spans (BIO, IOB, IOE, BIOES, BILOU, BMES) keep to their scheme: data that break "
        "it are refused, as are labels of an unknown scheme, and a chain never gives what breaks it.",
    )
    dropout: float = Field(
        0.3, ge=0, lt=1, description="Probability of dropping a feature of the encoder's states."
    )


@dataclass(frozen=True, eq=False)
class PositionLabels:
    """The predicted label of each position of one input."""

    labels: tuple[str, ...]
    names: tuple[str, ...] = ()
    """All labels, in the order of the columns of `scores`."""
    scores: Tensor | None = None
    """(length, labels), before softmax; None of a chain, whose labels are not independent."""

    @property
    def probabilities(self) -> list[dict[str, float]] | None:
        """For each position the probability of every label; None of a chain."""
        if self.scores is None:
            return None
        rows = self.scores.softmax(-1).tolist()
        return [dict(zip(self.names, row, strict=True)) for row in rows]


@dataclass(frozen=True)
class PositionLabel(LabelAnswer[PositionLabels]):
    """A label for each position: parts of speech, entities, states of a series."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric("loss"),
        "accuracy": Metric("accuracy", ".4f"),
        "macro_f1": Metric("macro F1", ".4f"),
    }
    charts: ClassVar[Sequence[tuple[str, ...]]] = (("accuracy", "macro_f1"),)
    primary_metric: ClassVar[str] = "accuracy"
    each_position: ClassVar[bool] = True

    options: LabelsConfig
    smoothing: float
    scheme: Scheme | None = None
    """Of the spans that the training labels mark; only a chain that is trained needs it."""

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
        """Check that some label, O apart, is one that training saw.

        Raises: DataError for a file of other labels, which mostly is the wrong column.
        """
        marked = {label for labels in data.answers for label in labels if label.upper() != OUTSIDE}
        if not marked or any(label in self.lexicon for label in marked):
            return
        row = next(row for row, labels in enumerate(data.answers) if marked & set(labels))
        position = next(p for p, label in enumerate(data.answers[row]) if label in marked)
        raise data.error(
            row,
            f"the label {data.answers[row][position]!r} and all others of these data are none that the run "
            f"learned: {', '.join(sorted(self.labels)[:LISTED])}; they may stand in another column.",
            position,
        )

    def targets(self, data: Dataset) -> list[list[int]]:
        """Number labels from 0 on; a label that training did not see is -1."""
        return [self.numbers(labels) for labels in data.answers]

    def collate(self, targets: Sequence[list[int]]) -> Tensor:
        return pad_ids(targets, 0)[0]

    def head(self, encoder: Encoder) -> PositionHead:
        options = self.options
        head = PositionHead(
            encoder.width, len(self.labels), chain=options.chain, dropout=options.dropout
        )
        if head.chain is not None and self.scheme is not None:
            _forbid(head.chain, self.scheme, self.labels)
        return head

    def cost(self, model: Any, batch: Any, targets: Tensor) -> Tensor:
        """Cross-entropy of each position's label, or with a chain the negative log-likelihood of all of them."""
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

    def count(self, batch: Batch, targets: Tensor) -> int:
        return int(batch.lengths.sum())

    def predict(self, model: Any, batch: Batch, **search: Any) -> list[PositionLabels]:
        scores: Tensor = model(batch)
        if model.head.chain is None:
            return self.predictions(scores, batch)
        best = model.head.chain.decode(scores, batch.lengths).tolist()
        return [
            PositionLabels(self._named(row[:length]))
            for row, length in zip(best, batch.lengths.tolist(), strict=True)
        ]

    def predictions(self, scores: Tensor, batch: Batch) -> list[PositionLabels]:
        best, found = scores.argmax(dim=-1).tolist(), scores.float().cpu()
        return [
            PositionLabels(self._named(row[:length]), self.labels, found[number, :length])
            for number, (row, length) in enumerate(zip(best, batch.lengths.tolist(), strict=True))
        ]

    def empty(self) -> PositionLabels:
        return PositionLabels(())

    def _named(self, numbers: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.labels[number] for number in numbers)

    def score(
        self,
        predicted: Sequence[PositionLabels],
        data: Dataset,
        known: Sequence[Sequence[bool]] | None = None,
    ) -> TaggingScores:
        if known is None:
            known = [[True] * len(labels) for labels in data.answers]
        return score_tags([each.labels for each in predicted], data.answers, known)

    def tables(self, found: TaggingScores) -> list[Rows]:
        rows = [["accuracy", f"{found.accuracy:.4f}", ""]]
        if found.unknown_accuracy is not None:
            what = f"on {found.unknown:,} tokens"
            rows.append(["accuracy, unknown words", f"{found.unknown_accuracy:.4f}", what])
        rows.append(["macro F1", f"{found.macro_f1:.4f}", ""])
        if found.span_f1 is not None:
            rows.append(["span F1", f"{found.span_f1:.4f}", f"{found.span_scheme}, as conlleval"])
        if found.span_f1_strict is not None:
            strict = f"{found.span_scheme}, legal spans alone"
            rows.append(["span F1, strict", f"{found.span_f1_strict:.4f}", strict])
        if found.span_problem is not None:
            rows.append(["span F1", "none", found.span_problem])
        if found.span_breaks is not None:
            breaks = f"{found.span_breaks:,}"
            rows.append(["labels that break spans", breaks, "such as I-X after O"])
        tables = [[*rows, ["sentences all right", f"{found.sentences_right:.4f}", ""]]]
        if found.confusions:
            most = [[one.wanted, one.got, f"{one.count:,}"] for one in found.confusions]
            tables.append([["", "", ""], ["true label", "given", "times"], *most])
        return tables

    @classmethod
    def statistics(cls, predicted: Sequence[PositionLabels], data: Dataset) -> Numbers:
        """Right labels and labels of each example; the positions of one example are resampled together."""
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

    def row_names(self, positions: Sequence[str], prediction: PositionLabels) -> list[str]:
        if len(prediction.labels) != len(positions):
            raise DataError(
                f"{len(prediction.labels)} labels were given for {len(positions)} positions."
            )
        return [f"{p}/{label}" for p, label in zip(positions, prediction.labels, strict=True)]

    def explained_score(
        self, model: Model, features: Tensor, batch: Any, prediction: PositionLabels
    ) -> Tensor:
        """Return the sum over positions of the log-probability of its label, each from its own copy."""
        count = len(features)
        states = model.encoder(features, batch.lengths.expand(count)).values
        each = torch.arange(count, device=states.device)
        head: Any = model.head
        chances = head.output(states[each, each]).log_softmax(-1)
        numbers = torch.tensor([max(0, number) for number in self.numbers(prediction.labels)])
        total: Tensor = chances[each, numbers.to(states.device)].sum()
        return total


def _scheme(options: LabelsConfig, answers: Sequence[Sequence[str]]) -> Scheme | None:
    """Return the scheme of spans that labels have to keep to, if they mark spans."""
    return detect_scheme(answers) if options.spans else None


def _check_known_scheme(data: Dataset) -> None:
    """Raise DataError for labels that seem to mark spans, in a scheme that is not known."""
    found = unknown_scheme({label for labels in data.answers for label in labels})
    if found is None:
        return
    wrong, why = found
    row, position = next(
        (row, list(labels).index(wrong))
        for row, labels in enumerate(data.answers)
        if wrong in labels
    )
    raise data.error(row, f"{why}; mend it, {_AS_THEY_ARE}", position)


_AS_THEY_ARE: Final = "or take all labels as they are with --set labels.spans=false."


def _check_spans(scheme: Scheme, data: Dataset) -> None:
    for row, labels in enumerate(data.answers):
        place = scheme.first_violation(labels)
        if place is None:
            continue
        if place == len(labels):
            found = f"the sentence ends with the label {labels[-1]!r}"
        elif place == 0:
            found = f"the sentence begins with the label {labels[0]!r}"
        else:
            found = f"the label {labels[place]!r} stands after {labels[place - 1]!r}"
        raise data.error(
            row,
            f"{found}, and the training labels are {SCHEMES[scheme.name]}; mend it, {_AS_THEY_ARE}",
            min(place, len(labels) - 1),
        )


def _forbid(chain: LinearChain, scheme: Scheme, labels: Sequence[str]) -> None:
    """Give transitions that break a scheme the score -inf."""
    may = [[scheme.allows(one, other) for other in labels] for one in labels]
    first = [scheme.allows(OUTSIDE, label) for label in labels]
    last = [scheme.allows(label, OUTSIDE) for label in labels]
    chain.allow(torch.tensor(may), torch.tensor(first), torch.tensor(last))
