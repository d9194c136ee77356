"""What is a number in a file: digits 0 to 9, a decimal point, an exponent."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from heedful.errors import DataError, shown

MAX_TARGET: Final = 1e150
"""Largest absolute target; its square still fits into float64."""

_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE: Final = re.compile(r"[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_DECIMAL_COMMA: Final = re.compile(r"[+-]?(\d+|\d{1,3}([. \u00a0\u202f'’]\d{3})+),\d+", re.ASCII)
_GROUPED: Final = re.compile(r"[+-]?\d{1,3}([,_ \u00a0\u202f'’]\d{3})+(\.\d+)?", re.ASCII)


def read_number(text: str) -> float | None:
    """Return the number that a text stands for, NaN and infinity too; None for everything else.

    A number is written as in 12, -1.5, .5 or 1e-3; spaces around it do not matter. Digits of other scripts, marks
    between groups of digits and decimal commas, of which some are read otherwise in other places, are no numbers.

    >>> read_number(" -1.5e3 "), read_number("1_000"), read_number("1,5")
    (-1500.0, None, None)
    """
    text = text.strip(" \t\r\n")
    if _NUMBER.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        return float(text)
    return None


def is_count(text: str) -> bool:
    """Return whether a text is a whole number of at most 9 decimal digits, such as the number of a column.

    >>> is_count("12"), is_count("-1"), is_count("9" * 5000)
    (True, False, False)
    """
    return len(text) < 10 and text.isdecimal()


def number_advice(text: str) -> str:
    """Say how a text that is no number may have to be written.

    >>> number_advice("1.234,5"), number_advice("1,234,567")
    ('it has a decimal comma; write it with a point, like 1.5', 'write it without marks between its digits, like 1000')
    """
    text = text.strip()
    if _GROUPED.fullmatch(text) and (not _DECIMAL_COMMA.fullmatch(text)):
        return "write it without marks between its digits, like 1000"
    if _DECIMAL_COMMA.fullmatch(text):
        return "it has a decimal comma; write it with a point, like 1.5"
    if not text.isascii() and any(map(str.isdecimal, text)):
        return "write it in the digits 0 to 9, like 1.5"
    return "write it like 1.5"


def parse_number(text: str, error: Callable[[str], DataError]) -> float:
    """Parse a regression target, see `read_number`.

    Args:
        text: the field of the file.
        error: builds the exception from a message.

    Raises: DataError for text that is not a number, not finite, or larger than `MAX_TARGET`.

    >>> parse_number("2.5", DataError)
    2.5
    """
    value = read_number(text)
    if value is None:
        raise error(f"the target {shown(text)} is not a number; {number_advice(text)}.")
    if not math.isfinite(value):
        raise error(f"the target {shown(text)} is not finite; correct it or remove the row.")
    if abs(value) > MAX_TARGET:
        raise error(
            f"the target {shown(text)} exceeds {MAX_TARGET:g} in magnitude: its square overflows; rescale the targets."
        )
    return value
