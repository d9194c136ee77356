"""F1 of spans that labels mark, by both of the usual countings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from seqeval import scheme as seqeval_schemes
from seqeval.metrics import f1_score

from heedful.data.spans import OUTSIDE, Scheme, detect_scheme, unknown_scheme

Labels = Sequence[Sequence[str]]

_SEQEVAL: Final = {
    "BIO": seqeval_schemes.IOB2,
    "IOE2": seqeval_schemes.IOB2,
    "IOB": seqeval_schemes.IOB1,
    "IOE1": seqeval_schemes.IOB1,
}
"""Name of a scheme -> seqeval's; all others are written as its IOBES. Read from right to left, IOE is IOB with E for B
(of seqeval's own IOE1 the strict mode misses spans that begin with E)."""


@dataclass(frozen=True, kw_only=True)
class SpanScores:
    """All None where the labels mark no spans."""

    conlleval: float | None = None
    """F1 as the script of the CoNLL shared tasks counts: a label that breaks the scheme is mended."""
    strict: float | None = None
    """F1 of spans that keep to the scheme."""
    breaks: int | None = None
    scheme: str | None = None
    problem: str | None = None


def score_spans(got: Labels, wanted: Labels) -> SpanScores:
    """Compare the spans of labels with those of the true ones, by the scheme of the true ones.

    >>> found = score_spans([["I-NP", "I-NP", "O"]], [["B-NP", "I-NP", "O"]])
    >>> found.scheme, found.conlleval, found.strict, found.breaks
    ('BIO', 1.0, 0.0, 1)
    """
    scheme = detect_scheme(wanted)
    if scheme is None:
        wrong = unknown_scheme({label for labels in wanted for label in labels})
        return SpanScores(problem=None if wrong is None else wrong[1])
    true, given = _canonical(scheme, wanted), _canonical(scheme, got)
    strict = _SEQEVAL.get(scheme.name, seqeval_schemes.IOBES)
    legal = _as_legal(scheme, true), _as_legal(scheme, given)
    return SpanScores(
        conlleval=float(f1_score(true, given, zero_division=0)),
        strict=float(f1_score(*legal, mode="strict", scheme=strict, zero_division=0)),
        breaks=sum(len(scheme.violations(each)) for each in got),
        scheme=scheme.name,
    )


def _canonical(scheme: Scheme, labels: Labels) -> list[list[str]]:
    return [[scheme.canonical(label) for label in sentence] for sentence in labels]


def _as_legal(scheme: Scheme, labels: Labels) -> list[list[str]]:
    """Return canonical labels for the strict counting: those of another scheme, an error to seqeval, count as O."""
    if scheme.name not in _SEQEVAL:
        return [list(sentence) for sentence in labels]
    begins = "E" if scheme.name in ("IOE1", "IOE2") else "B"
    step = -1 if begins == "E" else 1
    return [
        [
            f"B{label[1:]}" if label[0] == begins else label if label[0] == "I" else OUTSIDE
            for label in sentence[::step]
        ]
        for sentence in labels
    ]
