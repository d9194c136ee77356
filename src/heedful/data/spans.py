"""Labels that mark spans of tokens: by which scheme, and where one breaks it.

In all of them O stands outside of spans, and every other label is a letter and a kind, such as B-PER:

- BIO (IOB2): B- begins a span, I- goes on with it.
- IOB (IOB1): I- begins a span and goes on with it; B- begins one right after another of its kind.
- BIOES: B- begins a span of several tokens, I- goes on with it, E- ends it; S- is a span of one token.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

OUTSIDE = "O"
SCHEMES = {
    "BIO": "BIO, where B- begins a span and I- goes on with it",
    "IOB": "IOB, where I- begins a span and goes on with it, and B- begins one right after another of its kind",
    "BIOES": "BIOES, where B- begins a span, I- goes on with it, E- ends it and S- is one alone",
}


def is_spans(labels: Collection[str]) -> bool:
    """Say whether labels mark spans: O, and a letter and a kind such as B-PER.

    >>> is_spans({"O", "B-PER", "I-PER"}), is_spans({"NOUN", "VERB"})
    (True, False)
    """
    parts = [label.partition("-") for label in labels if label != OUTSIDE]
    begin = OUTSIDE in labels or any(prefix in ("B", "S") for prefix, _, _ in parts)
    marks = all(prefix in tuple("BIOES") and dash and kind for prefix, dash, kind in parts)
    return bool(parts) and begin and marks


def scheme_of(sentences: Iterable[Sequence[str]]) -> str | None:
    """Name the scheme of sentences' labels; None where they mark no spans.

    Where I- and B- begin spans in the same surroundings, it is BIO that is broken.

    >>> scheme_of([["O", "B-PER", "I-PER"]]), scheme_of([["I-PER", "O"]]), scheme_of([["NOUN"]])
    ('BIO', 'IOB', None)
    """
    kept = list(sentences)
    labels = {label for sentence in kept for label in sentence}
    if not is_spans(labels):
        return None
    if any(label[0] in "ES" for label in labels):
        return "BIOES"
    if any(breaks("BIO", each) for each in kept) and not any(breaks("IOB", each) for each in kept):
        return "IOB"
    return "BIO"


def may_follow(scheme: str, before: str, label: str) -> bool:
    """Say whether a label may come after another; both ends of a sentence count as O.

    >>> may_follow("BIO", "B-PER", "I-PER"), may_follow("BIO", "O", "I-PER")
    (True, False)
    """
    (mark_before, kind_before), (mark, kind) = _parts(before), _parts(label)
    inside = mark_before in ("B", "I") and kind_before == kind
    if scheme == "BIO":
        return mark != "I" or inside
    if scheme == "IOB":
        return mark != "B" or inside
    if mark_before in ("B", "I"):
        return mark in ("I", "E") and inside
    return mark not in ("I", "E")


def breaks(scheme: str, labels: Sequence[str]) -> list[int]:
    """Return the places of labels that cannot stand there; a sentence's length where it may not end so.

    >>> breaks("BIO", ["B-PER", "O", "I-PER", "I-LOC"])
    [2, 3]
    """
    pairs = enumerate(pairwise([OUTSIDE, *labels, OUTSIDE]))
    return [place for place, (one, other) in pairs if not may_follow(scheme, one, other)]


def first_break(scheme: str, labels: Sequence[str]) -> int | None:
    """Return the place of the first label that cannot stand there; its length for a sentence that may not end.

    >>> first_break("BIO", ["B-PER", "O", "I-PER"])
    2
    """
    return next(iter(breaks(scheme, labels)), None)


def _parts(label: str) -> tuple[str, str]:
    mark, _, kind = label.partition("-")
    return mark, kind
