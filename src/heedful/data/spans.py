"""Span labelling schemes (BIO, IOB, BIOES): detection, and validation of label sequences.

O marks a token outside of all spans; every other label is a prefix and a span type, such as B-PER:

- BIO (IOB2): B- begins a span, I- continues it.
- IOB (IOB1): I- begins and continues a span; B- begins one directly after another of the same type.
- BIOES: B- begins a span of several tokens, I- continues it, E- ends it; S- is a span of one token.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

OUTSIDE = "O"
SCHEMES = {
    "BIO": "BIO, where B- begins a span and I- continues it",
    "IOB": "IOB, where I- begins and continues a span, and B- begins one directly after another of its type",
    "BIOES": "BIOES, where B- begins a span, I- continues it, E- ends it and S- is a span of one token",
}
"""Name -> description, for error messages."""


def is_span_labels(labels: Collection[str]) -> bool:
    """Return whether labels mark spans: O, or a prefix and a type such as B-PER.

    >>> is_span_labels({"O", "B-PER", "I-PER"}), is_span_labels({"NOUN", "VERB"})
    (True, False)
    """
    parts = [label.partition("-") for label in labels if label != OUTSIDE]
    can_begin = OUTSIDE in labels or any(prefix in ("B", "S") for prefix, _, _ in parts)
    well_formed = all(prefix in tuple("BIOES") and dash and name for prefix, dash, name in parts)
    return bool(parts) and can_begin and well_formed


def detect_scheme(sentences: Iterable[Sequence[str]]) -> str | None:
    """Return the scheme of the labels of sentences: a key of `SCHEMES`, or None if they mark no spans.

    Labels that violate both BIO and IOB count as BIO.

    >>> [detect_scheme([labels]) for labels in (["O", "B-PER", "I-PER"], ["I-PER", "O"], ["NOUN"])]
    ['BIO', 'IOB', None]
    """
    kept = list(sentences)
    labels = {label for sentence in kept for label in sentence}
    if not is_span_labels(labels):
        return None
    if any(label[0] in "ES" for label in labels):
        return "BIOES"

    def is_valid(scheme: str) -> bool:
        return not any(violations(scheme, each) for each in kept)

    return "IOB" if not is_valid("BIO") and is_valid("IOB") else "BIO"


def is_transition_allowed(scheme: str, before: str, label: str) -> bool:
    """Return whether `label` may follow `before`; both ends of a sentence count as O.

    >>> is_transition_allowed("BIO", "B-PER", "I-PER"), is_transition_allowed("BIO", "O", "I-PER")
    (True, False)
    """
    (prefix_before, type_before), (prefix, span_type) = _split(before), _split(label)
    same_span = prefix_before in ("B", "I") and type_before == span_type
    if scheme == "BIO":
        return prefix != "I" or same_span
    if scheme == "IOB":
        return prefix != "B" or same_span
    if prefix_before in ("B", "I"):
        return prefix in ("I", "E") and same_span
    return prefix not in ("I", "E")


def violations(scheme: str, labels: Sequence[str]) -> list[int]:
    """Return the positions of labels that violate a scheme; the length if the sentence may not end there.

    >>> violations("BIO", ["B-PER", "O", "I-PER", "I-LOC"])
    [2, 3]
    """
    pairs = enumerate(pairwise([OUTSIDE, *labels, OUTSIDE]))
    return [
        position
        for position, (before, label) in pairs
        if not is_transition_allowed(scheme, before, label)
    ]


def first_violation(scheme: str, labels: Sequence[str]) -> int | None:
    """Return the first of `violations`, or None.

    >>> first_violation("BIO", ["B-PER", "O", "I-PER"])
    2
    """
    return next(iter(violations(scheme, labels)), None)


def _split(label: str) -> tuple[str, str]:
    prefix, _, span_type = label.partition("-")
    return prefix, span_type
