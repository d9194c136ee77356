"""What separates the columns of a table: found by its first line."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Final

from heedful.data.number import is_count

DELIMITERS: Final = (",", ";", "\t", "|")
"""Between the fields of CSV; of those by which the header has the wanted columns the first is taken."""


def detect_delimiter(header: str, required: Sequence[str]) -> str:
    """Return what separates the columns: by it the first line has all `required` ones, or else the most.

    >>> detect_delimiter("id;text, long", ["text, long"]), detect_delimiter("a|b", ["1", "2"])
    (';', '|')
    """
    found = {delimiter: split_fields(header, delimiter) for delimiter in DELIMITERS}
    for delimiter, names in found.items():
        last = max(map(int, required)) if required and are_numbers(required, names) else None
        if required and (set(required) <= set(names) if last is None else len(names) >= last):
            return delimiter
    return max(DELIMITERS, key=lambda delimiter: len(found[delimiter]))


def split_fields(line: str, delimiter: str) -> list[str]:
    """Return the fields of a line, without a check; none of what is no CSV."""
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []


def are_numbers(required: Sequence[str], first: Sequence[str]) -> bool:
    """Return whether columns are named by number, in a file without a header."""
    return all(is_count(name) and name.isascii() and name not in first for name in required)
