"""Launches the CPU kernels of additive attention under softmax: one forward, one backward.

Saved between the passes are the outputs and the logsumexp of each row, so memory is linear in the lengths.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

import torch
from torch import Tensor

from heedful.ops.backends.additive.backward import additive_backward, backward_numbers
from heedful.ops.backends.additive.forward import additive_forward, forward_numbers
from heedful.ops.backends.additive.layout import (
    Layout,
    flat,
    is_by_unit,
    layout_of,
    summed,
    unit_places,
)
from heedful.ops.backends.additive.visible import Visible, unexpanded
from heedful.ops.jit.kernel import Argument, launch, parts_for
from heedful.ops.jit.scratch import scratch
from heedful.ops.jit.source import Compiled

# Nanoseconds of one core in float32: a feature of a pair, a multiply-add of weights · values, an exponential of a key.
FORWARD = 0.025, 0.01, 0.3
BACKWARD = 0.08, 0.03, 0.7
ROWS, NUMBERS = 128, 32768
"""Maximum rows, and elements of features, of a block, so that they stay in the cache."""

Four = tuple[Tensor, Tensor, Tensor, Tensor]
"""Query, key, value and vector, as in `attend_forward`."""


@lru_cache(256)
def block_rows(queries: int, hidden: int, shares: int) -> int:
    """Number of rows of a block, such that `shares` threads get about equally many blocks."""
    most = max(1, min(queries, ROWS, max(32, NUMBERS // hidden)))
    blocks = -(-queries // most)
    if queries // blocks >= 32:
        blocks = -(-blocks // shares) * shares
    return max(1, -(-queries // blocks))


@lru_cache(256)
def work_of(layout: Layout, before: int, after: int, costs: tuple[float, float, float]) -> float:
    """Estimated nanoseconds of one thread."""
    pair, mix, exponential = costs
    near = min(layout.keys, max(0, before + after + 1)) / max(1, layout.keys)
    cells = layout.pairs * near * (layout.hidden * pair + layout.width * mix)
    return cells + layout.units * layout.keys * layout.hidden * exponential


@lru_cache(256)
def forward_sizes(layout: Layout, parts: int) -> tuple[int, int]:
    """Rows of a block, and elements of scratch per thread."""
    shares = parts // math.gcd(parts, layout.units)
    rows = block_rows(layout.queries, layout.hidden, shares)
    return rows, forward_numbers(rows, layout.keys, layout.hidden)


@cache
def empty_tensor(dtype: torch.dtype) -> Tensor:
    """An empty tensor, which stands for no weights or no bias."""
    with torch.inference_mode(False):
        return torch.empty(0, dtype=dtype, device="cpu")


def attend_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    vector: Tensor,
    visible: Visible,
    slope: float | None = None,
    needs_weights: bool = False,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Outputs (*lead, query, width), the logsumexp of each row (*lead, query), and weights (*lead, query, key) or None.

    Query (*lead, query, hidden), key (*lead, key, hidden), value (*lead, key, width) and vector (*lead, hidden) are
    `dense`; leading axes broadcast.
    """
    layout = _layout(query, key, value, vector)
    lead, units, queries = layout.lead, layout.units, layout.queries
    work = work_of(layout, visible.before, visible.after, FORWARD)
    parts = parts_for(work)
    rows, numbers = forward_sizes(layout, parts)
    output = query.new_empty(units * queries * layout.width)
    sums = query.new_empty(units * queries)
    weights = query.new_empty(layout.pairs) if needs_weights else empty_tensor(query.dtype)
    results = rows, output, sums, weights, scratch(parts, numbers, query.dtype)
    _launch(
        additive_forward, (query, key, value, vector), layout, visible, slope, results, work, parts
    )
    return (
        output.view(*lead, queries, layout.width),
        sums.view(*lead, queries),
        weights.view(*lead, queries, layout.keys) if needs_weights else None,
    )


def attend_backward(
    tensors: Four,
    visible: Visible,
    slope: float | None,
    output: Tensor,
    sums: Tensor,
    upstream: Tensor,
) -> tuple[Tensor, ...]:
    """Gradients of query, key, value and vector from `upstream`, the gradient of the outputs."""
    query, key, value, vector = tensors
    layout = _layout(query, key, value, vector)
    units, queries = layout.units, layout.queries
    work = work_of(layout, visible.before, visible.after, BACKWARD)
    parts = parts_for(work)
    by_unit = is_by_unit(units, queries, parts)
    copies = 1 if by_unit else parts
    rows = block_rows(queries, layout.hidden, copies)
    of_query = query.new_empty(1, units * queries * layout.hidden)
    of_key = query.new_zeros(copies, units * layout.keys * layout.hidden)
    of_value = query.new_zeros(copies, units * layout.keys * layout.width)
    of_vector = query.new_zeros(parts, vector.numel())
    results = (
        rows,
        by_unit,
        upstream.resolve_neg().contiguous().view(-1),
        output.view(-1),
        sums.view(-1),
        of_query.view(-1),
        of_key,
        of_value,
        of_vector,
        scratch(parts, backward_numbers(rows, layout.hidden, layout.width), query.dtype),
    )
    _launch(additive_backward, tensors, layout, visible, slope, results, work, parts)
    lead = layout.lead
    return (
        summed(of_query, (*lead, queries, layout.hidden), query.shape),
        summed(of_key, (*lead, layout.keys, layout.hidden), key.shape),
        summed(of_value, (*lead, layout.keys, layout.width), value.shape),
        summed(of_vector, vector.shape, vector.shape),
    )


def _layout(query: Tensor, key: Tensor, value: Tensor, vector: Tensor) -> Layout:
    return layout_of(
        query.shape,
        query.stride(),
        key.shape,
        key.stride(),
        vector.shape,
        vector.stride(),
        value.shape,
        value.stride(),
    )


def _launch(
    kernel: Compiled,
    tensors: Four,
    layout: Layout,
    visible: Visible,
    slope: float | None,
    results: tuple[Argument, ...],
    work: float,
    parts: int,
) -> None:
    """Launch a kernel once, or once for each block of rows of the added mask and bias."""
    query, key, value, vector = tensors
    lengths, added = visible.lengths, visible.added
    given = (
        slope,
        query.view(-1) if query.is_contiguous() else flat(query),
        key.view(-1) if key.is_contiguous() else flat(key),
        value.view(-1) if value.is_contiguous() else flat(value),
        vector.view(-1) if vector.is_contiguous() else flat(vector),
        layout.places,
        layout.all_keys if lengths is None else lengths.view(-1),
        layout.queries,
        layout.keys,
        layout.hidden,
        *layout.strides,
        visible.before,
        visible.after,
    )
    if added is None:
        no_bias = empty_tensor(query.dtype), layout.all_keys, 0, 0, layout.queries
        launch(kernel, *given, *no_bias, *results, work=work, parts=parts)
        return
    for first, last, piece in added.pieces():
        tile = unexpanded(piece)
        tile = tile.expand(*tile.shape[:-1], layout.keys).contiguous()
        begins = unit_places(layout.lead, ((tile.shape[:-2], tile.stride()[:-2]),)).view(-1)
        step = 0 if tile.shape[-2] == 1 else layout.keys
        piece_arguments = tile.view(-1), begins, step, first, last
        launch(kernel, *given, *piece_arguments, *results, work=work, parts=parts)
