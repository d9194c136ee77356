"""A window with global positions, `Window(...) | Global(...)`, by the compiled kernels of bands.

The pairs are three bands: the keys near each query, the global keys of every query, and all keys of the global queries.
A query that is not global has keys in the first two. Each gives the softmax of its own keys and their logsumexp, which
together give that over all of them (Dao et al. 2022, https://arxiv.org/abs/2205.14135):

    lse = log(e^lse_1 + e^lse_2),  output = e^(lse_1 - lse) output_1 + e^(lse_2 - lse) output_2

The backward kernels take weights from a logsumexp, and given that of all keys they are the weights over all keys, so
each band adds its part of the gradients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import and_
from typing import Any, NamedTuple

import torch
from torch import Tensor

from heedful.ops.backends.band.bias import (
    Path,
    interval,
    is_interval,
    key_limits,
    masks_at,
    split_mask,
)
from heedful.ops.backends.band.fused import as_asked, kernel_operands
from heedful.ops.backends.band.gradients import BandGradients, run_backward
from heedful.ops.backends.band.launch import (
    BandSpec,
    Piece,
    num_blocks,
    run_forward,
)
from heedful.ops.backends.band.layout import BandLayout
from heedful.ops.backends.band.shape import ROWS
from heedful.ops.backends.band.window import Band
from heedful.ops.backends.base import without_autocast
from heedful.ops.backends.chunked import Chunked
from heedful.ops.backends.reference import zero_nonfinite
from heedful.ops.call import Attended, Call, repeat_heads
from heedful.ops.double_backward import differentiable_gradients
from heedful.ops.finite import all_finite, is_batched
from heedful.ops.masks import Global, Window
from heedful.ops.masks.base import Or
from heedful.ops.masks.bounds import UNBOUNDED, Bounds
from heedful.ops.normalizers import Softmax

CHUNKED = Chunked()


class GlobalMask(NamedTuple):
    """A mask that is a window with global positions, perhaps with bounds of distance and key lengths for all pairs."""

    near: Bounds
    """Of the queries and keys that are not global."""
    outer: Bounds
    """Of all pairs."""
    queries: int
    """So many first queries attend to all keys within `outer`."""
    keys: int
    """So many first keys are attended to by all queries within `outer`."""
    paddings: tuple[Path, ...]

    @classmethod
    def of(cls, call: Call) -> GlobalMask | None:
        """The mask of a call in this form; None if it has another.

        Served are conjunctions of one `Window | Global`, any `Window` and `Causal`, and any `Padding`.
        """
        split = split_mask(call.mask)
        intervals = masks_at(call.mask, split.distance)
        found = [_window_and_global(mask) for mask in masks_at(call.mask, split.others)]
        if len(found) != 1 or found[0] is None or not all(map(is_interval, intervals)):
            return None
        outer = reduce(and_, (mask.bounds(call.rows) for mask in intervals), UNBOUNDED)
        window, positions = found[0]
        near = window.bounds(call.rows) & outer
        keys = positions.count if positions.keys is None else positions.keys
        sizes = min(positions.count, call.num_queries), min(keys, call.num_keys)
        return cls(near, outer, *sizes, split.paddings)

    def cells(self, call: Call) -> int:
        """Number of pairs that the kernels compute, in whole blocks of queries."""
        found = 0
        for part in self.parts(call):
            queries, keys = part.stop - part.start, part.key_stop - part.key_start
            found += num_blocks(queries) * ROWS * min(keys, min(ROWS, queries) + part.band.width)
        return call.lead_size * found

    def parts(self, call: Call) -> tuple[Part, ...]:
        """The bands, without empty ones."""
        queries, keys = call.num_queries, call.num_keys
        found = (
            Part.of(self.outer, 0, self.queries, 0, keys),
            Part.of(self.near, self.queries, queries, self.keys, keys),
            Part.of(self.outer, self.queries, queries, 0, self.keys),
        )
        return tuple(part for part in found if part is not None)


def _window_and_global(mask: Any) -> tuple[Window, Global] | None:
    if type(mask) is not Or:
        return None
    for one, other in ((mask.left, mask.right), (mask.right, mask.left)):
        if type(one) is Window and type(other) is Global:
            return one, other
    return None


class Part(NamedTuple):
    """A band between consecutive queries and consecutive keys."""

    start: int
    stop: int
    key_start: int
    key_stop: int
    band: Band

    @classmethod
    def of(
        cls, bounds: Bounds, start: int, stop: int, key_start: int, key_stop: int
    ) -> Part | None:
        """The pairs within `bounds`, which are between positions of the whole; None if there are none."""
        if start >= stop or key_start >= key_stop:
            return None
        shift = start - key_start
        left, right = bounds
        moved = Bounds(
            None if left is None else left - shift, None if right is None else right + shift
        )
        band = Band.reaching(moved, stop - start, key_stop - key_start)
        return cls(start, stop, key_start, key_stop, band) if band.width else None

    def cut(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The rows of the band: views."""
        keys = slice(self.key_start, self.key_stop)
        return query[:, :, self.start : self.stop], key[:, :, keys], value[:, :, keys]

    def limits(self, limits: Tensor | None) -> Tensor | None:
        """How many of its keys may be attended to."""
        size = self.key_stop - self.key_start
        return None if limits is None else (limits - self.key_start).clamp(0, size)

    def keeps(self, limits: Tensor | None, device: torch.device) -> Tensor:
        """Which pairs are in the band, (batch or 1, heads or 1, query, key)."""
        row = torch.arange(self.stop - self.start, device=device)[:, None]
        column = torch.arange(self.key_stop - self.key_start, device=device)
        keep = (column >= row - self.band.left) & (column <= row + self.band.right)
        limits = self.limits(limits)
        return keep[None, None] if limits is None else keep & (column < limits[..., None, None])

    def has_keys(self, limits: Tensor | None, device: torch.device) -> Tensor:
        """Whether a query has any key, (batch or 1, heads or 1, query)."""
        row = torch.arange(self.stop - self.start, device=device)
        first = (row - self.band.left).clamp(min=0)
        limits = self.limits(limits)
        size = torch.tensor(self.key_stop - self.key_start, device=device)
        end = size if limits is None else limits[..., None]
        found: Tensor = torch.minimum(row + self.band.right + 1, end) > first
        return found.expand((1,) * (3 - found.ndim) + found.shape)


