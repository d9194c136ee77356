"""Splits mask and bias into the three forms that the banded kernels read.

A distance bias for what depends on key index minus query index alone, key limits for `Padding`, and tiles of added
scores for everything else. Minus infinity hides a pair.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from heedful.ops.backends.band.launch import (
    MARGIN,
    BandSpec,
    Piece,
    distance_bias_size,
    num_blocks,
    tile_keys,
)
from heedful.ops.backends.band.packing import folded, pack
from heedful.ops.backends.band.shape import ROWS
from heedful.ops.backends.band.window import Band
from heedful.ops.backends.base import wide_dtype
from heedful.ops.call import Call, bias_at, bias_tensors
from heedful.ops.cells import Pairs
from heedful.ops.jit.operators import needs_dispatch
from heedful.ops.masks import Causal, Mask, Padding, Window
from heedful.ops.masks.base import And, conjuncts
from heedful.ops.positions import PositionBias

PIECE_BYTES = 4 * 2**20
"""Largest size of the tiles that exist at a time: they stay in the outer cache of a processor."""

Path = tuple[str, ...]
"""Attributes that lead from a mask to one that it is combined from: ("left",) is the left mask of an `And`."""


@dataclass(frozen=True)
class MaskSplit:
    """Masks that together keep what one mask keeps. Paths instead of masks, so that it holds no tensors.

    >>> import torch
    >>> from heedful.ops.masks import Dense
    >>> mask = Window(2, 2) & Padding(torch.tensor([3])) & Dense(torch.ones(4, 4).bool())
    >>> split_mask(mask)
    MaskSplit(distance=(('left', 'left'),), paddings=(('left', 'right'),), others=(('right',),))
    """

    distance: tuple[Path, ...] = ()
    """Masks that depend on key index minus query index alone."""
    paddings: tuple[Path, ...] = ()
    others: tuple[Path, ...] = ()


def split_mask(mask: Mask | None, path: Path = ()) -> MaskSplit:
    """Sort the masks that a conjunction is made of; any other combination is one mask."""
    if mask is None:
        return MaskSplit()
    if mask.follows_distance:
        return MaskSplit(distance=(path,))
    if type(mask) is Padding:
        return MaskSplit(paddings=(path,))
    if type(mask) is not And:
        return MaskSplit(others=(path,))
    left, right = split_mask(mask.left, (*path, "left")), split_mask(mask.right, (*path, "right"))
    return MaskSplit(
        left.distance + right.distance, left.paddings + right.paddings, left.others + right.others
    )


def needs_tiles(call: Call) -> bool:
    """Whether mask or bias depend on more than distance and key lengths."""
    return has_pair_bias(call) or bool(split_mask(call.mask).others)


def has_pair_bias(call: Call) -> bool:
    """Whether there is a bias that depends on more than distance."""
    return call.bias is not None and not _follows_distance(call.bias)


def is_read_in_place(bias: Tensor | PositionBias | None, call: Call) -> bool:
    """Whether the kernels read a bias where it lies: a tensor with one number a key, keys beside each other."""
    return (
        isinstance(bias, Tensor)
        and bias.dtype == wide_dtype(call.query.dtype)
        and bias.shape[-1] == call.num_keys
        and bias.stride(-1) == 1
        and not bias.is_neg()
    )


def has_distance_tensors(call: Call, split: MaskSplit) -> bool:
    """Whether the distance bias depends on tensors of the call, so that it must be computed for each call."""
    if _follows_distance(call.bias):
        return True
    return any(mask.tensors() for mask in masks_at(call.mask, split.distance))


def _follows_distance(bias: Tensor | PositionBias | None) -> bool:
    return isinstance(bias, PositionBias) and bias.follows_distance


def masks_at(mask: Mask | None, paths: tuple[Path, ...]) -> list[Mask]:
    """The masks that the paths lead to."""
    parts: list[Any] = [reduce(getattr, path, mask) for path in paths]
    return parts


def _conjunction(mask: Mask | None, paths: tuple[Path, ...]) -> Mask | None:
    return reduce(And, masks_at(mask, paths)) if paths else None


def key_limits(call: Call, paddings: tuple[Path, ...]) -> Tensor:
    """How many keys each head of each sequence may attend to: (batch or 1, heads or 1), as `BandSpec.key_limits`."""
    lead = call.lead
    limit: Tensor | None = None
    for path in paddings:
        padding: Any = reduce(getattr, path, call.mask)
        # Copied, so that a later change of the lengths does not reach the backward pass.
        lengths: Tensor = padding.key_lengths.to(torch.int64, copy=True)
        if lengths.ndim < len(lead):
            lengths = lengths[..., None]
        limit = lengths if limit is None else torch.minimum(limit, lengths)
    assert limit is not None
    if len(lead) == 2:
        return limit
    limit = limit.expand(lead)
    return limit.flatten(0, -2) if len(lead) > 2 else limit.reshape((1, 1, *lead)[-2:])


def band_spec(
    call: Call, band: Band, split: MaskSplit, scale: float, cap: float, dtype: torch.dtype
) -> BandSpec:
    """Window and distance bias of a call, without key limits; `band` is fitted."""
    bias = call.bias if _follows_distance(call.bias) else None
    parts, watched = masks_at(call.mask, split.distance), needs_dispatch()
    if bias is None and all(map(is_interval, parts)) and not watched:
        return interval(band.left, band.right, scale, dtype, call.is_masked, cap)
    # Made in inference mode, autograd could not save it for a later backward pass.
    with nullcontext() if watched else torch.inference_mode(False):
        added = _distance_bias(call, band, reduce(And, parts) if parts else None, bias, dtype)
    return BandSpec(band.left, band.right, scale, added, None, call.is_masked, cap)


@lru_cache(64)
def interval(
    left: int,
    right: int,
    scale: float,
    dtype: torch.dtype,
    masked: bool = True,
    cap: float = 0.0,
) -> BandSpec:
    """The specification of a window within which every distance is kept and nothing is added."""
    with torch.inference_mode(False):  # As in `band_spec`: it is kept for later calls.
        size = (1, distance_bias_size(left, right))
        bias = torch.full(size, -torch.inf, dtype=dtype, device="cpu")
        bias[:, MARGIN : bias.shape[1] - MARGIN] = 0
    return BandSpec(left, right, scale, bias, None, masked, cap)


def is_interval(mask: Mask) -> bool:
    """Whether a mask keeps every distance within its bounds."""
    if type(mask) is And:
        return is_interval(mask.left) and is_interval(mask.right)
    return type(mask) is Window or type(mask) is Causal


def _distance_bias(
    call: Call,
    band: Band,
    mask: Mask | None,
    bias: Tensor | PositionBias | None,
    dtype: torch.dtype,
) -> Tensor:
    """`BandSpec.distance_bias`: from the key farthest behind the query to the one farthest ahead of it."""
    rows = call.rows
    keys = torch.arange(band.right, -band.left - 1, -1, device=rows.device)
    cells = Pairs(torch.zeros_like(keys), keys, rows.num_queries, rows.num_keys, rows.lead)
    added = torch.zeros(1, band.left + band.right + 1, dtype=dtype, device=rows.device)
    if bias is not None:
        added = added + bias_at(bias, cells).to(dtype)
    if mask is not None:
        added = torch.where(mask.keeps(cells), added, -torch.inf)
    added = added.reshape(-1, added.shape[-1])
    return F.pad(added, (MARGIN, MARGIN), value=-torch.inf)


@dataclass(frozen=True, eq=False)
class BiasTiles:
    """The mask and bias of a call that depend on more than distance and key lengths, as tiles of added scores."""

    call: Call
    band: Band
    """Fitted."""
    dtype: torch.dtype
    mask: Mask | None
    bias: Tensor | PositionBias | None

    @classmethod
    def of(cls, call: Call, band: Band, split: MaskSplit, dtype: torch.dtype) -> BiasTiles:
        """Those of a call whose mask was split."""
        bias = call.bias if has_pair_bias(call) else None
        return cls(call, band, dtype, _conjunction(call.mask, split.others), bias)

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors that the tiles are computed from."""
        held = () if self.mask is None else self.mask.tensors()
        return (*held, *bias_tensors(self.bias))

    def pieces(self, most: int = 0) -> Iterator[Piece | range]:
        """All blocks with their tiles, at most `PIECE_BYTES`, or `most` bytes if that is more, at a time.

        A range where every pair is hidden.
        """
        count = num_blocks(self.call.num_queries)
        lead = self.call.lead_size
        heads = (*self.call.lead, 1)[len(self.call.lead) - 1]
        entries = lead if isinstance(self.bias, Tensor) else lead // max(1, heads)
        one = entries * tile_keys(self.band.left, self.band.right)
        # A number a pair where a bias is evaluated, else a bit.
        is_read = self.bias is None or self._whole_bias() is not None
        one *= 4 if is_read else ROWS * self.dtype.itemsize
        step = max(1, max(PIECE_BYTES, most) // max(1, one))
        for first in range(0, count, step):
            yield self._piece(first, min(first + step, count))

    def _piece(self, first: int, stop: int) -> Piece | range:
        words = self._words(first, stop)
        if words is not None and not bool(words.any()):
            return range(first, stop)
        bias = self._whole_bias()
        if bias is not None or self.bias is None:
            return Piece(first, stop - first, None, words, bias)
        return Piece(first, stop - first, self._tiles(self._cells(first, stop), None), words)

    def _whole_bias(self) -> Tensor | None:
        """`Piece.bias`: a tensor that the kernels read where it lies; None for any other bias."""
        if not isinstance(self.bias, Tensor) or not is_read_in_place(self.bias, self.call):
            return None
        return folded(self.bias, self.call.lead, 2)

    def _words(self, first: int, stop: int) -> Tensor | None:
        """`Piece.words` of all masks; None where there are none."""
        words: Tensor | None = None
        for part in conjuncts(self.mask):
            packed = pack(part, self.call, self.band, first, stop)
            words = packed if words is None else words & packed
        return words

    def whole(self) -> Tensor:
        """`Piece.tiles` of all blocks. Reads no values, so it can be traced."""
        cells = self._cells(0, num_blocks(self.call.num_queries))
        return self._tiles(cells, None if self.mask is None else self.mask.keeps(cells))

    def _cells(self, first: int, stop: int) -> Pairs:
        """Query (blocks, 1, ROWS) and key (blocks, keys, 1) of tiles; indices outside the call are clamped."""
        rows, device = self.call.rows, self.call.rows.device
        start = torch.arange(first, stop, device=device)[:, None, None] * ROWS
        query = start + torch.arange(ROWS, device=device)
        keys = torch.arange(tile_keys(self.band.left, self.band.right), device=device)
        key = start - self.band.left + keys[:, None]
        return Pairs(
            query.clamp(max=rows.num_queries - 1), key.clamp(0, rows.num_keys - 1),
            rows.num_queries, rows.num_keys, rows.lead,
        )  # fmt: skip

    def _tiles(self, cells: Pairs, keep: Tensor | None) -> Tensor:
        shape = (cells.query.shape[0], cells.key.shape[1], ROWS)
        added = torch.zeros((), dtype=self.dtype, device=cells.query.device)
        if self.bias is not None:
            added = bias_at(self.bias, cells).to(self.dtype)
        if keep is not None:
            added = torch.where(keep, added, -torch.inf)
        lead = self.call.lead
        got = (*(1,) * (len(lead) + 3 - max(added.ndim, 3)), *added.shape[:-3])
        if len(lead) > 2 and any(size != 1 for size in got[:-1]):
            got = (*lead[:-1], got[-1])
        whole = added.expand(*got, *shape)
        return whole.reshape(math.prod(got[:-1]), got[-1] if got else 1, *shape).contiguous()
