"""How labels that mark spans are written: B-PER, B_PER, PER-B, b-per, or B alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

OUTSIDE: Final = "O"
PREFIXES: Final = "BIESLUMW"
SEPARATORS: Final = "-_:/|."
UNTYPED: Final = "_"
"""The type of a span whose labels are bare prefixes."""


@dataclass(frozen=True)
class Notation:
    """Where the prefix of a label stands, what separates it from the type, and its case.

    >>> Notation("-").split("B-PER"), Notation("_", suffix=True, lower=True).split("per_b")
    (('B', 'PER'), ('B', 'per'))
    """

    separator: str = "-"
    """Empty: a label is a prefix alone."""
    suffix: bool = False
    """Whether the prefix stands after the type."""
    lower: bool = False

    def split(self, label: str) -> tuple[str, str] | None:
        """Return prefix, in upper case, and type of a label; None for one that is not written like this."""
        if label == OUTSIDE or (self.lower and label == OUTSIDE.lower()):
            return OUTSIDE, ""
        if not self.separator:
            prefix, span_type = label, UNTYPED
        elif self.suffix:
            span_type, _, prefix = label.rpartition(self.separator)
        else:
            prefix, _, span_type = label.partition(self.separator)
        known = PREFIXES.lower() if self.lower else PREFIXES
        if len(prefix) != 1 or prefix not in known or not span_type:
            return None
        return prefix.upper(), span_type


HYPHENATED: Final = Notation()
"""B-PER."""


def all_notations() -> Iterator[Notation]:
    """Yield every notation, the most usual first."""
    for suffix, separator, lower in product((False, True), SEPARATORS, (False, True)):
        yield Notation(separator, suffix, lower)
    yield Notation("")
    yield Notation("", lower=True)


def find_notation(labels: Collection[str]) -> Notation | None:
    """Return the notation in which all labels mark spans; None if there is none.

    One of them is O, or begins a span. Bare prefixes begin a span and go on with it, or stand beside O.

    >>> find_notation({"O", "B_PER", "I_PER"}), find_notation({"NOUN", "VERB"})
    (Notation(separator='_', suffix=False, lower=False), None)
    """
    for notation in all_notations():
        parts = [notation.split(label) for label in labels]
        prefixes = {part[0] for part in parts if part is not None}
        if None in parts or not prefixes - {OUTSIDE}:
            continue
        begins, goes_on = bool(prefixes & set("BSUW")), bool(prefixes & set("IMEL"))
        if notation.separator and (begins or OUTSIDE in prefixes):
            return notation
        if not notation.separator and begins and (goes_on or OUTSIDE in prefixes):
            return notation
    return None


def find_stranger(labels: Collection[str]) -> str | None:
    """Return a label that does not mark a span, among others of which some do; None if there is none.

    Others mark spans beyond doubt where one type has a label that begins a span and one that goes on with it.

    >>> find_stranger({"B-PER", "I-PER", "_"}), find_stranger({"B-PER", "NOUN"})
    ('_', None)
    """
    if find_notation(labels) is not None:
        return None
    most: set[str] = set()
    for notation in all_notations():
        if not notation.separator:
            continue
        parsed = {label: notation.split(label) for label in labels}
        marked = {label for label, part in parsed.items() if part is not None}
        folded = Notation(notation.separator, notation.suffix, lower=True)
        parts = {part for label in labels if (part := folded.split(label.lower())) is not None}
        sure = any(
            ("B", kind) in parts and (after, kind) in parts for after in "IMEL" for _, kind in parts
        )
        if sure and len(marked) > len(most):
            most = marked
    return min(set(labels) - most) if most else None
