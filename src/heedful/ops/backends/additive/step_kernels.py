# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""The kernels of `heedful.ops.backends.additive.steps`.

The exponentials of the keys, e^{2k}, are computed once for all steps, so the kernels read a whole memory of them
instead of the tiles of `pair`. The query is given as e^{-2q}. The formulas are those of `pair`.
"""

from __future__ import annotations

import math

import numpy as np

from heedful.ops.backends.additive.pair import SUMS, pair_gradients, tanh_of
from heedful.ops.jit.kernel import dense, inlined, kernel


@inlined(fastmath=SUMS)
def score_of(query, key, vector):
    """Σ_h v_h tanh(q_h + k_h) from the exponentials e^{-2q} and e^{2k}."""
    total = query.dtype.type(0)
    for h in range(query.shape[0]):
        total += vector[h] * tanh_of(query[h], key[h])
    return total


@inlined(fastmath=SUMS)
def normalize(weights, keep):
    """Softmax over the unmasked scores, in place; masked ones become 0."""
    top = -np.inf
    for s in range(weights.shape[0]):
        if keep[s] and weights[s] > top:
            top = weights[s]
    total = weights.dtype.type(0)
    for s in range(weights.shape[0]):
        weights[s] = math.exp(weights[s] - top) if keep[s] else weights.dtype.type(0)
        total += weights[s]
    for s in range(weights.shape[0]):
        weights[s] = weights[s] / total if keep[s] else weights.dtype.type(0)


@kernel(fastmath=SUMS)
def step_forward(part, parts, query, key, vector, values, keep, bias, weights, context):
    """Fill weights (batch, source) and context (batch, width) of sequences `part`, `part` + `parts`, …."""
    for b in range(part, query.shape[0], parts):
        for s in range(key.shape[1]):
            if keep[b, s]:
                weights[b, s] = score_of(dense(query[b]), key[b, s], vector) + bias[b, s]
        normalize(weights[b], keep[b])
        mixed = dense(context[b])
        mixed[:] = vector.dtype.type(0)
        for s in range(key.shape[1]):
            weight = weights[b, s]
            if weight != 0:
                value = dense(values[b, s])
                for c in range(mixed.shape[0]):
                    mixed[c] += weight * value[c]


@inlined(fastmath=SUMS)
def score_gradients(weights, values, context, upstream):
    """Replace `upstream`, the gradient of the weights, by the gradient of the scores."""
    sum_of_all = upstream.dtype.type(0)
    for s in range(weights.shape[0]):
        if weights[s] != 0:
            value = dense(values[s])
            product = upstream.dtype.type(0)
            for c in range(value.shape[0]):
                product += context[c] * value[c]
            upstream[s] += product
            sum_of_all += weights[s] * upstream[s]
    for s in range(weights.shape[0]):
        upstream[s] = weights[s] * (upstream[s] - sum_of_all)


@inlined(fastmath=SUMS)
def feature_gradients(g, query, key, vector, query_sum, key_sum, vector_sum):
    """Add the terms of one score, with gradient g, to the gradients of its query, its key and the vector."""
    for h in range(query.shape[0]):
        s, p = pair_gradients(query[h], key[h], g, None)
        query_sum[h] += s * vector[h]
        key_sum[h] += s * vector[h]
        vector_sum[h] += p


@kernel(fastmath=SUMS)
def step_backward(
    part, parts, query, key, vector, values, weights, context, upstream, query_sum, key_sum, copies
):
    """Backward pass of one step for sequences `part`, `part` + `parts`, …; `copies` are vector gradients per thread."""
    vector_sum = dense(copies[part])
    for b in range(part, query.shape[0], parts):
        score_gradients(weights[b], values[b], dense(context[b]), upstream[b])
        row = dense(query_sum[b])
        row[:] = query.dtype.type(0)
        for s in range(key.shape[1]):
            g = upstream[b, s]
            if g != 0:
                own = dense(key_sum[b, s])
                feature_gradients(
                    g, dense(query[b]), dense(key[b, s]), vector, row, own, vector_sum
                )
