"""Lines to translate, as they come."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal, TypeVar

from heedful.data.decoding import decode_lines
from heedful.data.files import iterate_lines
from heedful.errors import DataError

Item = TypeVar("Item")

STANDARD_INPUT: Final = "-"
WAIT_SECONDS: Final = 0.02
"""Seconds to wait for one more line before those that came are translated."""


def check_all(items: Iterable[object], path: str, encoding: str) -> None:
    """Read all that a file holds, before any work is done on the first.

    Raises: DataError for what cannot be read, and for an empty file.
    """
    is_empty = True
    for _ in items:
        is_empty = False
    if is_empty and next(iterate_lines(path, encoding), None) is None:
        raise DataError("the file is empty.", path=Path(path))


def standard_input(encoding: str) -> Iterator[str]:
    """Yield the lines of standard input."""
    return decode_lines(sys.stdin.buffer, "standard input", encoding)


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
