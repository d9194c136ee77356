"""Lines to translate, as they come."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal, TypeVar

from heedful.data.files import decode_lines, iterate_lines
from heedful.errors import DataError

Item = TypeVar("Item")

STANDARD_INPUT: Final = "-"
WAIT_SECONDS: Final = 0.02
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


def available_groups(items: Iterable[Item], most: int) -> Iterator[list[Item]]:
    """Group items so that none waits for later ones: what is there already, up to `most` at once.

    A fast writer is read in large groups, which is efficient; a person who types one line gets its
    answer. An error in `items` comes after the items before it.

    >>> list(available_groups(["a", "b", "c"], 2))
    [['a', 'b'], ['c']]
    """
    waiting: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(maxsize=2 * most)

    def read() -> None:
        try:
            for item in items:
                waiting.put((item,))
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
    waiting: queue.Queue[tuple[Item] | BaseException | None], most: int
) -> tuple[list[Item], BaseException | Literal["more"] | None]:
    """Take the items that are there, and what ended the input, if it ended."""
    group: list[Item] = []
    while len(group) < most:
        try:
            item = waiting.get(timeout=WAIT_SECONDS if group else None)
        except queue.Empty:
            return group, "more"
        if not isinstance(item, tuple):
            return group, item
        group.append(item[0])
    return group, "more"
