"""Parsing of option values: comma-separated lists and thread counts."""

from __future__ import annotations

import os

from heedful.data.number import is_count
from heedful.errors import OptionError, shown


def split_commas(text: str) -> list[str]:
    """Split at commas; drop empty parts and duplicates.

    >>> split_commas("lstm, gru,lstm")
    ['lstm', 'gru']
    """
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def parse_positive_integers(option: str, text: str) -> tuple[int, ...]:
    """Parse comma-separated positive integers and sort them.

    Raises: OptionError for any other value, or an empty list.

    >>> parse_positive_integers("--lengths", "64, 8")
    (8, 64)
    """
    parts = split_commas(text)
    if not parts or not all(is_count(part) and int(part) for part in parts):
        raise OptionError(
            f"{option}: expected positive integers separated by commas, such as 8,64; got {shown(text)}"
        )
    return tuple(sorted({int(part) for part in parts}))


def parse_numbers(option: str, text: str) -> list[float]:
    """Parse comma-separated numbers; those without a decimal point stay integers.

    Raises: OptionError for any other value.

    >>> parse_numbers("--fractions", "0.1,1")
    [0.1, 1]
    """
    try:
        return [int(part) if is_count(part) else float(part) for part in split_commas(text)]
    except ValueError:
        raise OptionError(
            f"{option}: expected numbers separated by commas, such as 0.1,0.3; got {shown(text)}"
        ) from None


def check_threads(threads: int) -> int:
    """Return the number of threads if this machine has as many.

    Raises: OptionError if it has fewer.
    """
    available = os.cpu_count() or 1
    if threads > available:
        raise OptionError(f"--threads {threads}: this machine has {available}")
    return threads
