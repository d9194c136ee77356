"""Windowed softmax attention by inner products: blocks of a band, folded into the batch of one fused kernel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from heedful.ops.backends import band_kernel
from heedful.ops.backends.band_layout import Band, Blocks
from heedful.ops.call import Call, bias_at
from heedful.ops.cells import Pairs
from heedful.ops.masks import Mask
from heedful.ops.masks.base import And
from heedful.ops.normalizers import Softmax
from heedful.ops.positions import PositionBias

# Rows of a block. The kernel takes 32 rows at a time, or 64 where there are 192 and more; fewer rows mean fewer cells
# outside the window, more rows mean larger products.
NARROW_ROWS, WIDE_ROWS = 32, 192
# With more rows the gradients of fewer overlapping windows are summed, by one thread what several have computed.
BACKWARD_ROWS = 64
WIDE = 1024
# Rows of the blocks at the ends of the keys, which come singly: each call takes its time.
EDGE_ROWS = 64
# What one call of the kernel may make: output, masks, and the gradients of overlapping keys. It stays in the outer
# cache of a processor; much memory at a time would be had from the system, which takes longer than to fill it.
PIECE_BYTES = 4 * 2**20


@dataclass(frozen=True, eq=False)
class Strips:
    """What the kernel is told about a call besides its tensors."""

    call: Call
    band: Band
    rows: int
    scale: float
    dtype: torch.dtype
    near: Mask | None
    """The part of the mask that follows from distance alone: one tile of it serves every block."""
    rest: Mask | None
    tiles: dict[int, Tensor] = field(default_factory=dict)
    sums: list[Tensor] = field(default_factory=list)
    """Of the output's parts, taken while they were in the cache."""

    @classmethod
    def of(cls, call: Call, band: Band, scale: float, dtype: torch.dtype) -> Strips:
        rows = NARROW_ROWS if band.width < WIDE else WIDE_ROWS
        # No distance is greater than the lengths, whatever the window.
        left, right = min(band.left, call.num_queries - 1), min(band.right, call.num_keys - 1)
        near, rest = _split(call.mask)
        return cls(call, replace(band, left=left, right=right), rows, scale, dtype, near, rest)

    @property
    def most_rows(self) -> int:
        """The rows of the largest block."""
        return min(max(self.rows, EDGE_ROWS), self.call.num_queries)

    def sheets(self, query: Tensor) -> Iterator[tuple[int, int]]:
        """Each entry of the batch, with each member of the groups of heads that share a key head."""
        for entry in range(query.shape[0]):
            for member in range(self.call.groups):
                yield entry, member

    def pieces(self, key: Tensor, backward: bool = False) -> Iterator[Blocks]:
        """The blocks, as many at a time as keep to `PIECE_BYTES`; keys are (batch, heads, key, features)."""
        bias = self.call.bias
        shared = self.rest is None and (bias is None or _is_near(bias))
        heads, features = key.shape[1], key.shape[3]
        for blocks in self.band.blocks(self.rows, self.most_rows):
            # Each row's output or gradient; with gradients, those of keys and values; unless shared, the mask.
            numbers = features * (blocks.rows + (2 * blocks.keys if backward else 0))
            numbers += 0 if shared else blocks.rows * blocks.keys
            one = max(1, numbers * heads * self.dtype.itemsize)
            yield from blocks.pieces(max(1, PIECE_BYTES // one))

    def seen_finite(self) -> bool:
        """Whether sums over all the output are finite, and so all of it."""
        return not self.sums or math.isfinite(torch.stack(self.sums).sum().item())

    def unseeing_zero(self, rows: Tensor) -> Tensor:
        """`rows` (batch, heads, query, features), whose blocks will be written, with zeros where no block is."""
        seeing = self.band.seeing
        rows[:, :, : seeing.start] = 0
        rows[:, :, max(seeing.start, seeing.stop) :] = 0
        return rows

    def added(self, blocks: Blocks, entry: int, member: int) -> Tensor | None:
        """Mask and bias of some blocks as numbers to be added, broadcastable to (count, heads, rows, keys).

        None where they keep nothing.
        """
        if member not in self.tiles:
            self.tiles[member] = self._tile(member)
        first = blocks.key_start - (blocks.start - self.band.left)
        added = self.tiles[member][..., : blocks.rows, first : first + blocks.keys]
        cells = self._cells(*blocks.indices(self.call.rows.device), entry, member)
        bias = self.call.bias
        if bias is not None and not _is_near(bias):
            added = added + _four(bias_at(bias, cells)).to(self.dtype)
        if self.rest is None:
            return added
        # Most blocks lie whole inside a sequence or a segment, or whole behind its end.
        keep = self.rest.at(cells)
        if bool(keep.all()):
            return added
        return torch.where(_four(keep), added, -torch.inf) if bool(keep.any()) else None

    def _tile(self, member: int) -> Tensor:
        """What follows from distance, for a block that meets no end of the keys: (1, heads or 1, rows, keys)."""
        band, device = self.band, self.call.rows.device
        most = self.most_rows
        queries = torch.arange(most, device=device)[None, :, None]
        keys = torch.arange(-band.left, most + band.right, device=device)[None, None, :]
        cells = self._cells(queries, keys, 0, member)
        added = torch.zeros(1, most, keys.shape[-1], dtype=self.dtype, device=device)
        if self.call.bias is not None and _is_near(self.call.bias):
            added = added + bias_at(self.call.bias, cells).to(self.dtype)
        if self.near is not None:
            added = torch.where(self.near.at(cells), added, -torch.inf)
        return _four(added)

    def _cells(self, queries: Tensor, keys: Tensor, entry: int, member: int) -> Pairs:
        rows = self.call.rows
        lead_index: list[Tensor] = []
        for size in reversed(rows.lead[:-1]):
            entry, at = divmod(entry, size)
            lead_index.insert(0, torch.tensor(at, device=rows.device))
        if rows.lead:
            heads = torch.arange(member, rows.lead[-1], self.call.groups, device=rows.device)
            lead_index.append(heads[:, None, None, None])
        return Pairs(queries, keys, rows.num_queries, rows.num_keys, rows.lead, tuple(lead_index))


def _split(mask: Mask | None) -> tuple[Mask | None, Mask | None]:
    """Two masks that keep together what `mask` keeps: one that follows from distance alone, and the rest."""
    if mask is None or mask.follows_distance:
        return mask, None
    if type(mask) is not And:
        return None, mask
    near, rest = zip(_split(mask.left), _split(mask.right), strict=True)
    return _both(*near), _both(*rest)


def _both(left: Mask | None, right: Mask | None) -> Mask | None:
    if left is None or right is None:
        return left or right
    return left & right


def _is_near(bias: Tensor | PositionBias) -> bool:
    return isinstance(bias, PositionBias) and bias.follows_distance


def _four(tensor: Tensor) -> Tensor:
    """What cells answer, ([heads,] count, rows, keys), as (count, heads or 1, rows, keys)."""
    return tensor[(None,) * (4 - tensor.ndim)].transpose(0, 1)


class BandDot(torch.autograd.Function):
    """(batch, heads, length, features) in, the same out; kept are these, the output and a number a row."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, job: Strips) -> Tensor:
        batch, heads, length, features = query.shape
        output = job.unseeing_zero(query.new_empty(batch, heads, length, features))
        statistics = query.new_zeros(batch, heads, length, 1)
        for entry, member in job.sheets(query):
            sheet = (entry, slice(member, None, job.call.groups))
            for blocks in job.pieces(key):
                added = job.added(blocks, entry, member)
                if added is None:
                    blocks.queries_of(output[sheet]).zero_()
                    continue
                part, sums = band_kernel.forward(
                    blocks.queries_of(query[sheet]),
                    blocks.keys_of(key[entry]),
                    blocks.keys_of(value[entry]),
                    added,
                    job.scale,
                )
                job.sums.append(part.sum())
                blocks.queries_of(output[sheet]).copy_(part)
                if sums is not None:
                    blocks.queries_of(statistics[sheet]).copy_(sums[..., None])
        ctx.save_for_backward(query, key, value, output, statistics)
        ctx.job = job
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output, statistics = ctx.saved_tensors
        job: Strips = ctx.job
        if torch.is_grad_enabled():
            made, directions = _plain(job, query, key, value, gradient)
            inputs = (query, key, value)
            wanted = [
                one for one, needed in zip(inputs, ctx.needs_input_grad, strict=False) if needed
            ]
            found = iter(torch.autograd.grad(made, wanted, directions, create_graph=True))
            return *(next(found) if needed else None for needed in ctx.needs_input_grad[:3]), None
        job = replace(job, rows=max(job.rows, BACKWARD_ROWS), tiles={})
        to_query = job.unseeing_zero(torch.empty_like(query))
        to_key, to_value = torch.zeros_like(key), torch.zeros_like(value)
        for entry, member in job.sheets(query):
            sheet = (entry, slice(member, None, job.call.groups))
            for blocks in job.pieces(key, backward=True):
                added = job.added(blocks, entry, member)
                if added is None:
                    blocks.queries_of(to_query[sheet]).zero_()
                    continue
                for_query, for_key, for_value = band_kernel.backward(
                    blocks.queries_of(gradient[sheet]),
                    blocks.queries_of(query[sheet]),
                    blocks.keys_of(key[entry]),
                    blocks.keys_of(value[entry]),
                    blocks.queries_of(output[sheet]),
                    blocks.queries_of(statistics[sheet])[..., 0],
                    added,
                    job.scale,
                )
                blocks.queries_of(to_query[sheet]).copy_(for_query)
                blocks.add_keys(to_key[entry], for_key)
                blocks.add_keys(to_value[entry], for_value)
        return to_query, to_key, to_value, None


def _plain(
    job: Strips, query: Tensor, key: Tensor, value: Tensor, gradient: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Each block's output by plain mathematics, which can be differentiated twice, and the gradient that came back."""
    made, directions = [], []
    for entry, member in job.sheets(query):
        sheet = (entry, slice(member, None, job.call.groups))
        for blocks in job.pieces(key):
            added = job.added(blocks, entry, member)
            if added is None:
                added = query.new_full((1, 1, 1, 1), -torch.inf)
            keep = added != -torch.inf
            products = blocks.queries_of(query[sheet]) @ blocks.keys_of(key[entry]).mT
            weights = Softmax().weights(products * job.scale + torch.where(keep, added, 0.0), keep)
            made.append(weights @ blocks.keys_of(value[entry]))
            directions.append(blocks.queries_of(gradient[sheet]))
    return made, directions