@dataclass(frozen=True, eq=False, slots=True)
class GlobalLayout:
    """What a call needs besides its tensors: computed once, reused for every call of one signature."""

    layout: BandLayout
    """How operands are laid out; its band and mask are not read."""
    parts: tuple[Part, ...]
    specs: tuple[BandSpec, ...]
    paddings: tuple[Path, ...]

    @classmethod
    def of(cls, call: Call, mask: GlobalMask, *, keeps_half: bool = False) -> GlobalLayout:
        """The layout of a call under such a mask, with at least one pair; `keeps_half` as of `BandLayout.of`."""
        parts = mask.parts(call)
        layout = BandLayout.of(replace(call, mask=None), parts[0].band, keeps_half=keeps_half)
        specs = tuple(
            interval(part.band.left, part.band.right, layout.scale, layout.dtype, True, layout.cap)
            for part in parts
        )
        return cls(layout, parts, specs, mask.paddings)

    def limits(self, call: Call) -> Tensor | None:
        """Key lengths, as `BandSpec.key_limits`."""
        return key_limits(call, self.paddings) if self.paddings else None


def attend_with_globals(call: Call, layout: GlobalLayout) -> Attended:
    """Output of a call; `layout` is that of any call of the same signature."""
    query, key, value, _ = kernel_operands(call, layout.layout)
    limits, operands = layout.limits(call), (query, key, value)
    with without_autocast(call.query.device):
        with torch.no_grad():
            result = attend_parts(operands, layout, limits)
        if not all_finite(result.output):
            # Something came from behind the mask, or what is kept is not finite.
            return CHUNKED.run(call)
        result = GlobalResult(result.output.to(value.dtype), result.logsumexp)
        output = AttendParts.apply(*operands, layout, limits, result)  # type: ignore[no-untyped-call]
    return as_asked(call, output, None)


class GlobalResult(NamedTuple):
    """The output over all keys and its logsumexp, (batch, heads, query, value) and (batch, heads, query).

    The logsumexp is in float32 or wider, and so is the output until it is rounded to the dtype of the values.
    """

    output: Tensor
    logsumexp: Tensor


