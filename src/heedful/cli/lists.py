"""Values of options: lists with commas, numbers of threads."""

from __future__ import annotations

import os

from heedful.errors import OptionError


def parts(text: str) -> list[str]:
    """Cut at commas; what is empty or was there before is left out.

    >>> parts("lstm, gru,lstm")
    ['lstm', 'gru']
    """
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """Read whole numbers above 0, and sort them.

    Raises: OptionError for anything else, or nothing.

    >>> whole_numbers("--lengths", "64, 8")
    (8, 64)
    """
    found = parts(text)
    if not found or not all(part.isdecimal() and int(part) for part in found):
        raise OptionError(
            f"{option} {text}: whole numbers above 0 with commas between them are wanted"
        )
    return tuple(sorted({int(part) for part in found}))


def numbers(option: str, text: str) -> list[float]:
    """Read numbers; those without a point stay whole.

    Raises: OptionError for anything else.

    >>> numbers("--fractions", "0.1,1")
    [0.1, 1]
    """
    try:
        return [int(part) if part.isdecimal() else float(part) for part in parts(text)]
    except ValueError:
        raise OptionError(f"{option} {text}: numbers with commas between them are wanted") from None


def threads(wanted: int) -> int:
    """Return a number of threads that this machine has.

    Raises: OptionError when it has fewer.
    """
    there = os.cpu_count() or 1
    if wanted > there:
        raise OptionError(f"--threads {wanted}: this machine has {there}")
    return wanted
