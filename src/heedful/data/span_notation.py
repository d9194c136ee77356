"""Notations of span labels: B-PER, B_PER, PER-B, b-per, or a bare B."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

OUTSIDE: Final = "O"
PREFIXES: Final = "BIESLUMW"
SEPARATORS: Final = "-_:/|."
UNTYPED: Final = "_"
"""Type of spans whose labels are bare prefixes."""


@dataclass(frozen=True)
class Notation:
    """Position of the prefix of a label, its separator from the type, and its case.

    >>> Notation("-").split("B-PER"), Notation("_", suffix=True, lower=True).split("per_b")
    (('B', 'PER'), ('B', 'per'))
    """

    separator: str = "-"
    """Empty for bare prefixes."""
    suffix: bool = False
    """Whether the prefix follows the type."""
    lower: bool = False

    def split(self, label: str) -> tuple[str, str] | None:
        """Return the upper-case prefix and the type of a label; None for a label in another notation."""
        if label == OUTSIDE or (self.lower and label == OUTSIDE.lower()):
            return OUTSIDE, ""
        if not self.separator:
            prefix, span_type = label, UNTYPED
        elif self.suffix:
            span_type, _, prefix = label.rpartition(self.separator)
        else:
            prefix, _, span_type = label.partition(self.separator)
        prefixes = PREFIXES.lower() if self.lower else PREFIXES
        if len(prefix) != 1 or prefix not in prefixes or not span_type:
            return None
        return prefix.upper(), span_type


HYPHENATED: Final = Notation()
"""B-PER."""


def all_notations() -> Iterator[Notation]:
    """Yield every notation, the most common first."""
    for suffix, separator, lower in product((False, True), SEPARATORS, (False, True)):
        yield Notation(separator, suffix, lower)
    yield Notation("")
    yield Notation("", lower=True)


def find_notation(labels: Collection[str]) -> Notation | None:
    """Return the notation in which all labels mark spans; None if there is none.

    At least one label must be O or begin a span; of bare prefixes, one must begin a span, and another continue it
    or be O.

    >>> find_notation({"O", "B_PER", "I_PER"}), find_notation({"NOUN", "VERB"})
    (Notation(separator='_', suffix=False, lower=False), None)
    """
    for notation in all_notations():
        parts = [notation.split(label) for label in labels]
        prefixes = {part[0] for part in parts if part is not None}
        if None in parts or not prefixes - {OUTSIDE}:
            continue
        begins, continues = bool(prefixes & set("BSUW")), bool(prefixes & set("IMEL"))
        if notation.separator and (begins or OUTSIDE in prefixes):
            return notation
        if not notation.separator and begins and (continues or OUTSIDE in prefixes):
            return notation
    return None


def find_non_span_label(labels: Collection[str]) -> str | None:
    """Return a label that marks no span although others certainly do; None if there is none.

    Labels certainly mark spans if one begins a span and another continues a span of the same type.

    >>> find_non_span_label({"B-PER", "I-PER", "_"}), find_non_span_label({"B-PER", "NOUN"})
    ('_', None)
    """
    if find_notation(labels) is not None:
        return None
    best: set[str] = set()
    for notation in all_notations():
        if not notation.separator:
            continue
        span_labels = {label for label in labels if notation.split(label) is not None}
        if len(span_labels) > len(best) and _has_whole_span(notation, labels):
            best = span_labels
    return min(set(labels) - best) if best else None


def _has_whole_span(notation: Notation, labels: Collection[str]) -> bool:
    """Return whether labels, regardless of case, begin and continue a span of one type."""
    notation = replace(notation, lower=True)
    parts = {notation.split(label.lower()) for label in labels} - {None}
    types = {part[1] for part in parts if part is not None}
    return any(
        ("B", each) in parts and (prefix, each) in parts for prefix in "IMEL" for each in types
    )
