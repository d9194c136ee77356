"""What is wrong with a column whose values are no labels: an identifier, a text or a number of each example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from heedful.data.number import parse_number
from heedful.errors import DataError, shown

FEW = 4
"""Fewer examples than this are too few for a diagnosis."""
MANY_NUMBERS = 20
"""More numbers than this, some of which occur once, are no classes."""


def diagnose_labels(answers: Sequence[Sequence[str]], example: str, column: str) -> str | None:
    """Return why the labels of examples cannot be learned, and how to mend it; None if most of them repeat.

    Args:
        answers: the labels of each example.
        example: the word for one example.
        column: the name of their column.

    >>> diagnose_labels([[f"id{n}"] for n in range(9)], "text", "key")  # doctest: +ELLIPSIS
    "9 of 9 labels in column 'key' occur once: is it an identifier...
    >>> diagnose_labels([[f"{n}.5"] for n in range(9)], "text", "price")  # doctest: +ELLIPSIS
    "9 of 9 labels in column 'price' occur once, and they are numbers: ...
    >>> diagnose_labels([["a"], ["a"], ["b"], ["a"], ["a"]], "text", "key")
    """
    counts = Counter(label for labels in answers for label in labels)
    once = [label for label, number in counts.items() if number == 1]
    numbers = all(map(_is_number, counts))
    mostly_once = 2 * len(once) > len(counts) and 4 * len(counts) >= len(answers)
    if len(answers) < FEW or not (mostly_once or (once and numbers and len(counts) > MANY_NUMBERS)):
        return None
    found = f"{len(once):,} of {len(counts):,} labels in column {shown(column)} occur once"
    if numbers:
        return (
            f"{found}, and they are numbers: to predict a number use the command regress with --target {column}, or "
            "regress-series for series; for classes replace the numbers by ranges."
        )
    return (
        f"{found}: is it an identifier, or a text with a value of its own for each {example}? Name the column of the "
        "labels with --label; several labels in one field need --set data.separator=,"
    )


def _is_number(text: str) -> bool:
    try:
        parse_number(text, DataError)
    except DataError:
        return False
    return True
