"""A block of query rows: the unit in which masks, biases and backends talk about a call."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that these broadcast to, or None where they do not.

    >>> broadcast((2, 1), (3,)), broadcast((2,), (3,))
    ((2, 3), None)
    """
    # torch.broadcast_shapes takes longer than the attention of a decoder's step.
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    rank = max(len(shape) for shape in shapes)
    sizes = [1] * rank
    for shape in shapes:
        for axis, size in enumerate(shape, rank - len(shape)):
            if size != 1 and size != sizes[axis]:
                if sizes[axis] != 1:
                    return None
                sizes[axis] = size
    return tuple(sizes)


@dataclass(frozen=True)
class Rows:
    """Query rows `start` to `stop` (exclusive), each with all its keys.

    Masks and position biases are asked for one such block at a time, so that nothing of size
    queries × keys need exist unless a backend wants it.
    """

    start: int
    stop: int
    num_queries: int
    num_keys: int
    lead: tuple[int, ...]
    """Sizes of the axes before (query, key): `(*batch, heads)` or `(*batch,)`."""
    device: torch.device

    @classmethod
    def all(
        cls, num_queries: int, num_keys: int, lead: tuple[int, ...], device: torch.device
    ) -> Rows:
        """The block that holds every query."""
        return cls(0, num_queries, num_queries, num_keys, lead, device)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole call's scores: (*lead, query, key)."""
        return (*self.lead, self.num_queries, self.num_keys)

    def block(self, start: int, stop: int) -> Rows:
        """The same call, other rows."""
        return replace(self, start=start, stop=stop)

    @property
    def is_all(self) -> bool:
        """Whether the block holds every query."""
        return self.start == 0 and self.stop == self.num_queries

    def query_index(self) -> Tensor:
        """Indices of the queries as a column, (rows, 1)."""
        return torch.arange(self.start, self.stop, device=self.device)[:, None]

    def key_index(self) -> Tensor:
        """Indices of the keys as a row, (1, keys)."""
        return torch.arange(self.num_keys, device=self.device)[None, :]

    def slice(self, tensor: Tensor) -> Tensor:
        """Take these rows out of the query axis (the last but one) unless that axis broadcasts."""
        if self.is_all or tensor.shape[-2] == 1:
            return tensor
        return tensor[..., self.start : self.stop, :]
