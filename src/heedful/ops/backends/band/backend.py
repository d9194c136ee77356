"""The `band` backend: windows in time and memory that grow with length × window, and inner products without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import ClassVar

import torch
from torch.autograd import forward_ad

from heedful.ops.backends.additive.scores import fast_pair
from heedful.ops.backends.band.bias import needs_tiles
from heedful.ops.backends.band.bias_cost import added_seconds
from heedful.ops.backends.band.blocks import (
    BlockedCall,
    WeightsLayout,
    attend_blocks,
    block_rows,
)
from heedful.ops.backends.band.fused import fused_attention
from heedful.ops.backends.band.global_positions import (
    GlobalLayout,
    GlobalMask,
    attend_with_globals,
)
from heedful.ops.backends.band.layout import BandLayout
from heedful.ops.backends.band.shape import ROWS, WIDTH
from heedful.ops.backends.band.sparse_launch import part_bytes, row_keys
from heedful.ops.backends.band.window import Band, band_of, whole_band
from heedful.ops.backends.base import (
    Backend,
    Cost,
    for_vectors,
    tensor_bytes,
    threads,
    wide_dtype,
    without_autocast,
)
from heedful.ops.backends.chunked import Chunked
from heedful.ops.backends.reference import prepare, token_bytes
from heedful.ops.call import Attended, Call, bias_tensors
from heedful.ops.finite import in_jit_trace, in_torch_func, is_eager
from heedful.ops.jit.kernel import unavailable
from heedful.ops.jit.operators import needs_dispatch
from heedful.ops.normalizers import SinkSoftmax, Softmax
from heedful.ops.normalizers.sparse import is_sparse
from heedful.ops.scores.base import PRODUCT_KINDS

OPEN = "nothing in its mask bounds on both sides how far a query sees, as Window(left, right) does"
BLOCK_CALL, BLOCK_BACKWARD_CALL = 250e-6, 980e-6
"""Seconds of a block of a call block by block, however small: forward and backward."""
SHORT, SHORT_COPIED = 2**23, 2**25
"""Multiply-adds per thread below which a call without a window is short; the second where features are padded, which
copies query, key and value."""
FEW_SHORT = 3.5e6 / 2**23
"""The same with fewer queries than a block has, relative to these: PyTorch's kernel then starts anew for each head."""
DROPPED_CELL = 0.3e-9
"""Seconds of the random bit of one score."""
CHUNKED = Chunked()
WIDE_COST = Cost(
    call=63e-6,
    backward_call=160e-6,
    multiply_add=0.0105e-9,
    cell=0.2e-9,
    transcendental=6.6e-9,
    backward=2.5,
    head=0.15e-6,
)
NARROW_COST = Cost(
    call=63e-6,
    backward_call=160e-6,
    multiply_add=0.0190e-9,
    cell=0.3e-9,
    transcendental=6.6e-9,
    backward=2.5,
    head=0.15e-6,
)


