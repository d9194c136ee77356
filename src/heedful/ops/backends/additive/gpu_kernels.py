# mypy: disallow-untyped-defs=false, disallow-incomplete-defs=false
# mypy: disallow-untyped-calls=false, disallow-untyped-decorators=false
# ruff: noqa: N803 - compile-time constants of a Triton kernel are written in capitals
"""The additive pair on a GPU, as Triton kernels. Import this module only where Triton is installed.

Both kernels read features with a contiguous token axis, so that loads of neighbouring lanes are coalesced. They keep a
tile of queries × keys in registers while they loop over the hidden features, so nothing of size queries × keys × hidden
is written. The exponential of a + b is computed for each pair. The CPU kernels (`pair`) save it by precomputed
exponentials of a and b, but these need limits. Here exp may overflow to infinity, and 1 / infinity is correctly 0.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# Tile sizes. The backward kernel computes FEATURES features at a time, so that each upstream gradient is read once for
# all of them.
QUERIES, KEYS = 32, 64
BACKWARD_QUERIES, BACKWARD_KEYS, FEATURES = 16, 32, 4


@triton.jit
def _sigmoid_of_minus_double(x):
    return 1.0 / (1.0 + tl.exp(2.0 * x))


@triton.jit
def _scores(
    query,
    key,
    vector,
    scores,
    queries,
    keys,
    hidden,
    SLOPE: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
):
    """One tile of scores: Σ_h v_h φ(a_qh + b_kh); query is (lead, hidden, queries), key likewise."""
    lead = tl.program_id(2).to(tl.int64)
    rows = tl.program_id(0) * BLOCK_QUERIES + tl.arange(0, BLOCK_QUERIES)
    columns = tl.program_id(1) * BLOCK_KEYS + tl.arange(0, BLOCK_KEYS)
    query += lead * hidden * queries
    key += lead * hidden * keys
    total = tl.zeros((BLOCK_QUERIES, BLOCK_KEYS), dtype=scores.dtype.element_ty)
    for feature in range(hidden):
        a = tl.load(query + feature * queries + rows, mask=rows < queries, other=0.0)
        b = tl.load(key + feature * keys + columns, mask=columns < keys, other=0.0)
        x = a[:, None] + b[None, :]
        if SLOPE is None:
            activated = 1.0 - 2.0 * _sigmoid_of_minus_double(x)
        else:
            activated = tl.where(x > 0, x, SLOPE * x)
        total += tl.load(vector + lead * hidden + feature) * activated
    inside = (rows < queries)[:, None] & (columns < keys)[None, :]
    place = lead * queries * keys + rows[:, None].to(tl.int64) * keys + columns[None, :]
    tl.store(scores + place, total, mask=inside)


@triton.jit
def _gradients(
    query,
    key,
    vector,
    upstream,
    query_gradient,
    vector_gradient,
    queries,
    keys,
    hidden,
    row_stride,
    column_stride,
    SLOPE: tl.constexpr,
    BLOCK_QUERIES: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
    BLOCK_FEATURES: tl.constexpr,
):
    """Gradients Σ_k g_qk v_h φ'(x_qkh) of a block of queries, and the partial sum Σ_qk g_qk φ(x_qkh) of the vector's.

    The gradient of the keys is the same sum with query and key exchanged, and with them the strides of `upstream`.
    """
    lead = tl.program_id(2).to(tl.int64)
    rows = tl.program_id(0) * BLOCK_QUERIES + tl.arange(0, BLOCK_QUERIES)
    features = tl.program_id(1) * BLOCK_FEATURES + tl.arange(0, BLOCK_FEATURES)
    real = features < hidden
    places = lead * hidden * queries + features[:, None] * queries + rows[None, :]
    real_rows = real[:, None] & (rows < queries)[None, :]
    a = tl.load(query + places, mask=real_rows, other=0.0)
    row_sum = tl.zeros((BLOCK_FEATURES, BLOCK_QUERIES), dtype=a.dtype)
    feature_sum = tl.zeros((BLOCK_FEATURES,), dtype=a.dtype)
    for start in range(0, keys, BLOCK_KEYS):
        columns = start + tl.arange(0, BLOCK_KEYS)
        key_places = lead * hidden * keys + features[:, None] * keys + columns[None, :]
        b = tl.load(key + key_places, mask=real[:, None] & (columns < keys)[None, :], other=0.0)
        inside = (rows < queries)[:, None] & (columns < keys)[None, :]
        place = (
            lead * queries * keys
            + rows[:, None].to(tl.int64) * row_stride
            + columns[None, :] * column_stride
        )
        g = tl.load(upstream + place, mask=inside, other=0.0)[None, :, :]
        x = a[:, :, None] + b[:, None, :]
        if SLOPE is None:
            r = _sigmoid_of_minus_double(x)
            activated = 1.0 - 2.0 * r
            derivative = 4.0 * r * (1.0 - r)
        else:
            activated = tl.where(x > 0, x, SLOPE * x)
            derivative = 1.0 + (SLOPE - 1.0) * (x <= 0).to(x.dtype)
        row_sum += tl.sum(g * derivative, 2)
        feature_sum += tl.sum(tl.sum(g * activated, 2), 1)
    v = tl.load(vector + lead * hidden + features, mask=real, other=0.0)
    tl.store(query_gradient + places, row_sum * v[:, None], mask=real_rows)
    share = (lead * hidden + features) * tl.num_programs(0) + tl.program_id(0)
    tl.store(vector_gradient + share, feature_sum, mask=real)


def scores_forward(query: Tensor, key: Tensor, vector: Tensor, slope: float | None) -> Tensor:
    """Σ_h v_h φ(a_qh + b_kh): (lead, query, hidden), (lead, key, hidden), (lead, hidden) -> (lead, query, key).

    φ is tanh if `slope` is None, otherwise the leaky ReLU with that slope.
    """
    lead, queries, hidden = query.shape
    keys = key.shape[1]
    scores = query.new_empty(lead, queries, keys)
    grid = (triton.cdiv(queries, QUERIES), triton.cdiv(keys, KEYS), lead)
    _scores[grid](
        _tokens_last(query),
        _tokens_last(key),
        vector.contiguous(),
        scores,
        queries,
        keys,
        hidden,
        SLOPE=slope,
        BLOCK_QUERIES=QUERIES,
        BLOCK_KEYS=KEYS,
    )
    return scores


def scores_backward(
    upstream: Tensor, query: Tensor, key: Tensor, vector: Tensor, slope: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and vector from `upstream`, the gradient (lead, query, key) of the scores."""
    upstream, vector = upstream.contiguous(), vector.contiguous()
    sides = _tokens_last(query), _tokens_last(key)
    strides = upstream.shape[2], 1
    query_gradient, vector_gradient = _one_side(*sides, vector, upstream, strides, slope)
    key_gradient, _ = _one_side(*sides[::-1], vector, upstream, strides[::-1], slope)
    return query_gradient.transpose(1, 2), key_gradient.transpose(1, 2), vector_gradient


def _one_side(
    query: Tensor,
    key: Tensor,
    vector: Tensor,
    upstream: Tensor,
    strides: tuple[int, int],
    slope: float | None,
) -> tuple[Tensor, Tensor]:
    lead, hidden, queries = query.shape
    blocks = triton.cdiv(queries, BACKWARD_QUERIES)
    gradient = torch.empty_like(query)
    shares = query.new_empty(lead, hidden, blocks)
    _gradients[(blocks, triton.cdiv(hidden, FEATURES), lead)](
        query,
        key,
        vector,
        upstream,
        gradient,
        shares,
        queries,
        key.shape[2],
        hidden,
        *strides,
        SLOPE=slope,
        BLOCK_QUERIES=BACKWARD_QUERIES,
        BLOCK_KEYS=BACKWARD_KEYS,
        BLOCK_FEATURES=FEATURES,
    )
    return gradient, shares.sum(-1)


def _tokens_last(features: Tensor) -> Tensor:
    return features.transpose(1, 2).contiguous()
