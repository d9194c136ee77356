"""The `.ts` format of the UEA/UCR archive of time series (Bagnall et al. 2018, https://arxiv.org/abs/1811.00075).

The header consists of lines `@name value` and ends with `@data`. Each further line is a series: its dimensions
separated by colons, then the class or the target. A dimension is numbers separated by commas, `?` if missing. Lines
that begin with `#` or `%` are comments.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from heedful.data.decoding import UTF8
from heedful.data.files import iterate_lines
from heedful.data.number import number_advice, read_number
from heedful.data.opening import MAX_LINE
from heedful.data.series.series import Series
from heedful.data.words import canonical
from heedful.errors import DataError, shown

COMMENTS = ("#", "%")


def read_ts(path: Path, encoding: str = UTF8, max_line: int = MAX_LINE) -> list[Series]:
    """Read a `.ts` file.

    Raises: DataError naming file and line, for a file without `@data`, time stamps, dimensions of unequal length,
        or a value that is not a number.
    """
    lines = enumerate(iterate_lines(path, encoding, max_line=max_line), start=1)
    has_answer = _read_header(path, lines)
    series: list[Series] = []
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith(COMMENTS):
            continue
        fields = line.strip().split(":")
        answer = (canonical(fields.pop().strip()),) if has_answer else ()
        dimensions = [
            [_parse_number(path, number, value) for value in field.split(",")] for field in fields
        ]
        if not dimensions or len({len(values) for values in dimensions}) > 1:
            lengths = ", ".join(str(len(values)) for values in dimensions)
            raise DataError(
                f"the dimensions have the lengths {lengths or 'none'}; all must have the same length.",
                path=path,
                line=number,
            )
        series.append(Series(np.array(dimensions).T, answer, str(len(series) + 1), path, number))
    return series


def _read_header(path: Path, lines: Iterator[tuple[int, str]]) -> bool:
    """Consume the header including `@data`; return whether each series has a class or a target."""
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
                f"got {shown(words[0][:40])} before @data; expected a header line `@name value`.",
                path=path,
                line=number,
            )
        if name in ("@classlabel", "@targetlabel"):
            has_answer = len(words) > 1 and words[1].lower() == "true"
        if name == "@timestamps" and len(words) > 1 and words[1].lower() == "true":
            raise DataError(
                "series with time stamps are not supported; write only the values.",
                path=path,
                line=number,
            )
    raise DataError("there is no line @data; add it before the first series.", path=path)


def _parse_number(path: Path, line: int, text: str) -> float:
    text = text.strip()
    if text in ("?", ""):
        return float("nan")
    number = read_number(text)
    if number is None:
        raise DataError(
            f"{shown(text[:40])} is not a number; {number_advice(text)}, or ? for a missing value.",
            path=path,
            line=line,
        )
    return number
