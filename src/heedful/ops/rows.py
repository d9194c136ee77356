"""A rectangle of query rows and keys of one call, the unit in which backends evaluate masks and biases."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from heedful.ops.cells import Cells, Pairs


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape to which the given shapes broadcast, or None if they do not.

    >>> broadcast((2, 1), (3,)), broadcast((2,), (3,))
    ((2, 3), None)
    """
    # torch.broadcast_shapes takes longer than the attention of one decoder step.
    first, ranks = shapes[0], [len(shape) for shape in shapes]
    rank = max(ranks)
    # Shapes are compared only at equal rank: comparing dynamic sizes would add guards to an exported program.
    if min(ranks) == rank and shapes.count(first) == len(shapes):
        return first
    sizes = [1] * rank
    for shape in shapes:
        for axis, size in enumerate(shape, rank - len(shape)):
            if size != 1 and size != sizes[axis]:
                if sizes[axis] != 1:
                    return None
                sizes[axis] = size
    return tuple(sizes)


@dataclass(frozen=True)
class Rows(Cells):
    """The rectangle of queries `start` to `stop` and keys `key_start` to `key_stop`, both exclusive at the end.

    Masks and position biases are evaluated for one rectangle at a time, so a backend need not materialize a tensor of
    size queries × keys.
    """

    start: int
    stop: int
    key_start: int
    key_stop: int
    num_queries: int
    num_keys: int
    lead: tuple[int, ...]
    device: torch.device

    @classmethod
    def all(
        cls, num_queries: int, num_keys: int, lead: tuple[int, ...], device: torch.device
    ) -> Rows:
        """The rectangle of all queries and keys."""
        return cls(0, num_queries, 0, num_keys, num_queries, num_keys, lead, device)

    @property
    def shape(self) -> tuple[int, ...]:
        """(*lead, rows, keys), the shape of the rectangle's scores."""
        return (*self.lead, self.stop - self.start, self.key_stop - self.key_start)

    def block(self, start: int, stop: int) -> Rows:
        """The rectangle with the same keys and the queries `start` to `stop`."""
        return replace(self, start=start, stop=stop)

    def narrow(self, key_start: int, key_stop: int) -> Rows:
        """The rectangle with the same queries and the keys `key_start` to `key_stop`."""
        return replace(self, key_start=key_start, key_stop=key_stop)

    def pairs(self, query: Tensor, key: Tensor) -> Pairs:
        """Cells of the same call by query and key index."""
        return Pairs(query, key, self.num_queries, self.num_keys, self.lead)

    @property
    def is_all(self) -> bool:
        """Whether the rectangle holds all queries."""
        return self.start == 0 and self.stop == self.num_queries

    @property
    def has_all_keys(self) -> bool:
        """Whether the rectangle holds all keys."""
        return self.key_start == 0 and self.key_stop == self.num_keys

    def query_index(self) -> Tensor:
        """Indices of the queries as a column, (rows, 1)."""
        return torch.arange(self.start, self.stop, device=self.device)[:, None]

    def key_index(self) -> Tensor:
        """Indices of the keys as a row, (1, keys)."""
        return torch.arange(self.key_start, self.key_stop, device=self.device)[None, :]

    def of_sequences(self, tensor: Tensor) -> Tensor:
        return self.over_heads(tensor, 0)[..., None, None]

    def of_queries(self, tensor: Tensor) -> Tensor:
        return self.of_pairs(self.over_heads(tensor, 1)[..., :, None])

    def of_keys(self, tensor: Tensor) -> Tensor:
        return self.of_pairs(self.over_heads(tensor, 1)[..., None, :])

    def of_pairs(self, tensor: Tensor) -> Tensor:
        if not (self.is_all or tensor.shape[-2] == 1):
            tensor = tensor[..., self.start : self.stop, :]
        if not (self.has_all_keys or tensor.shape[-1] == 1):
            tensor = tensor[..., self.key_start : self.key_stop]
        return tensor

    def listed(self, queries: Tensor, keys: Tensor) -> Tensor:
        if not self.is_all:
            bounds = torch.tensor([self.start, self.stop], device=self.device, dtype=queries.dtype)
            begin, end = torch.searchsorted(queries, bounds).tolist()
            queries, keys = queries[begin:end] - self.start, keys[begin:end]
        if not self.has_all_keys:
            inside = (keys >= self.key_start) & (keys < self.key_stop)
            queries, keys = queries[inside], keys[inside] - self.key_start
        size = (self.stop - self.start, self.key_stop - self.key_start)
        keep = torch.zeros(size, dtype=torch.bool, device=self.device)
        keep[queries, keys] = True
        return keep

    def head_index(self, heads: int) -> Tensor:
        index = torch.arange(heads, device=self.device)
        return index[:, None] if heads == 1 else index[:, None, None]
