"""Windowed softmax attention by inner products: blocks of a band, folded into the batch of one fused kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from heedful.ops.backends import band_kernel
from heedful.ops.backends.band_layout import Band, Blocks
from heedful.ops.call import Call, bias_at
from heedful.ops.cells import Pairs
from heedful.ops.normalizers import Softmax

# Rows of a block. The kernel takes 32 rows at a time, or 64 where there are 192 and more; fewer rows mean fewer cells
# outside the window, more rows mean larger products.
NARROW_ROWS, WIDE_ROWS = 32, 192
WIDE = 1024
# What one call of the kernel may make besides its output: masks, and the gradients of overlapping keys. It stays in
# the outer cache of a processor.
PIECE_BYTES = 4 * 2**20
EDGE_CELLS = 2**16


@dataclass(frozen=True, eq=False)
class Strips:
    """What the kernel is told about a call besides its tensors."""

    call: Call
    blocks: tuple[Blocks, ...]
    scale: float
    dtype: torch.dtype
    shared: dict[tuple[int, ...], Tensor] = field(default_factory=dict)
    """Masks and biases of blocks that look alike, by the shape of the block and its head."""

    @classmethod
    def of(cls, call: Call, band: Band, scale: float, dtype: torch.dtype) -> Strips:
        rows = NARROW_ROWS if band.width < WIDE else WIDE_ROWS
        return cls(call, tuple(band.blocks(rows, EDGE_CELLS)), scale, dtype)

    @property
    def follows_distance(self) -> bool:
        """Whether equal blocks have equal masks and biases."""
        bias = self.call.bias
        if isinstance(bias, Tensor) or not (bias is None or bias.follows_distance):
            return False
        return self.call.mask is None or self.call.mask.follows_distance

    def sheets(self, query: Tensor) -> Iterator[tuple[int, int]]:
        """Each entry of the batch, with each member of the groups of heads that share a key head."""
        for entry in range(query.shape[0]):
            for member in range(self.call.groups):
                yield entry, member

    def pieces(self, cell_bytes: int, key_bytes: int) -> Iterator[Blocks]:
        """The blocks, as many at a time as keep to `PIECE_BYTES` with so many bytes a cell and a key."""
        for blocks in self.blocks:
            one = blocks.keys * (blocks.rows * cell_bytes + key_bytes)
            yield from blocks.pieces(max(1, PIECE_BYTES // one) if one else blocks.count)

    def mask_bytes(self, heads: int) -> int:
        """Bytes a cell that masks and biases take, where blocks do not share them."""
        return 0 if self.follows_distance else heads * self.dtype.itemsize

    def added(self, blocks: Blocks, entry: int, member: int) -> Tensor:
        """Mask and bias of some blocks as numbers to be added, broadcastable to (count, heads, rows, keys)."""
        if not self.follows_distance:
            return self._added(blocks, blocks.count, entry, member)
        place = (blocks.rows, blocks.keys, blocks.key_start - blocks.start, member)
        if place not in self.shared:
            self.shared[place] = self._added(blocks, 1, entry, member)
        return self.shared[place]

    def _added(self, blocks: Blocks, count: int, entry: int, member: int) -> Tensor:
        cells = self._cells(blocks, count, entry, member)
        mask, bias = self.call.mask, self.call.bias
        added = torch.zeros((), dtype=self.dtype, device=cells.query.device)
        if bias is not None:
            added = bias_at(bias, cells).to(self.dtype)
        if mask is not None:
            added = torch.where(mask.at(cells), added, -torch.inf)
        added = added.expand(*added.shape[:-3], count, blocks.rows, blocks.keys)
        return added[:, None] if added.ndim == 3 else added.transpose(0, 1)

    def _cells(self, blocks: Blocks, count: int, entry: int, member: int) -> Pairs:
        rows = self.call.rows
        queries, keys = blocks.indices(rows.device, count)
        lead_index: list[Tensor] = []
        for size in reversed(rows.lead[:-1]):
            entry, at = divmod(entry, size)
            lead_index.insert(0, torch.tensor(at, device=rows.device))
        if rows.lead:
            heads = torch.arange(member, rows.lead[-1], self.call.groups, device=rows.device)
            lead_index.append(heads[:, None, None, None])
        return Pairs(queries, keys, rows.num_queries, rows.num_keys, rows.lead, tuple(lead_index))


class BandDot(torch.autograd.Function):
    """(batch, heads, length, features) in, the same out; kept are these, the output and a number a row."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, job: Strips) -> Tensor:
        batch, heads, length, features = query.shape
        output = query.new_zeros(batch, heads, length, features)
        statistics = query.new_zeros(batch, heads, length, 1)
        for entry, member in job.sheets(query):
            sheet = (entry, slice(member, None, job.call.groups))
            for blocks in job.pieces(job.mask_bytes(key.shape[1]), 0):
                part, sums = band_kernel.forward(
                    blocks.queries_of(query[sheet]),
                    blocks.keys_of(key[entry]),
                    blocks.keys_of(value[entry]),
                    job.added(blocks, entry, member),
                    job.scale,
                )
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
        to_query, to_key, to_value = (torch.zeros_like(tensor) for tensor in (query, key, value))
        heads, features = key.shape[1], key.shape[-1]
        key_bytes = 2 * heads * features * key.element_size()
        for entry, member in job.sheets(query):
            sheet = (entry, slice(member, None, job.call.groups))
            for blocks in job.pieces(job.mask_bytes(heads), key_bytes):
                for_query, for_key, for_value = band_kernel.backward(
                    blocks.queries_of(gradient[sheet]),
                    blocks.queries_of(query[sheet]),
                    blocks.keys_of(key[entry]),
                    blocks.keys_of(value[entry]),
                    blocks.queries_of(output[sheet]),
                    blocks.queries_of(statistics[sheet])[..., 0],
                    job.added(blocks, entry, member),
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
        for blocks in job.blocks:
            added = job.added(blocks, entry, member)
            keep = added != -torch.inf
            products = blocks.queries_of(query[sheet]) @ blocks.keys_of(key[entry]).mT
            weights = Softmax().weights(products * job.scale + torch.where(keep, added, 0.0), keep)
            made.append(weights @ blocks.keys_of(value[entry]))
            directions.append(blocks.queries_of(gradient[sheet]))
    return made, directions
