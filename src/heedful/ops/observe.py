"""Observers: callbacks that receive mask and weights of every attention call, without changing its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Observed:
    """Mask, weights and backend of one call of `attend`."""

    mask: Tensor | None
    """(*lead, query, key), boolean, True = may attend; None without a mask."""
    weights: Tensor
    """(*lead, query, key), as normalized, before dropout."""
    backend: str
    owner: object = None
    """The module that computed the attention, if it is not the innermost module running."""
    call: Any = None
    """The `Call` of `attend`, with its queries, keys and values; None if the steps were computed together."""
    output: Tensor | None = None
    """(*lead, query, value), with its gradient; None without a call."""


@dataclass(frozen=True, eq=False)
class ObservedEdges:
    """Edges and weights of one attention over an edge list, as computed by the graph layers."""

    edge_index: Tensor
    """(2, edges), int64: row 0 the key, row 1 the query, in the order listed; self loops that were added come last."""
    weights: Tensor
    """(batch, edges, heads), before dropout."""
    num_queries: int
    num_keys: int
    backend: str

    def dense(self) -> Observed:
        """Return dense matrices: weights (batch, heads, query, key), mask (query, key).

        The weights of duplicate edges are summed. Memory grows as queries × keys.

        >>> index, weights = torch.tensor([[0, 2], [1, 1]]), torch.tensor([[[0.25], [0.75]]])
        >>> dense = ObservedEdges(index, weights, num_queries=2, num_keys=3, backend="plain").dense()
        >>> dense.weights.tolist()
        [[[[0.0, 0.0, 0.0], [0.25, 0.0, 0.75]]]]
        """
        key, query = self.edge_index
        batch, _, heads = self.weights.shape
        cells = self.weights.new_zeros(batch, heads, self.num_queries * self.num_keys)
        places = query * self.num_keys + key
        sizes = (self.num_queries, self.num_keys)
        weights = cells.index_add(-1, places, self.weights.transpose(1, 2)).unflatten(-1, sizes)
        mask = torch.zeros(sizes, dtype=torch.bool, device=places.device)
        mask[query, key] = True
        return Observed(mask, weights, self.backend)


Observer = Callable[[Observed | ObservedEdges], None]
_observer: ContextVar[Observer | None] = ContextVar("heedful_observer", default=None)
# Number of open `observing` blocks in all threads. torch.compile cannot read a ContextVar, but it guards on an int:
# code compiled outside a block is recompiled inside one.
_open_blocks = 0
_lock = Lock()


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Call `observer` after every attention inside the block, in this thread.

    The observer receives `Observed` from `attend` and `ObservedEdges` from a graph layer. Code under torch.compile is
    observed too, except that code compiled with `fullgraph=True` raises.

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
    """Return the observer of the innermost block, or None."""
    return _observer.get() if _open_blocks else None


def _count(change: int) -> None:
    global _open_blocks  # noqa: PLW0603 - torch.compile guards on this global
    with _lock:
        _open_blocks += change
