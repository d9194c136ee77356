"""What a command writes: progress and advice, tables, and one line of JSON."""

from __future__ import annotations

import json as json_format
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console


class Output:
    """Where a command writes.

    With `json`, or when standard output is the command's `data`, everything for people goes to
    standard error. `quiet` leaves progress and advice out.
    """

    def __init__(self, *, json: bool, quiet: bool, data: bool = False):
        self.json = json
        self.quiet = quiet
        self.console = Console(
            stderr=json or data, highlight=False, markup=False, emoji=False, soft_wrap=True
        )

    @property
    def is_interactive(self) -> bool:
        """Whether a person is looking, so that a progress bar makes sense."""
        return self.console.is_terminal and not self.quiet

    def say(self, text: object = "") -> None:
        """Write progress or advice."""
        if not self.quiet:
            self.console.print(text)

    def suggest(self, commands: Sequence[tuple[str, str]]) -> None:
        """Write commands that a person may type next, each under what it does."""
        for command, what in commands:
            self.say(f"{what}:\n    {command}")

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Write results for people in aligned columns, nothing cut; with `json` they are in the JSON."""
        if self.json:
            return
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.console.print("  ".join(cells).rstrip())

    def result(self, values: Mapping[str, Any]) -> None:
        """With `json`, write the results as the last line of standard output."""
        if self.json:
            write_json(values)


def write_json(values: Mapping[str, Any]) -> None:
    """Write one line of strict JSON: what is not a number (NaN, infinity) becomes null."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json_format.dumps(_finite(values), ensure_ascii=not unicode, allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def duration(seconds: float) -> str:
    """Write seconds as people read them.

    >>> duration(42.4), duration(3723)
    ('0:42', '1:02:03')
    """
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
