"""Mask and bias of a call in the form of the additive kernels: window, key lengths, and additive mask."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from heedful.ops.backends.base import wide_dtype
from heedful.ops.call import Call, bias_at
from heedful.ops.masks import Causal, Mask, Padding, Window
from heedful.ops.masks.base import conjuncts
from heedful.ops.positions import PositionBias
from heedful.ops.rows import Rows

PIECE_BYTES = 4 * 2**20
"""Maximum bytes of a block of the additive mask, unless `FEWEST_ROWS` rows take more."""
FEWEST_ROWS = 32
"""Minimum rows of a block: exponentials of keys are recomputed for each block, which this many rows amortise."""
ALL = 2**40
"""A distance greater than any length: an unbounded side of the window."""


@dataclass(frozen=True, eq=False)
class Added:
    """Bias, and the part of the mask that window and key lengths do not describe, to be added to the scores."""

    rows: Rows
    mask: Mask | None
    bias: Tensor | PositionBias | None
    dtype: torch.dtype

    def tile(self, rows: Rows) -> Tensor:
        """The additive mask of a block of rows, (*, rows or 1, key); minus infinity where masked."""
        keep = None if self.mask is None else self.mask.tile(rows)
        if self.bias is None:
            assert keep is not None
            # 0 and −∞ by arithmetic: torch.where takes four times as long on a random mask.
            return keep.to(self.dtype).sub_(1).mul_(torch.finfo(self.dtype).max).mul_(2)
        added = bias_at(self.bias, rows).detach().resolve_neg().to(self.dtype)
        return added if keep is None else torch.where(keep, added, -torch.inf)

    def pieces(self) -> Iterator[tuple[int, int, Tensor]]:
        """Yield blocks of rows: first row, last row (exclusive), and their additive mask."""
        rows, bias = self.rows, self.bias
        count, step = rows.num_queries, rows.num_queries
        is_there = isinstance(bias, Tensor) and bias.dtype == self.dtype and bias.is_contiguous()
        if self.mask is not None or not is_there:
            first = self.tile(rows.block(0, 1))
            row = math.prod(first.shape[:-2]) * rows.num_keys * self.dtype.itemsize
            step = min(count, max(FEWEST_ROWS, PIECE_BYTES // row))
        for start in range(0, count, step):
            stop = min(start + step, count)
            yield start, stop, self.tile(rows.block(start, stop))


@dataclass(frozen=True, eq=False)
class Visible:
    """Row i attends to keys i − before to i + after, both inclusive, below its length, where `added` is not −∞."""

    before: int = ALL
    after: int = ALL
    lengths: Tensor | None = None
    """(*lead,), int64, contiguous; None without key lengths."""
    added: Added | None = None

    @classmethod
    def of(cls, call: Call) -> Visible:
        """Convert the mask and bias of a call, without reading tensor contents."""
        mask, bias, rows = call.mask, call.bias, call.rows
        if bias is None and (mask is None or type(mask) is Causal or type(mask) is Window):
            return by_position(mask, call.num_queries, call.num_keys)
        left = right = lengths = rest = None
        if mask is not None:
            left, right = mask.bounds(rows)
            lengths, rest = split(mask, rows)
        added = None
        if rest is not None or bias is not None:
            if isinstance(bias, Tensor):
                bias = unexpanded(bias)
            added = Added(rows, rest, bias, wide_dtype(call.query.dtype))
        return cls(ALL if left is None else left, ALL if right is None else right, lengths, added)

    def tile(self, rows: Rows) -> tuple[Tensor | None, Tensor | None]:
        """Boolean mask and bias of a block of rows, for plain mathematics; each may be None."""
        keep = bias = None
        if self.added is not None:
            bias = self.added.tile(rows)
            keep = bias != -torch.inf
        distance = rows.key_index() - rows.query_index()
        if self.before < ALL or self.after < ALL:
            near = (distance >= -self.before) & (distance <= self.after)
            keep = near if keep is None else keep & near
        if self.lengths is not None:
            inside = rows.key_index() < self.lengths[..., None, None]
            keep = inside if keep is None else keep & inside
        return keep, bias


EVERYTHING = Visible()


@lru_cache(256)
def by_position(mask: Causal | Window | None, num_queries: int, num_keys: int) -> Visible:
    """Convert a causal or window mask, or None."""
    if mask is None:
        return EVERYTHING
    left, right = mask.bounds(Rows.all(num_queries, num_keys, (), torch.device("cpu")))
    return Visible(ALL if left is None else left, ALL if right is None else right)


def unexpanded(tensor: Tensor) -> Tensor:
    """Undo `expand`: narrow axes of stride 0 to size 1.

    >>> unexpanded(torch.zeros(1, 3).expand(4, 3)).shape
    torch.Size([1, 3])
    """
    for axis, stride in enumerate(tensor.stride()):
        if stride == 0 and tensor.shape[axis] > 1:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor


def split(mask: Mask, rows: Rows) -> tuple[Tensor | None, Mask | None]:
    """Split a mask into key lengths (*lead,), and the rest that neither lengths nor bounds describe."""
    lengths: Tensor | None = None
    rest: Mask | None = None
    for part in conjuncts(mask):
        if type(part) is Padding:
            # Copied, so that modifying the lengths in place later does not change the backward pass.
            own = part.key_lengths.to(torch.int64, copy=True)
            if own.shape != rows.lead:
                own = rows.of_sequences(own)[..., 0, 0].expand(rows.lead)
            lengths = own if lengths is None else torch.minimum(lengths, own)
        elif type(part) is not Causal and type(part) is not Window:
            rest = part if rest is None else rest & part
    return None if lengths is None else lengths.contiguous(), rest
