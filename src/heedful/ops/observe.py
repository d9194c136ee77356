"""Listening to attention from outside, without changing what it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

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


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Call `observer` after every `attend` inside the block, in this thread.

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
    try:
        yield
    finally:
        _observer.reset(token)


def current_observer() -> Observer | None:
    """The observer of the innermost block, or None."""
    return _observer.get()
