"""F1 of spans, counted as conlleval does and strictly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from heedful.answers.label_metrics import LabelMetrics, label_metrics
from heedful.data.spans import OUTSIDE, Scheme, detect_scheme, unknown_scheme

Labels = Sequence[Sequence[str]]

_SEQEVAL: Final = {"BIO": "IOB2", "IOE2": "IOB2", "IOB": "IOB1", "IOE1": "IOB1"}
"""Scheme -> its name in `seqeval.scheme`; all others are converted to IOBES. IOE is read from right to left, as IOB
with E for B, since the strict mode of seqeval's IOE1 misses spans that begin with E."""


@dataclass(frozen=True, kw_only=True)
class SpanScores:
    """Span metrics; all None if the labels mark no spans."""

    conlleval: float | None = None
    """F1 as the script of the CoNLL shared tasks computes it: violations of the scheme are repaired."""
    strict: float | None = None
    """F1 of the spans that follow the scheme."""
    violations: int | None = None
    """Predicted labels that violate the scheme."""
    scheme: str | None = None
    types: tuple[LabelMetrics, ...] = ()
    """Of the spans of each type, as `conlleval` counts them."""
    problem: str | None = None
    """Why labels that seem to mark spans have no metrics."""


def score_spans(predicted: Labels, references: Labels) -> SpanScores:
    """Return the metrics of the spans of predicted labels, by the scheme of the reference labels.

    >>> scores = score_spans([["I-NP", "I-NP", "O"]], [["B-NP", "I-NP", "O"]])
    >>> scores.scheme, scores.conlleval, scores.strict, scores.violations
    ('BIO', 1.0, 0.0, 1)
    """
    scheme = detect_scheme(references)
    if scheme is None:
        unknown = unknown_scheme({label for labels in references for label in labels})
        return SpanScores(problem=None if unknown is None else unknown[1])
    # Imported here: seqeval imports scikit-learn and SciPy, two seconds of CPU.
    from seqeval import scheme as seqeval_schemes
    from seqeval.metrics import f1_score
    from seqeval.metrics.sequence_labeling import get_entities

    true, canonical = _canonical(scheme, references), _canonical(scheme, predicted)
    strict_f1 = f1_score(
        _for_strict(scheme, true),
        _for_strict(scheme, canonical),
        mode="strict",
        scheme=getattr(seqeval_schemes, _SEQEVAL.get(scheme.name, "IOBES")),
        zero_division=0,
    )
    wanted, got = set(get_entities(true)), set(get_entities(canonical))
    types = label_metrics(
        *(Counter(span[0] for span in each) for each in (wanted, got, wanted & got))
    )
    return SpanScores(
        conlleval=2 * len(wanted & got) / max(1, len(wanted) + len(got)),
        strict=float(strict_f1),
        violations=sum(len(scheme.violations(labels)) for labels in predicted),
        scheme=scheme.name,
        types=types,
    )


def _canonical(scheme: Scheme, labels: Labels) -> list[list[str]]:
    return [[scheme.canonical(label) for label in sentence] for sentence in labels]


def _for_strict(scheme: Scheme, labels: Labels) -> list[list[str]]:
    """Return canonical labels for seqeval's strict mode; those of other schemes, which it rejects, become O."""
    if scheme.name not in _SEQEVAL:
        return [list(sentence) for sentence in labels]
    is_reversed = scheme.name in ("IOE1", "IOE2")
    begin, step = ("E", -1) if is_reversed else ("B", 1)
    return [
        [
            f"B{label[1:]}" if label[0] == begin else label if label[0] == "I" else OUTSIDE
            for label in sentence[::step]
        ]
        for sentence in labels
    ]
