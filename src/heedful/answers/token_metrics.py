"""Figures of merit of tagging: accuracy, also on unknown words, F1 of labels and of spans, confusions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from heedful.answers.span_metrics import score_spans
from heedful.errors import ShapeError

Labels = Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """How often one label was given for another."""

    wanted: str
    got: str
    count: int


@dataclass(frozen=True, kw_only=True)
class TaggingScores:
    """Shares from 0 to 1; None where there is nothing to share."""

    tokens: int
    accuracy: float
    unknown: int
    """Tokens whose word has no embedding of its own."""
    unknown_accuracy: float | None
    macro_f1: float
    """F1 of each label that occurs or was given, averaged without weights."""
    span_f1: float | None
    """F1 of whole spans, as conlleval counts them: a label that breaks its scheme begins a span, or ends one."""
    span_f1_strict: float | None
    """F1 of the spans that are written as their scheme demands; others do not count."""
    span_breaks: int | None
    """Labels given that cannot stand where they do, by the scheme of the true ones, such as I-PER after O."""
    span_scheme: str | None
    """Of the true labels: a key of `heedful.data.spans.SCHEMES`; None where they mark no spans."""
    span_problem: str | None
    """Why labels that seem to mark spans have no F1 of spans."""
    sentences_right: float
    confusions: tuple[Confusion, ...]
    """The most frequent confusions, the most frequent first."""


def score_tags(
    got: Labels, wanted: Labels, known: Sequence[Sequence[bool]], *, confusions: int = 10
) -> TaggingScores:
    """Compare labels with the true ones, sentence by sentence.

    Raises: ShapeError when the sentences or their lengths differ.

    >>> scores = score_tags([["A", "B"]], [["A", "A"]], [[True, False]])
    >>> scores.accuracy, scores.unknown_accuracy, round(scores.macro_f1, 3), scores.confusions[0].got
    (0.5, 0.0, 0.333, 'B')
    """
    if [len(each) for each in got] != [len(each) for each in wanted] or len(known) != len(got):
        raise ShapeError("the sentences that were tagged and the true ones differ in length.")
    met = Counter[tuple[str, str]]()
    unknown = Counter[bool]()
    for one, true, of_known in zip(got, wanted, known, strict=True):
        met.update(zip(true, one, strict=True))
        unknown.update(a == b for a, b, k in zip(one, true, of_known, strict=True) if not k)
    tokens = met.total()
    spans = score_spans(got, wanted)
    wrong = Counter({pair: count for pair, count in met.items() if pair[0] != pair[1]})
    return TaggingScores(
        tokens=tokens,
        accuracy=(tokens - wrong.total()) / max(1, tokens),
        unknown=unknown.total(),
        unknown_accuracy=unknown[True] / unknown.total() if unknown else None,
        macro_f1=_macro_f1(met),
        span_f1=spans.conlleval,
        span_f1_strict=spans.strict,
        span_breaks=spans.breaks,
        span_scheme=spans.scheme,
        span_problem=spans.problem,
        sentences_right=sum(map(_equal, got, wanted)) / max(1, len(wanted)),
        confusions=tuple(
            Confusion(wanted=true, got=given, count=count)
            for (true, given), count in wrong.most_common(confusions)
        ),
    )


def _equal(one: Sequence[str], other: Sequence[str]) -> bool:
    return list(one) == list(other)


def _macro_f1(met: Counter[tuple[str, str]]) -> float:
    wanted, got = Counter[str](), Counter[str]()
    for (true, given), count in met.items():
        wanted[true] += count
        got[given] += count
    labels = wanted.keys() | got.keys()
    # 2 tp / (2 tp + fp + fn), and what was wanted plus what was given is that denominator
    each = [2 * met[label, label] / (wanted[label] + got[label]) for label in sorted(labels)]
    return sum(each) / max(1, len(each))
