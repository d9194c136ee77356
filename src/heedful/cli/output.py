"""Output of the commands: messages, tables, and one line of JSON."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console

from heedful.strict_json import to_strict_json

_COMPILATION: Final = logging.getLogger("heedful.ops.jit.kernel")
"""Logs which kernel is compiled at its first use."""


class _MessageHandler(logging.Handler):
    def __init__(self, output: Output):
        super().__init__()
        self.output = output

    def emit(self, record: logging.LogRecord) -> None:
        self.output.say(f"note: {record.getMessage()}")


class Output:
    """Writes the messages, tables and JSON results of a command.

    Args:
        json: write the results as JSON to standard output; messages go to standard error.
        quiet: omit messages.
        data: standard output carries data (predictions); messages and tables go to standard error.
    """

    def __init__(self, *, json: bool, quiet: bool, data: bool = False):
        self.json = json
        self.quiet = quiet
        self.console = Console(
            stderr=json or data, highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        if not quiet:
            _COMPILATION.handlers = [_MessageHandler(self)]
            if not _COMPILATION.level:
                _COMPILATION.setLevel(logging.INFO)

    @property
    def is_interactive(self) -> bool:
        """Whether to show a progress bar: on a terminal, and not `quiet`."""
        return self.console.is_terminal and not self.quiet

    def say(self, text: object = "") -> None:
        """Write a message, unless `quiet`."""
        if not self.quiet:
            self.console.print(text)

    def suggest(self, commands: Sequence[tuple[str, str]]) -> None:
        """Suggest next commands, given as (command, description)."""
        for command, description in commands:
            self.say(f"{description}:\n    {command}")

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Write rows in aligned columns without truncation, unless `json`."""
        if self.json:
            return
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.console.print("  ".join(cells).rstrip())

    def tables(self, tables: Sequence[Sequence[Sequence[str]]]) -> None:
        """Write tables as `table` does, with an empty line between them."""
        for number, rows in enumerate(tables):
            self.table([[""] * len(rows[0]), *rows] if number else rows)

    def result(self, values: Mapping[str, Any]) -> None:
        """Write the results as the last line of standard output, if `json`."""
        if self.json:
            write_json(values)


def write_json(values: Mapping[str, Any]) -> None:
    """Write one line of strict JSON; NaN and infinity become null."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = to_strict_json(values, ensure_ascii=not unicode)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def duration(seconds: float) -> str:
    """Format seconds as m:ss or h:mm:ss.

    >>> duration(42.4), duration(3723)
    ('0:42', '1:02:03')
    """
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
