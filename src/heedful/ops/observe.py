"""Listening to attention from outside, without changing what it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Observed:
    """What one call of `attend` did."""

    mask: Tensor | None
    """(*lead, query, key), boolean, True = may attend; None where everything may."""
    weights: Tensor
    """(*lead, query, key), as normalized, before dropout."""
    backend: str


Observer = Callable[[Observed], None]
_observer: ContextVar[Observer | None] = ContextVar("heedful_observer", default=None)
# How many blocks are open, in all threads. torch.compile cannot read a ContextVar, but it guards a plain number: code
# compiled outside such a block is compiled again inside one.
_open_blocks = 0
_lock = Lock()


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Call `observer` after every `attend` inside the block, in this thread.

    Code under torch.compile is observed too, unless it was compiled with `fullgraph=True`: then it fails, loudly.

    >>> import torch
    >>> from heedful import attend
    >>> seen = []
    >>> x = torch.randn(1, 3, 2)
    >>> with observing(seen.append):
    ...     output = attend(x, x, x).output
    >>> seen[0].weights.shape
    torch.Size([1, 3, 3])
    """
    token = _observer.set(observer)
    _count(1)
    try:
        yield
    finally:
        _count(-1)
        _observer.reset(token)


def current_observer() -> Observer | None:
    """The observer of the innermost block, or None."""
    return _observer.get() if _open_blocks else None


def _count(change: int) -> None:
    global _open_blocks  # noqa: PLW0603 - what torch.compile guards
    with _lock:
        _open_blocks += change
