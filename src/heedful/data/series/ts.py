"""The `.ts` format of the UEA/UCR archive of time series (Bagnall et al. 2018, https://arxiv.org/abs/1811.00075).

Lines of `@name value` come first, then `@data`, then a series a line: its dimensions parted by colons, the last field
the class or the target. A dimension is numbers parted by commas, `?` where one is missing. Lines that begin with `#`
or `%` are comments.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from heedful.data.files import iterate_lines
from heedful.data.series.series import Series
from heedful.errors import DataError

COMMENTS = ("#", "%")


def read_ts(path: Path) -> list[Series]:
    """Read a `.ts` file.

    Raises: DataError naming file and line: no `@data`, a series with time stamps, dimensions of two lengths, what is no
        number, or another number of fields than the first.
    """
    lines = enumerate(iterate_lines(path), start=1)
    has_answer = _read_header(path, lines)
    found: list[Series] = []
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith(COMMENTS):
            continue
        fields = line.strip().split(":")
        answer = (fields.pop().strip(),) if has_answer else ()
        parts = [[_number(path, number, each) for each in field.split(",")] for field in fields]
        if not parts or len({len(part) for part in parts}) > 1:
            lengths = ", ".join(str(len(part)) for part in parts)
            raise DataError(
                f"the dimensions have the lengths {lengths or 'none'}; one length is wanted.",
                path=path,
                line=number,
            )
        found.append(Series(np.array(parts).T, answer, str(len(found) + 1), path, number))
    return found


def _read_header(path: Path, lines: Iterator[tuple[int, str]]) -> bool:
    """Read up to `@data`; return whether each series has a class or a target."""
    has_answer = False
    for number, line in lines:
        words = line.split()
        if not words or words[0].startswith(COMMENTS):
            continue
        name = words[0].lower()
        if name == "@data":
            return has_answer
        if not name.startswith("@"):
            raise DataError(
                f"{words[0][:40]!r} stands before @data; a line @name value is wanted.",
                path=path,
                line=number,
            )
        if name in ("@classlabel", "@targetlabel"):
            has_answer = len(words) > 1 and words[1].lower() == "true"
        if name == "@timestamps" and len(words) > 1 and words[1].lower() == "true":
            raise DataError(
                "the series have time stamps, which are not read; write their values alone.",
                path=path,
                line=number,
            )
    raise DataError("there is no line @data.", path=path)


def _number(path: Path, line: int, text: str) -> float:
    text = text.strip()
    if text in ("?", "NaN", ""):
        return float("nan")
    try:
        return float(text)
    except ValueError:
        raise DataError(
            f"{text[:40]!r} is no number; ? stands for a missing one.", path=path, line=line
        ) from None
