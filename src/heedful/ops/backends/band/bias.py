"""What masks and biases add to the scores of a window, in the two layouts that the kernels for windows read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, reduce

import torch
from torch import Tensor

from heedful.ops.backends.band.forward import ROWS
from heedful.ops.backends.band.launch import MARGIN, Piece, Window, near_size, num_blocks, tile_keys
from heedful.ops.backends.band.layout import Band
from heedful.ops.call import Call, bias_at, bias_tensors
from heedful.ops.cells import Pairs
from heedful.ops.jit.operators import needs_dispatch
from heedful.ops.masks import Causal, Mask, Padding
from heedful.ops.masks import Window as WindowMask
from heedful.ops.masks.base import And
from heedful.ops.positions import PositionBias

# What tiles of masks may take at a time: they stay in the outer cache of a processor.
PIECE_BYTES = 4 * 2**20


@dataclass(frozen=True, eq=False)
class Added:
    """The mask and bias of a call, split into what follows from distance alone, from lengths alone, and the rest."""

    call: Call
    band: Band
    """Not wider than the lengths."""
    dtype: torch.dtype
    near: Mask | None
    lengths: tuple[Padding, ...]
    rest: Mask | None

    @classmethod
    def of(cls, call: Call, band: Band, dtype: torch.dtype) -> Added:
        return cls(call, band.fitted(), dtype, *_split(call.mask))

    @property
    def far_bias(self) -> Tensor | PositionBias | None:
        """The bias, where it does not follow from distance."""
        bias = self.call.bias
        return None if bias is None or _is_near(bias) else bias

    @property
    def needs_no_tiles(self) -> bool:
        """Whether there is nothing else."""
        return self.rest is None and self.far_bias is None

    def window(self, scale: float) -> Window:
        """What follows from distance and lengths, for the kernels."""
        window = self._by_distance(scale)
        if self.lengths:
            return replace(window, limits=self._limits())
        return window if self.call.masks else replace(window, hides=False)

    def _limits(self) -> Tensor:
        rows = self.call.rows
        # Copied, since the backward pass is that of the lengths there were, whatever becomes of them.
        limits = (
            rows.of_sequences(each.key_lengths.to(torch.int64, copy=True))[..., 0, 0]
            for each in self.lengths
        )
        limit = reduce(torch.minimum, limits)
        lead = self.call.lead
        if len(lead) != 2:
            limit = limit.expand(lead)
            limit = limit.flatten(0, -2) if len(lead) > 2 else limit.reshape((1, 1, *lead)[-2:])
        return limit

    def _by_distance(self, scale: float) -> Window:
        left, right = self.band.left, self.band.right
        plain = _is_interval(self.near) and not (
            self.call.bias is not None and _is_near(self.call.bias)
        )
        if plain and not needs_dispatch():
            return interval(left, right, scale, self.dtype)
        return Window(left, right, scale, self._near())

    def _near(self) -> Tensor:
        """(heads or 1, `near_size`), from the key farthest behind the query to the one farthest before it."""
        left, right = self.band.left, self.band.right
        rows = self.call.rows
        keys = torch.arange(right, -left - 1, -1, device=rows.device)
        cells = Pairs(torch.zeros_like(keys), keys, rows.num_queries, rows.num_keys, rows.lead)
        added = torch.zeros(1, left + right + 1, dtype=self.dtype, device=rows.device)
        if self.call.bias is not None and _is_near(self.call.bias):
            added = added + bias_at(self.call.bias, cells).to(self.dtype)
        if self.near is not None:
            added = torch.where(self.near.at(cells), added, -torch.inf)
        added = added.reshape(-1, added.shape[-1])
        return torch.nn.functional.pad(added, (MARGIN, MARGIN), value=-torch.inf)

    def tensors(self) -> tuple[Tensor, ...]:
        """What pieces are made of."""
        held = () if self.rest is None else self.rest.tensors()
        return (*held, *bias_tensors(self.far_bias))

    def pieces(self) -> Iterator[Piece | range]:
        """The blocks, with what else is added to them; those of which nothing is kept as a range of their numbers."""
        count = num_blocks(self.call.num_queries)
        if self.needs_no_tiles:
            yield Piece(0, count, None)
            return
        bias, lead = self.far_bias, self.call.lead_size
        entries = (
            lead
            if isinstance(bias, Tensor)
            else lead // max(1, (*self.call.lead, 1)[len(self.call.lead) - 1])
        )
        one = tile_keys(self.band.left, self.band.right) * ROWS * self.dtype.itemsize
        step = max(1, PIECE_BYTES // max(1, one * entries))
        for first in range(0, count, step):
            yield self._piece(first, min(first + step, count))

    def _piece(self, first: int, stop: int) -> Piece | range:
        cells = self._cells(first, stop)
        keep = None if self.rest is None else self.rest.at(cells)
        if keep is not None and bool(keep.all()):
            # Most blocks lie whole inside a sequence or a segment, or whole behind its end.
            keep = None
        elif keep is not None and not bool(keep.any()):
            return range(first, stop)
        if keep is None and self.far_bias is None:
            return Piece(first, stop - first, None)
        return Piece(first, stop - first, self._tiles(cells, keep))

    def all_tiles(self) -> Tensor | None:
        """`Piece.added` of all blocks at once, looking at no numbers."""
        if self.needs_no_tiles:
            return None
        cells = self._cells(0, num_blocks(self.call.num_queries))
        return self._tiles(cells, None if self.rest is None else self.rest.at(cells))

    def _cells(self, first: int, stop: int) -> Pairs:
        """Query (blocks, 1, ROWS) and key (blocks, keys, 1) of tiles, those that there are not replaced by others."""
        rows, device = self.call.rows, self.call.rows.device
        start = torch.arange(first, stop, device=device)[:, None, None] * ROWS
        query = start + torch.arange(ROWS, device=device)
        most = tile_keys(self.band.left, self.band.right)
        key = start - self.band.left + torch.arange(most, device=device)[:, None]
        return Pairs(
            query.clamp(max=rows.num_queries - 1), key.clamp(0, rows.num_keys - 1),
            rows.num_queries, rows.num_keys, rows.lead,
        )  # fmt: skip

    def _tiles(self, cells: Pairs, keep: Tensor | None) -> Tensor:
        bias = self.far_bias
        shape = (cells.query.shape[0], cells.key.shape[1], ROWS)
        added = torch.zeros((), dtype=self.dtype, device=cells.query.device)
        if bias is not None:
            added = bias_at(bias, cells).to(self.dtype)
        if keep is not None:
            added = torch.where(keep, added, -torch.inf)
        lead = self.call.lead
        got = (*(1,) * (len(lead) + 3 - max(added.ndim, 3)), *added.shape[:-3])
        if len(lead) > 2 and any(size != 1 for size in got[:-1]):
            got = (*lead[:-1], got[-1])
        whole = added.expand(*got, *shape)
        return whole.reshape(math.prod(got[:-1]), got[-1] if got else 1, *shape).contiguous()


def needs_no_tiles(call: Call) -> bool:
    """Whether distance and lengths alone decide what a call's mask and bias say."""
    return _split(call.mask)[2] is None and (call.bias is None or _is_near(call.bias))


