"""Packs the masks of a call into the words that the banded kernels read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from heedful.ops.backends.band.launch import word_keys
from heedful.ops.backends.band.shape import ROWS
from heedful.ops.backends.band.window import Band
from heedful.ops.backends.band.words import pack_mask, pack_segments
from heedful.ops.backends.edges.dropout import WORDS, EdgeDropout, split_mix
from heedful.ops.call import Call
from heedful.ops.jit.kernel import launch
from heedful.ops.jit.source import LANES
from heedful.ops.masks import Mask, Segments

PACK_NANOSECONDS, SEGMENT_NANOSECONDS = 0.15, 0.03
"""Time of packing a pair: read from a boolean tensor, and compared by segment."""
TILE_BYTES = 4 * 2**20
"""Largest boolean tensor that is made of a mask at a time."""


def pack(mask: Mask, call: Call, band: Band, first: int, stop: int) -> Tensor:
    """`Piece.words` of the blocks `first` to `stop` (exclusive): what `mask` keeps, outside the window zero."""
    return _PACKERS.get(type(mask), _pack_tiles)(mask, call, band, first, stop)


def unpacked(words: Tensor) -> Tensor:
    """The mask in words: (...) -> (..., ROWS), boolean."""
    bits = torch.arange(ROWS, dtype=torch.int32, device=words.device)
    return (words[..., None] >> bits & 1).bool()


def block_factors(
    dropout: EdgeDropout, scores: Tensor, queries: int, keys: int, start: int, first: int
) -> Tensor:
    """By what the kernels multiply the weights of one block, as `scores`: 0, or the factor of those that are kept.

    Args:
        dropout: probability and seed.
        scores: (batch, heads, rows, keys), of the queries from `start` and the keys from `first` on.
        queries, keys: those of the whole call.
    """
    assert dropout.seed is not None
    batch, heads, rows, width = scores.shape
    head = torch.arange(batch * heads).view(batch, heads, 1, 1)
    row, key = torch.arange(rows)[:, None], torch.arange(first, first + width)
    place = (head * -(-queries // ROWS) + start // ROWS) * keys + key
    bits = split_mix(dropout.seed, place * LANES + row % LANES)
    bits = torch.where(row < LANES, bits, bits >> 32) & (WORDS - 1)
    kept: Tensor = bits >= dropout.limit
    return kept.to(scores.dtype).mul_(dropout.scale)


def _pack_tiles(mask: Mask, call: Call, band: Band, first: int, stop: int) -> Tensor:
    """Pack any mask from boolean tensors, of as many blocks at a time as `TILE_BYTES` allow."""
    heads = call.lead[-1] if call.lead else 1
    one = (
        max(1, call.lead_size // max(1, heads))
        * ROWS
        * word_keys(band.left, band.right, call.num_keys)
    )
    step = max(1, TILE_BYTES // max(1, one))
    pieces = [
        _pack_tile(mask, call, band, start, min(stop, start + step))
        for start in range(first, stop, step)
    ]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, 2)


def _pack_tile(mask: Mask, call: Call, band: Band, first: int, stop: int) -> Tensor:
    queries, keys = call.num_queries, call.num_keys
    start, end = first * ROWS, min(queries, stop * ROWS)
    key_start = min(keys, max(0, start - band.left))
    key_end = max(key_start, min(keys, stop * ROWS + band.right))
    rows = call.rows.block(start, end).narrow(key_start, key_end)
    keep = folded(mask.tile(rows), call.lead, 2)
    steps = [step if size > 1 else 0 for size, step in zip(keep.shape, keep.stride(), strict=True)]
    return _launch(
        pack_mask, keep.shape, call, band, range(first, stop), PACK_NANOSECONDS, start, key_start, *steps,
        _bytes_of(keep),
    )  # fmt: skip


def _bytes_of(keep: Tensor) -> Tensor:
    """All memory of a boolean tensor, as bytes on one axis."""
    span = 1 + sum((size - 1) * step for size, step in zip(keep.shape, keep.stride(), strict=True))
    return keep.as_strided((span if keep.numel() else 0,), (1,)).view(torch.uint8)


def _pack_segments(mask: Segments, call: Call, band: Band, first: int, stop: int) -> Tensor:
    ids = [
        folded(call.rows.over_heads(one, 1), call.lead, 1).to(torch.int64).contiguous()
        for one in (mask.query_ids, mask.key_ids)
    ]
    lead = torch.broadcast_shapes(ids[0].shape[:2], ids[1].shape[:2])
    steps = [
        step if size > 1 else 0
        for one in ids
        for size, step in zip(one.shape[:2], one.stride()[:2], strict=True)
    ]
    return _launch(
        pack_segments, lead, call, band, range(first, stop), SEGMENT_NANOSECONDS, *steps,
        *(one.view(-1) for one in ids),
    )  # fmt: skip


def _launch(
    kernel: Any, lead: tuple[int, ...], call: Call, band: Band, blocks: range, nanoseconds: float,
    *arguments: Tensor | int,
) -> Tensor:  # fmt: skip
    width = word_keys(band.left, band.right, call.num_keys)
    words = torch.empty(*lead[:2], len(blocks), width, dtype=torch.int32, device="cpu")
    launch(
        kernel, lead[1], len(blocks), blocks.start, call.num_queries, call.num_keys, band.left, band.right, width,
        *arguments, words.view(-1), work=words.numel() * ROWS * nanoseconds,
    )  # fmt: skip
    return words


def folded(tensor: Tensor, lead: tuple[int, ...], trailing: int) -> Tensor:
    """Fold leading axes, each of size 1 or that of `lead`, into (batch or 1, heads or 1) before the trailing ones."""
    tensor = tensor.detach()
    missing = len(lead) + trailing - tensor.ndim
    tensor = tensor[(None,) * max(0, missing)]
    sizes = tuple(tensor.shape[: len(lead)])
    if len(lead) > 2:
        if any(size != 1 for size in sizes[:-1]):
            sizes = (*lead[:-1], sizes[-1])
        tensor = tensor.expand(*sizes, *tensor.shape[len(lead) :])
    batch = math.prod(sizes[:-1])
    return tensor.reshape(batch, sizes[-1] if sizes else 1, *tensor.shape[len(lead) :])


_PACKERS: dict[type[Mask], Callable[[Any, Call, Band, int, int], Tensor]] = {
    Segments: _pack_segments
}
