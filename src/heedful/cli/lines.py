"""Lines to translate, as they come."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from heedful.data.files import decode_lines, iterate_lines
from heedful.errors import DataError

STANDARD_INPUT: Final = "-"
PATIENCE: Final = 0.02
"""Seconds to wait for one more line before those that came are translated."""


def count_lines(path: str) -> int:
    """Count the lines of a file and check all of them, before any work is done on the first.

    Raises: DataError for a file that is missing, empty or not UTF-8.
    """
    count = sum(1 for _ in iterate_lines(path))
    if not count:
        raise DataError("the file is empty.", path=Path(path))
    return count


def standard_input() -> Iterator[str]:
    """Yield the lines of standard input."""
    return decode_lines(sys.stdin.buffer, "standard input")


def as_they_come(lines: Iterable[str], most: int) -> Iterator[list[str]]:
    """Group lines so that none waits for later ones: what is there already, up to `most` at once.

    A fast writer is read in large groups, which is efficient; a person who types one line gets its
    answer. An error in `lines` comes after the lines before it.

    >>> list(as_they_come(["a", "b", "c"], 2))
    [['a', 'b'], ['c']]
    """
    waiting: queue.Queue[str | BaseException | None] = queue.Queue(maxsize=2 * most)

    def read() -> None:
        try:
            for line in lines:
                waiting.put(line)
            waiting.put(None)
        except BaseException as error:
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    while True:
        group, end = _group(waiting, most)
        if group:
            yield group
        if isinstance(end, BaseException):
            raise end
        if end is None:
            return


def _group(
    waiting: queue.Queue[str | BaseException | None], most: int
) -> tuple[list[str], str | BaseException | None]:
    """Take the lines that are there; what ended the input, if it ended, else an empty text."""
    group: list[str] = []
    while len(group) < most:
        try:
            item = waiting.get(timeout=PATIENCE if group else None)
        except queue.Empty:
            return group, ""
        if not isinstance(item, str):
            return group, item
        group.append(item)
    return group, ""