class Banded(Backend):
    """Every score and normalizer, under a mask that bounds the window of a query on both sides.

    Inner products under softmax are computed by compiled kernels, also with a soft cap or a sink, and those under
    sparsemax and entmax by kernels that normalize whole rows. They also serve unbounded sides, where mask and bias
    depend on distance and key lengths alone or PyTorch's kernel does not serve the call. All else is computed block by
    block in PyTorch.

    Sliding-window attention: Beltagy et al. 2020, https://arxiv.org/abs/2004.05150. A row is normalized over its whole
    window, so every normalizer is exact.
    """

    name: ClassVar[str] = "band"
    length_rank: ClassVar[int] = 1
    why: ClassVar[str] = (
        "only the cells inside the window are computed, in blocks along the diagonal"
    )
    cost: ClassVar[Cost] = for_vectors(wide=WIDE_COST, narrow=NARROW_COST)

    def supports(self, call: Call) -> str | None:
        kernels = uses_kernels(call)
        # While traced the kernels are one operator, but block by block the backward pass recomputes.
        if in_torch_func() or in_jit_trace() or (torch.compiler.is_compiling() and not kernels):
            return "its recomputation cannot be traced by torch.func, torch.jit or torch.compile"
        if forward_ad._current_level >= 0:
            return (
                "neither its compiled kernels nor its recomputation have a forward-mode derivative"
            )
        if band_of(call) is None and not serves_open_sides(call) and global_mask(call) is None:
            return OPEN
        return None

    def cost_of(self, call: Call) -> Cost:
        if uses_kernels(call):
            return self.cost
        # Block by block it does what chunked does, for fewer pairs.
        by_block, blocks = CHUNKED.cost_of(call), 1
        band = band_of(call)
        if band is not None:
            blocks = max(1, -(-call.num_queries // block_rows(call, band)))
        return replace(
            by_block, call=blocks * BLOCK_CALL, backward_call=blocks * BLOCK_BACKWARD_CALL
        )

    def dropout_cell_seconds(self, call: Call) -> float:
        return DROPPED_CELL if uses_kernels(call) else super().dropout_cell_seconds(call)

    def is_fused(self, call: Call) -> bool:
        """Whether the compiled kernels compute it, which never store their scores."""
        return uses_kernels(call)

    def seconds(self, call: Call) -> float:
        mask = global_mask(call)
        if mask is not None:
            more = 2 * (self.cost.call + (self.cost.backward_call if call.needs_gradient else 0))
            return self.seconds_for(call, mask.cells(call)) + more
        if band_of(call) is None and (not serves_open_sides(call) or _is_short(call)):
            return float("inf")
        cells = self.cells(call)
        if not uses_kernels(call):
            return self.seconds_for(call, cells)
        padding = cells * _missing_features(call) * self.cost.multiply_add / threads()
        seconds = self.seconds_for(call, cells)
        seconds += padding * (1 + self.cost.backward if call.needs_gradient else 1)
        if needs_tiles(call):
            seconds += added_seconds(call, cells) * (3 if call.needs_gradient else 1)
        return seconds

    def cells(self, call: Call) -> int:
        band = band_of(call)
        if band is None:
            cells = call.lead_size * whole_band(call).cells
            return cells * -(-call.num_queries // ROWS) * ROWS // max(1, call.num_queries)
        rows = ROWS if uses_kernels(call) else block_rows(call, band)
        reach = min(call.num_keys, min(rows, call.num_queries) + band.width)
        queries = call.num_queries
        if uses_kernels(call):
            queries = -(-queries // ROWS) * ROWS  # the kernels compute whole blocks
        return call.lead_size * queries * reach

    def bytes_at_once(self, call: Call) -> int:
        if not is_sparse(call.normalizer) or not uses_kernels(call):
            return 0
        band = whole_band(call)
        return threads() * part_bytes(
            row_keys(band.left, band.right, call.num_keys), call.query.dtype
        )

    def bytes_kept(self, call: Call) -> int:
        if not call.needs_gradient:
            return 0
        weights = call.cells * call.query.element_size() if call.return_weights else 0
        if not self.is_fused(call):
            return token_bytes(call) + weights
        wide, keeps_half = wide_dtype(call.query.dtype).itemsize, _keeps_half(call)
        operands = (call.prepared_query, call.prepared_key, call.value)
        padded = 0
        for tensor in operands:
            missing = -tensor.shape[-1] % WIDTH
            if missing:
                tokens = tensor.numel() // max(1, tensor.shape[-1])
                width = tensor.element_size() if keeps_half else wide
                padded += tokens * (tensor.shape[-1] + missing) * width
        inputs = token_bytes(call)
        if keeps_half:
            whole = {id(one): one for one in (*operands, call.query, call.key_features)}
            inputs = tensor_bytes(*whole.values())
        features = call.value_features + -call.value_features % WIDTH
        width = call.value.element_size() if keeps_half else wide
        output = call.lead_size * call.num_queries * (features * width + wide)
        return inputs + padded + output + weights

    def run(self, call: Call) -> Attended:
        return self.bind(call)(call)

    def bind(self, call: Call) -> Callable[[Call], Attended]:
        mask = global_mask(call)
        if mask is not None:
            layout = GlobalLayout.of(call, mask, keeps_half=_keeps_half(call))
            return partial(attend_with_globals, layout=layout)
        static = prepare_static(call)
        if isinstance(static, BandLayout):
            return partial(fused_attention, layout=static)
        return partial(_attend_by_blocks, static)


def _attend_by_blocks(band: Band, call: Call) -> Attended:
    weights: WeightsLayout = "dense" if call.return_weights else "none"
    operands = prepare(call, fast_pair)
    with without_autocast(call.query.device):
        return attend_blocks(BlockedCall(operands, band, weights))


def prepare_static(call: Call) -> BandLayout | Band:
    """The static part of a call that the backend serves, which holds for every call of the same signature.

    A `BandLayout` for `fused_attention` where the compiled kernels compute it, else the `Band` for `attend_blocks`.
    It follows from shapes, dtypes, the score, gradient and tracing state, and the masks without their tensors.

    >>> from heedful.ops.arguments import validated
    >>> from heedful.ops.masks import Window
    >>> from heedful.ops.normalizers import ReLU
    >>> from heedful.ops.scores import ScaledDot
    >>> x = torch.randn(2, 5, 8)
    >>> prepare_static(validated(x, x, x, ScaledDot(), Window(1, 9), None, ReLU(), 0.0, False, False))
    Band(left=1, right=9, num_queries=5, num_keys=5)
    """
    band = band_of(call) or whole_band(call)
    # The sides that exist may leave nothing, where those that the mask names do not.
    if uses_kernels(call) and band.fitted().width:
        return BandLayout.of(call, band.fitted(), keeps_half=_keeps_half(call))
    return band


def _keeps_half(call: Call) -> bool:
    """Whether the kernels read half precision as it is; the operator that is traced gets float32."""
    return is_eager() and not needs_dispatch(call.query) and not is_sparse(call.normalizer)


def uses_kernels(call: Call) -> bool:
    """Whether the compiled kernels serve a call under a bounded window: inner products on a CPU.

    Under softmax, and where nothing is traced under sparsemax and entmax.
    """
    if call.score.pair_kind not in PRODUCT_KINDS:
        return False
    sparse = is_sparse(call.normalizer)
    if not isinstance(call.normalizer, Softmax | SinkSoftmax) and not sparse:
        return False
    if not call.query.is_cpu or unavailable() is not None:
        return False
    if (call.dropout_p or sparse) and (not is_eager() or needs_dispatch(call.query)):
        return False  # the operator that is traced has neither dropout nor sparsemax
    return not any(tensor.requires_grad for tensor in bias_tensors(call.bias))


def global_mask(call: Call) -> GlobalMask | None:
    """The window with global positions that is the call's mask, where the kernels serve it; else None."""
    if call.dropout_p or call.bias is not None or call.return_weights:
        return None
    if not isinstance(call.normalizer, Softmax) or not uses_kernels(call):
        return None
    if not is_eager() or needs_dispatch():
        return None
    mask = GlobalMask.of(call)
    return mask if mask is not None and mask.parts(call) else None


def serves_open_sides(call: Call) -> bool:
    """Whether the compiled kernels serve a call whose mask leaves a side unbounded."""
    # A compiled or exported program keeps an operator that other tools know.
    return not torch.compiler.is_compiling() and uses_kernels(call)


def is_short(queries: int, pairs: int, features: int, values: int) -> bool:
    """Whether a call without a window is left to PyTorch's kernel, which starts sooner: little work for all heads."""
    copied = features % WIDTH or values % WIDTH
    least = (SHORT_COPIED if copied else SHORT) * threads() * (FEW_SHORT if queries < ROWS else 1)
    rows = max(ROWS, queries)
    return pairs * rows // max(1, queries) * (features + values) < least


def _is_plain(call: Call) -> bool:
    """Whether PyTorch's kernel computes scores and weights: no soft cap, no sink and no dropout."""
    return (
        not call.dropout_p
        and call.score.pair_kind == "dot"
        and isinstance(call.normalizer, Softmax)
    )


def _is_short(call: Call) -> bool:
    return _is_plain(call) and is_short(
        call.num_queries, call.cells, call.pair_features, call.value_features
    )


def _missing_features(call: Call) -> int:
    """Features that padding adds to those of a pair and of a value."""
    return -call.pair_features % WIDTH + -call.value_features % WIDTH
