"""Windowed attention in time and memory that grow with length × window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F

from heedful.ops.backends.band.bias import Added, needs_no_tiles
from heedful.ops.backends.band.blocks import Job, attend_blocks, block_rows
from heedful.ops.backends.band.forward import ROWS, WIDTH
from heedful.ops.backends.band.fused import windowed, windowed_by_pieces
from heedful.ops.backends.band.layout import Band
from heedful.ops.backends.base import Backend, Cost, as_given, threads, wide_dtype
from heedful.ops.backends.chunked import Chunked
from heedful.ops.backends.reference import cleanse, prepare, token_bytes, weights_of
from heedful.ops.backends.sdpa import four_axes, query_and_scale
from heedful.ops.call import Attended, Call, bias_tensors
from heedful.ops.finite import inside_func, is_traced
from heedful.ops.jit.kernel import unavailable
from heedful.ops.jit.operators import needs_dispatch
from heedful.ops.jit.processor import has_wide_vectors
from heedful.ops.masks.bounds import UNBOUNDED
from heedful.ops.normalizers import Softmax

OPEN = "nothing in its mask bounds on both sides how far a query sees, as Window(left, right) does"
# Seconds of a call by blocks, however small.
BLOCKS_CALL, BLOCKS_BACKWARD_CALL = 300e-6, 1000e-6
# Seconds that masks and biases cost which follow from more than distance, and what they cost for each cell.
TILES_CALL, TILE_CELL = 65e-6, 1.2e-9
# Multiply-adds a thread below which a call without a window is short; where features must be copied to be made up to
# whole vectors first.
SHORT, SHORT_COPIED = 2**23, 2**25
CHUNKED = Chunked()


class Banded(Backend):
    """Every score and normalizer, under a mask that bounds on both sides how far a query sees.

    Inner products under softmax go through compiled kernels, which serve open sides as well where distance and lengths
    alone decide what is seen.

    Truncated attention: Beltagy et al. 2020, https://arxiv.org/abs/2004.05150. Rows stay whole within their window, so
    every normalizer stays exact; nothing is rounded up to blocks.
    """

    name: ClassVar[str] = "band"
    length_rank: ClassVar[int] = 1
    why: ClassVar[str] = (
        "only the cells inside the window are computed, in blocks along the diagonal"
    )
    cost: ClassVar[Cost] = Cost(
        call=63e-6,
        backward_call=120e-6,
        multiply_add=0.0105e-9,
        cell=0.2e-9,
        transcendental=6.6e-9,
        backward=2.5,
    )

    def supports(self, call: Call) -> str | None:
        # Traced, the compiled kernels are one operator.
        untold = torch.compiler.is_compiling() and not self._is_plain(call)
        if inside_func() or is_traced() or untold:
            return "its recomputation cannot be traced by torch.func, torch.jit or torch.compile"
        if forward_ad._current_level >= 0 and self._is_plain(call):
            return "its compiled kernels have no forward-mode derivative"
        if self._band(call) is None:
            return OPEN
        return None

    def _band(self, call: Call) -> Band | None:
        return band_of(call) or (whole_band(call) if self._serves_whole(call) else None)

    def _serves_whole(self, call: Call) -> bool:
        """Whether the compiled kernels serve a call of which a side is open."""
        # What is traced, or exported, is left an operator that others know.
        return not torch.compiler.is_compiling() and self._is_plain(call) and needs_no_tiles(call)

    def cost_of(self, call: Call) -> Cost:
        if self._is_plain(call):
            return self.cost
        # Block by block it is what chunked does, in fewer cells.
        by_block = CHUNKED.cost_of(call)
        return replace(by_block, call=BLOCKS_CALL, backward_call=BLOCKS_BACKWARD_CALL)

    def is_fused(self, call: Call) -> bool:
        """Whether blocks go through the compiled kernels, which never keep their scores."""
        return self._is_plain(call)

    def _is_plain(self, call: Call) -> bool:
        """Whether the compiled kernels serve such a call."""
        plain = call.score.pair_kind == "dot" and isinstance(call.normalizer, Softmax)
        here = call.query.is_cpu and not call.dropout_p
        return plain and here and not _learns_bias(call) and unavailable() is None

    def seconds(self, call: Call) -> float:
        if band_of(call) is None and (not self._serves_whole(call) or _is_short(call)):
            return float("inf")
        cells = self.cells(call)
        if not self._is_plain(call):
            return self.seconds_for(call, cells)
        made_up = cells * _missing(call) * self.cost.multiply_add / threads()
        seconds = self.seconds_for(call, cells)
        seconds += made_up * (1 + self.cost.backward if call.needs_gradient else 1)
        if not needs_no_tiles(call):
            heads = call.lead[-1] if call.lead else 1
            tiles = TILES_CALL + TILE_CELL * (cells // max(1, heads))
            seconds += tiles * (2 if call.needs_gradient else 1)
        return seconds

    def cells(self, call: Call) -> int:
        band = band_of(call)
        if band is None:
            return call.lead_size * whole_band(call).cells
        rows = ROWS if self._is_plain(call) else block_rows(call, band)
        reach = min(call.num_keys, min(rows, call.num_queries) + band.width)
        return call.lead_size * call.num_queries * reach

    def bytes_at_once(self, call: Call) -> int:
        return 0

    def bytes_kept(self, call: Call) -> int:
        if not call.needs_gradient:
            return 0
        weights = call.cells * call.query.element_size() if call.return_weights else 0
        if not self.is_fused(call):
            return token_bytes(call) + weights
        width = wide_dtype(call.query.dtype).itemsize
        padded = 0
        for tensor in (call.prepared_query, call.prepared_key, call.value):
            missing = -tensor.shape[-1] % WIDTH
            if missing:
                tokens = tensor.numel() // max(1, tensor.shape[-1])
                padded += tokens * (tensor.shape[-1] + missing) * width
        features = call.value_features + -call.value_features % WIDTH
        output = call.lead_size * call.num_queries * (features + 1) * width
        return token_bytes(call) + padded + output + weights

    def run(self, call: Call) -> Attended:
        band = band_of(call)
        with as_given(call.query.device):
            if band is None:
                return Attended(_fused(call, whole_band(call)), _all_weights(call))
            if self.is_fused(call) and band.fitted().width:
                weights = _by_blocks(call, band).weights if call.return_weights else None
                return Attended(_fused(call, band), weights)
            return _by_blocks(call, band)


def band_of(call: Call) -> Band | None:
    """The band outside which the call's mask keeps nothing, or None where a side is open."""
    if call.mask is None:
        return None
    return Band.of(call.mask.bounds(call.rows), call.num_queries, call.num_keys)