def attend_parts(
    operands: tuple[Tensor, Tensor, Tensor], layout: GlobalLayout, limits: Tensor | None
) -> GlobalResult:
    """Output and logsumexp by the kernels; both are 0 for a query without any key."""
    query, _, value = operands
    shape, wide = (*query.shape[:3], value.shape[3]), layout.layout.dtype
    output = query.new_zeros(shape, dtype=wide)
    logsumexp = query.new_full(shape[:3], -torch.inf, dtype=wide)
    for part, spec in zip(layout.parts, layout.specs, strict=True):
        found = _forward(part.cut(*operands), replace(spec, key_limits=part.limits(limits)))
        keeps = part.has_keys(limits, query.device)
        added = torch.where(keeps, found.logsumexp, -torch.inf)
        rows = slice(part.start, part.stop)
        before, total = logsumexp[:, :, rows], torch.logaddexp(logsumexp[:, :, rows], added)
        base = torch.where(total == -torch.inf, 0.0, total)
        output[:, :, rows] *= (before - base).exp()[..., None]
        output[:, :, rows] += (added - base).exp()[..., None] * found.output
        logsumexp[:, :, rows] = total
    return GlobalResult(output, torch.where(logsumexp == -torch.inf, 0.0, logsumexp))


def _forward(operands: tuple[Tensor, Tensor, Tensor], spec: BandSpec) -> GlobalResult:
    query, key, value = operands
    shape, empty = (*query.shape[:3], value.shape[3]), spec.distance_bias.new_empty
    result = GlobalResult(empty(shape), empty(shape[:3]))
    piece = Piece(0, num_blocks(query.shape[2]), None)
    run_forward(query, key, value, None, spec, piece, (*result, empty(0)))
    return result


class AttendParts(torch.autograd.Function):
    """Query, key and value, as the kernels read them, and what `attend_parts` found, to that output."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor,
        layout: GlobalLayout, limits: Tensor | None, result: GlobalResult,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(query, key, value, *result)
        ctx.layout, ctx.limits = layout, limits
        return result.output

    @staticmethod
    def backward(ctx: Any, output_gradient: Tensor) -> tuple[Tensor | None, ...]:
        *operands, output, logsumexp = ctx.saved_tensors
        layout, limits = ctx.layout, ctx.limits
        found: tuple[Tensor | None, ...] = ()
        if not (torch.is_grad_enabled() or is_batched(output_gradient)):
            results = output, logsumexp, output_gradient.resolve_neg()
            sums = _gradients(tuple(operands), layout, limits, results)
            if all_finite(*sums):
                found = tuple(one.to(each.dtype) for one, each in zip(sums, operands, strict=True))
        if not found:
            found = differentiable_gradients(
                lambda *given: [plain(given, layout, limits)], operands, [output_gradient]
            )
        return (*found, None, None, None)


def _gradients(
    operands: tuple[Tensor, ...],
    layout: GlobalLayout,
    limits: Tensor | None,
    results: tuple[Tensor, Tensor, Tensor],
) -> tuple[Tensor, ...]:
    """Gradients of query, key and value by the kernels, in float32 or wider."""
    query, key, value = operands
    totals = tuple(one.new_zeros(one.shape, dtype=layout.layout.dtype) for one in operands)
    for part, spec in zip(layout.parts, layout.specs, strict=True):
        mine = part.cut(query, key, value)
        limited = replace(spec, key_limits=part.limits(limits))
        gradients = BandGradients.of(*mine, limited, is_wide=True)
        rows = [one[:, :, part.start : part.stop].contiguous() for one in results]
        piece = Piece(0, num_blocks(mine[0].shape[2]), None)
        run_backward(*mine, limited, piece, (rows[0], rows[1], rows[2]), gradients)
        for total, found in zip(part.cut(*totals), gradients.totals(), strict=True):
            total += found
    return totals


def plain(operands: tuple[Tensor, ...], layout: GlobalLayout, limits: Tensor | None) -> Tensor:
    """The output by plain mathematics over all pairs, differentiable any number of times.

    It serves second derivatives, and gradients that the kernels found not to be finite.
    """
    clean = [zero_nonfinite(one)[0].to(layout.layout.dtype) for one in operands]
    groups = clean[0].shape[1] // clean[1].shape[1]
    query, key, value = clean[0], repeat_heads(clean[1], groups), repeat_heads(clean[2], groups)
    keep = query.new_zeros(1, 1, query.shape[2], key.shape[2], dtype=torch.bool)
    for part in layout.parts:
        mine = part.keeps(limits, query.device)
        if mine.shape[:2] != keep.shape[:2]:
            shape = torch.broadcast_shapes(keep.shape[:2], mine.shape[:2])
            keep = keep.expand(*shape, *keep.shape[2:]).clone()
        keep[:, :, part.start : part.stop, part.key_start : part.key_stop] |= mine
    scores = query @ key.mT * layout.layout.scale
    if layout.layout.cap:
        scores = layout.layout.cap * (scores / layout.layout.cap).tanh()
    output = Softmax().weights(scores, keep.expand(scores.shape)) @ value
    return output.to(operands[2].dtype)
