"""Progress of what comes before the first step of a training: reading, learning vocabularies, encoding."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

Chunk = TypeVar("Chunk", bound=Sized)
Item = TypeVar("Item")

CHUNK: Final = 10_000
"""Examples that are prepared between two looks at the clock."""
_QUIET: Final = 1.0
"""Seconds for which an action is not worth a report."""
_INTERVAL: Final = 0.5
"""Seconds between two reports."""


@dataclass(frozen=True, kw_only=True)
class Preparing:
    """Progress of one action before the first step."""

    action: str
    """Such as "encoding"."""
    unit: str
    """Plural noun for what is counted: lines, texts."""
    done: int
    total: int | None
    """None if it is not known."""
    seconds: float
    """Time since the action began."""


_receiver: ContextVar[Callable[[Preparing], object] | None] = ContextVar("receiver", default=None)


@contextmanager
def reporting_preparation(receiver: Callable[[Preparing], object] | None) -> Iterator[None]:
    """Call `receiver` with the progress of every action in this context that takes longer than a second."""
    token = _receiver.set(receiver)
    try:
        yield
    finally:
        _receiver.reset(token)


def in_chunks(items: Iterable[Item], size: int = CHUNK) -> Iterator[list[Item]]:
    """Yield lists of up to `size` items.

    >>> list(in_chunks("abc", 2))
    [['a', 'b'], ['c']]
    """
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


def report_chunks(
    chunks: Iterable[Chunk], action: str, unit: str, total: int | None = None
) -> Iterator[Chunk]:
    """Yield chunks and report, between them, how many of their items are done."""
    receiver = _receiver.get()
    start = time.monotonic()
    done, reported = 0, start + _QUIET - _INTERVAL
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        now = time.monotonic()
        if receiver is not None and done != total and now - reported >= _INTERVAL:
            reported = now
            receiver(
                Preparing(action=action, unit=unit, done=done, total=total, seconds=now - start)
            )


def report_items(
    items: Iterable[Item], action: str, unit: str, total: int | None = None
) -> Iterator[Item]:
    """Yield items and report how many are done."""
    for chunk in report_chunks(in_chunks(items), action, unit, total):
        yield from chunk