def whole_band(call: Call) -> Band:
    """The band in which a side that the mask leaves open reaches to the end."""
    bounds = UNBOUNDED if call.mask is None else call.mask.bounds(call.rows)
    return Band.reaching(bounds, call.num_queries, call.num_keys)


def is_short(queries: int, pairs: int, features: int, values: int) -> bool:
    """Whether a call without a window is left to PyTorch's kernel, which starts sooner: few queries, or little work.

    So is every one where vectors are too narrow for the kernels' rectangles: with AVX2 they take longer.
    """
    copied = features % WIDTH or values % WIDTH
    least = (SHORT_COPIED if copied else SHORT) * threads()
    return queries < ROWS or pairs * (features + values) < least or not has_wide_vectors()


def _is_short(call: Call) -> bool:
    return is_short(call.num_queries, call.cells, call.pair_features, call.value_features)


def _missing(call: Call) -> int:
    """Features by which those of a pair and of a value are made up to whole vectors."""
    return -call.pair_features % WIDTH + -call.value_features % WIDTH


def _all_weights(call: Call) -> Tensor | None:
    return weights_of(call) if call.return_weights else None


def _learns_bias(call: Call) -> bool:
    return any(tensor.requires_grad for tensor in bias_tensors(call.bias))


def _by_blocks(call: Call, band: Band) -> Attended:
    return attend_blocks(
        Job(prepare(call, fast=True), band, "dense" if call.return_weights else "none")
    )


def _fused(call: Call, band: Band) -> Tensor:
    """The output by compiled kernels."""
    query, key, scale = _prepared(call)
    key_lead = (*call.lead[:-1], call.lead[-1] // call.groups) if call.groups > 1 else call.lead
    wide = wide_dtype(call.query.dtype)
    operands = [
        _padded(four_axes(tensor if tensor.dtype == wide else tensor.to(wide), lead))
        for tensor, lead in (
            (query, call.lead),
            (key, key_lead),
            (call.value, key_lead),
        )
    ]
    added = Added.of(call, band, wide)
    window = added.window(scale)
    if added.needs_no_tiles or needs_dispatch(*operands):
        output = windowed(operands, window, added.all_tiles())
    else:
        output = windowed_by_pieces(operands, window, added.pieces, added.tensors())
    if output.shape[-1] > call.value_features:
        output = output[..., : call.value_features]
    if len(call.lead) != 2:
        output = output.reshape(*call.lead, *output.shape[-2:])
    return output.to(call.query.dtype)


def _prepared(call: Call) -> tuple[Tensor, Tensor, float]:
    """Query and key, and the factor of their products; tokens that are not finite are so as a whole.

    What prepares features must not see those: in its derivative, 0 times them is not 0.
    """
    query, scale = query_and_scale(call)
    key = call.prepared_key
    changed = query is not call.query or key is not call.key_features
    if not (changed and call.needs_gradient) or call.known_finite:
        return query, key, scale
    query = _marked(call.query, call.score.prepare_query)
    if isinstance(call.key, Tensor):
        key = _marked(call.key, lambda clean: call.score.prepare_key(clean).features)
    return query, key, scale


def _marked(tensor: Tensor, prepare: Callable[[Tensor], Tensor]) -> Tensor:
    clean, bad = cleanse(tensor)
    return torch.where(bad[..., None], torch.nan, prepare(clean))


def _padded(tensor: Tensor) -> Tensor:
    """The kernels want whole vectors of features, which lie side by side."""
    missing = -tensor.shape[-1] % WIDTH
    if missing:
        return F.pad(tensor, (0, missing))
    tensor = tensor.resolve_neg()
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()