@lru_cache(64)
def interval(left: int, right: int, scale: float, dtype: torch.dtype) -> Window:
    """Where all distances within bounds are kept and nothing is added."""
    with torch.inference_mode(False):  # Of what is made in it, autograd would later keep nothing.
        size = (1, near_size(left, right))
        near = torch.full(size, -torch.inf, dtype=dtype, device="cpu")
        near[:, MARGIN : near.shape[1] - MARGIN] = 0
    return Window(left, right, scale, near)


def _is_interval(mask: Mask | None) -> bool:
    """Whether a mask keeps all that is within its bounds."""
    if type(mask) is And:
        return _is_interval(mask.left) and _is_interval(mask.right)
    return mask is None or type(mask) is WindowMask or type(mask) is Causal


def _split(mask: Mask | None) -> tuple[Mask | None, tuple[Padding, ...], Mask | None]:
    """Masks that keep together what `mask` keeps: one that follows from distance alone, paddings, and the rest."""
    if mask is None or mask.follows_distance:
        return mask, (), None
    if type(mask) is Padding:
        return None, (mask,), None
    if type(mask) is not And:
        return None, (), mask
    near, lengths, rest = _split(mask.left)
    other_near, other_lengths, other_rest = _split(mask.right)
    return _both(near, other_near), lengths + other_lengths, _both(rest, other_rest)


def _both(left: Mask | None, right: Mask | None) -> Mask | None:
    if left is None or right is None:
        return left or right
    return left & right


def _is_near(bias: Tensor | PositionBias) -> bool:
    return isinstance(bias, PositionBias) and bias.follows_distance
