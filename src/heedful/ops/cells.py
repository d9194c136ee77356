"""Places of a call's scores: what masks and position biases are asked about."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from types import EllipsisType

import torch
from torch import Tensor


class Cells(abc.ABC):
    """Some (query, key) places of one call, in any arrangement.

    A mask or bias is defined once, by what it says `at` cells. `Rows` are a rectangle of cells, which slices what a
    mask holds; `Pairs` are cells listed by their indices, which gathers from it.

    Where tensors are taken apart here, axes before those named are the call's leading axes `(*batch, heads)`, each
    of its size or 1. What comes back is broadcastable to `(*lead, *cells)`.
    """

    num_queries: int
    """Queries of the whole call, not of these cells alone; likewise `num_keys`."""
    num_keys: int
    lead: tuple[int, ...]
    """Sizes of the axes before (query, key): `(*batch, heads)` or `(*batch,)`."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """(*lead, *cells): what an answer about all cells broadcasts to."""

    @abc.abstractmethod
    def query_index(self) -> Tensor:
        """Index of each cell's query; broadcasts against `key_index`, and has as many axes."""

    @abc.abstractmethod
    def key_index(self) -> Tensor:
        """Index of each cell's key."""

    @abc.abstractmethod
    def of_sequences(self, tensor: Tensor) -> Tensor:
        """A value for each sequence, (*batch) or (*batch, heads), at the cells."""

    @abc.abstractmethod
    def of_queries(self, tensor: Tensor) -> Tensor:
        """A value for each query, (*batch, query) or (*batch, heads, query), at the cells."""

    @abc.abstractmethod
    def of_keys(self, tensor: Tensor) -> Tensor:
        """A value for each key, (*batch, key) or (*batch, heads, key), at the cells."""

    @abc.abstractmethod
    def of_pairs(self, tensor: Tensor) -> Tensor:
        """A value for each pair, (query, key) or (*lead, query, key), axes of size 1 shared, at the cells."""

    @abc.abstractmethod
    def listed(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Whether each cell is one of the pairs listed; `queries` ascend."""

    @abc.abstractmethod
    def head_index(self, heads: int) -> Tensor:
        """Index into an axis of that many heads, broadcastable to (heads, *cells); without an axis for one head."""

    def over_heads(self, tensor: Tensor, trailing: int) -> Tensor:
        """Insert a heads axis of size 1 before the `trailing` last axes where `tensor` lacks one."""
        if tensor.ndim - trailing < len(self.lead):
            return tensor.unsqueeze(-1 - trailing)
        return tensor


@dataclass(frozen=True, eq=False)
class Pairs(Cells):
    """Cells by index tensors that broadcast against each other and have equally many axes.

    A block of a band has queries (blocks, rows, 1) and keys (blocks, 1, keys); edges have (edges,) and (edges,).
    Every index must lie in the call: what stands outside it has to be clamped, and masked by whoever asks.

    Without `lead_index` answers cover all sequences and heads: they broadcast to (*lead, *cells). With it, one index
    tensor for each leading axis, they are about those sequences and heads and have the shape of the cells alone.
    FlexAttention's `mask_mod(b, h, q, k)` is `mask.at(Pairs(q, k, num_queries, num_keys, (batch, heads), (b, h)))`,
    also under the vmap in which it is called: nothing here looks at an index. A call of other than two leading axes
    gives as many indices as it has axes.

    >>> from heedful.ops.masks import Padding
    >>> places = Pairs(torch.tensor([0, 0]), torch.tensor([1, 2]), 1, 3, lead=(2,))
    >>> Padding(torch.tensor([2, 3])).at(places).tolist()
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
        picked = self._pick(self.over_heads(tensor, 0))
        return picked if self.lead_index is not None else picked[(..., *(None,) * self.query.ndim)]

    def of_queries(self, tensor: Tensor) -> Tensor:
        return self._pick(self.over_heads(tensor, 1), self.query)

    def of_keys(self, tensor: Tensor) -> Tensor:
        return self._pick(self.over_heads(tensor, 1), self.key)

    def of_pairs(self, tensor: Tensor) -> Tensor:
        return self._pick(tensor, self.query, self.key)

    def listed(self, queries: Tensor, keys: Tensor) -> Tensor:
        wanted = queries.long() * self.num_keys + keys
        return torch.isin(self.query.long() * self.num_keys + self.key, wanted)

    def head_index(self, heads: int) -> Tensor:
        if heads == 1:
            return torch.zeros_like(self.query)
        if self.lead_index is not None:
            return self.lead_index[-1]
        index = torch.arange(heads, device=self.query.device)
        return index[(..., *(None,) * self.query.ndim)]

    def _pick(self, tensor: Tensor, *trailing: Tensor) -> Tensor:
        """Index the trailing axes, and the leading ones where their index is given; axes of size 1 are shared."""
        leading = tensor.ndim - len(trailing)
        lead_index = () if self.lead_index is None else self.lead_index[len(self.lead) - leading :]
        index = (*lead_index, *trailing)
        sizes = tensor.shape[tensor.ndim - len(index) :]
        # Zeros with the axes of the cells: where all axes are shared, the cells are not to be lost.
        places = [
            one.new_zeros((1,) * one.ndim) if size == 1 else one
            for one, size in zip(index, sizes, strict=True)
        ]
        if len(places) == tensor.ndim:
            # FlexAttention traces an index made of tensors alone.
            return tensor[tuple(places)]
        behind: tuple[EllipsisType | Tensor, ...] = (..., *places)
        return tensor[behind]
