"""Index sets of (query, key) pairs, for which masks and position biases are evaluated."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from types import EllipsisType

import torch
from torch import Tensor


class Cells(abc.ABC):
    """A set of (query, key) pairs of one call, in any arrangement.

    A mask or bias is defined once, by its value `at` cells. `Rows` are a rectangle of cells and slice the tensors that
    a mask holds. `Pairs` are cells given by index tensors and gather from those tensors.

    The `of_...` methods take tensors whose leading axes are the call's `(*batch, heads)`, each full or of size 1. They
    return a tensor broadcastable to `(*lead, *cells)`.
    """

    num_queries: int
    """Number of queries of the whole call, not only of these cells."""
    num_keys: int
    """Number of keys of the whole call."""
    lead: tuple[int, ...]
    """Sizes of the axes before (query, key): `(*batch, heads)` or `(*batch,)`."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """(*lead, *cells), to which a value for every cell broadcasts."""

    @abc.abstractmethod
    def query_index(self) -> Tensor:
        """Query index of each cell; broadcasts against `key_index` and has the same rank."""

    @abc.abstractmethod
    def key_index(self) -> Tensor:
        """Key index of each cell."""

    @abc.abstractmethod
    def of_sequences(self, tensor: Tensor) -> Tensor:
        """Values per sequence, (*batch) or (*batch, heads), at the cells."""

    @abc.abstractmethod
    def of_queries(self, tensor: Tensor) -> Tensor:
        """Values per query, (*batch, query) or (*batch, heads, query), at the cells."""

    @abc.abstractmethod
    def of_keys(self, tensor: Tensor) -> Tensor:
        """Values per key, (*batch, key) or (*batch, heads, key), at the cells."""

    @abc.abstractmethod
    def of_pairs(self, tensor: Tensor) -> Tensor:
        """Values per pair, (query, key) or (*lead, query, key) with axes full or of size 1, at the cells."""

    @abc.abstractmethod
    def listed(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Whether each cell is among the pairs (queries[i], keys[i]); `queries` is sorted in ascending order."""

    @abc.abstractmethod
    def head_index(self, heads: int) -> Tensor:
        """Index into an axis of `heads`, broadcastable to (heads, *cells), or to (*cells) for one head."""

    def over_heads(self, tensor: Tensor, trailing: int) -> Tensor:
        """Insert a heads axis of size 1 before the last `trailing` axes if `tensor` has none."""
        if tensor.ndim - trailing < len(self.lead):
            return tensor.unsqueeze(-1 - trailing)
        return tensor


@dataclass(frozen=True, eq=False)
class Pairs(Cells):
    """Cells given by a query index and a key index: tensors of equal rank that broadcast against each other.

    A block of a band has queries (blocks, rows, 1) and keys (blocks, 1, keys); edges have (edges,) and (edges,).
    Every index must be in range. The caller clamps indices that are not, and masks those cells.

    Without `lead_index`, values cover all sequences and heads and broadcast to (*lead, *cells). With it, one index
    tensor per leading axis, values are those of the given sequences and heads and have the shape (*cells).
    FlexAttention's `mask_mod(b, h, q, k)` is `mask.at(Pairs(q, k, num_queries, num_keys, (batch, heads), (b, h)))`.
    It works under vmap, since no method reads the values of an index.

    >>> from heedful.ops.masks import Padding
    >>> cells = Pairs(torch.tensor([0, 0]), torch.tensor([1, 2]), 1, 3, lead=(2,))
    >>> Padding(torch.tensor([2, 3])).at(cells).tolist()
    [[True, False], [True, True]]
    """

    query: Tensor
    key: Tensor
    num_queries: int
    num_keys: int
    lead: tuple[int, ...]
    lead_index: tuple[Tensor, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        cells = torch.broadcast_shapes(self.query.shape, self.key.shape)
        return tuple(cells) if self.lead_index is not None else (*self.lead, *cells)

    def query_index(self) -> Tensor:
        return self.query

    def key_index(self) -> Tensor:
        return self.key

    def of_sequences(self, tensor: Tensor) -> Tensor:
        values = self._gather(self.over_heads(tensor, 0))
        return values if self.lead_index is not None else values[(..., *(None,) * self.query.ndim)]

    def of_queries(self, tensor: Tensor) -> Tensor:
        return self._gather(self.over_heads(tensor, 1), self.query)

    def of_keys(self, tensor: Tensor) -> Tensor:
        return self._gather(self.over_heads(tensor, 1), self.key)

    def of_pairs(self, tensor: Tensor) -> Tensor:
        return self._gather(tensor, self.query, self.key)

    def listed(self, queries: Tensor, keys: Tensor) -> Tensor:
        flat = queries.long() * self.num_keys + keys
        return torch.isin(self.query.long() * self.num_keys + self.key, flat)

    def head_index(self, heads: int) -> Tensor:
        if heads == 1:
            return torch.zeros_like(self.query)
        if self.lead_index is not None:
            return self.lead_index[-1]
        index = torch.arange(heads, device=self.query.device)
        return index[(..., *(None,) * self.query.ndim)]

    def _gather(self, tensor: Tensor, *trailing: Tensor) -> Tensor:
        """Index the trailing axes, and the leading axes if `lead_index` is given; axes of size 1 broadcast."""
        leading = tensor.ndim - len(trailing)
        lead_index = () if self.lead_index is None else self.lead_index[len(self.lead) - leading :]
        index = (*lead_index, *trailing)
        sizes = tensor.shape[tensor.ndim - len(index) :]
        # Zeros of the cells' rank index an axis of size 1, so that the result keeps the axes of the cells.
        indices = [
            one.new_zeros((1,) * one.ndim) if size == 1 else one
            for one, size in zip(index, sizes, strict=True)
        ]
        if len(indices) == tensor.ndim:
            # FlexAttention can only trace indexing by tensors, without an ellipsis.
            return tensor[tuple(indices)]
        last_axes: tuple[EllipsisType | Tensor, ...] = (..., *indices)
        return tensor[last_axes]
