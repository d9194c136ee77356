"""Input lines from a file or standard input, grouped as they arrive."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal, TypeVar

from heedful.data.decoding import decode_lines
from heedful.data.files import iterate_lines
from heedful.data.opening import bounded_lines
from heedful.errors import DataError
from heedful.tasks.readers.base import TextFiles

Item = TypeVar("Item")

STANDARD_INPUT: Final = "-"
_NAME: Final = "standard input"
WAIT_SECONDS: Final = 0.02
"""Seconds to wait for another item before a partial chunk is returned."""


def check_all(items: Iterable[object], path: str, data: TextFiles) -> None:
    """Read all items of a file, so that every error is raised before prediction starts.

    `data` is the section of the configuration that says how files are read.

    Raises: DataError for what cannot be read, and for an empty file.
    """
    is_empty = True
    for _ in items:
        is_empty = False
    if is_empty and next(iterate_lines(path, data.encoding, max_line=data.max_line), None) is None:
        raise DataError("the file is empty.", path=Path(path))


def standard_input(data: TextFiles) -> Iterator[str]:
    """Yield the lines of standard input; `data` is the section that says how files are read."""
    lines = bounded_lines(sys.stdin.buffer, _NAME, data.max_line)
    return decode_lines(lines, _NAME, data.encoding, max_line=data.max_line)


def available_chunks(items: Iterable[Item], max_size: int) -> Iterator[list[Item]]:
    """Yield the items that are already available, up to `max_size` at once, without waiting for a full chunk.

    A fast producer gives large chunks, which are efficient to predict; interactive input is answered line by line.
    An exception in `items` is raised after the items before it.

    >>> list(available_chunks(["a", "b", "c"], 2))
    [['a', 'b'], ['c']]
    """
    waiting: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(maxsize=2 * max_size)

    def read() -> None:
        try:
            for item in items:
                waiting.put((item,))
            waiting.put(None)
        except BaseException as error:
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    while True:
        chunk, end = _next_chunk(waiting, max_size)
        if chunk:
            yield chunk
        if isinstance(end, BaseException):
            raise end
        if end is None:
            return


def _next_chunk(
    waiting: queue.Queue[tuple[Item] | BaseException | None], max_size: int
) -> tuple[list[Item], BaseException | Literal["more"] | None]:
    """Return the available items and "more", or what ended the input: an exception, or None at its end."""
    chunk: list[Item] = []
    while len(chunk) < max_size:
        try:
            item = waiting.get(timeout=WAIT_SECONDS if chunk else None)
        except queue.Empty:
            return chunk, "more"
        if not isinstance(item, tuple):
            return chunk, item
        chunk.append(item[0])
    return chunk, "more"
