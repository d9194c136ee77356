# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""The loops of `heedful.ops.backends.additive.steps`."""

from __future__ import annotations

import math

import numpy as np

from heedful.ops.jit.kernel import dense, inlined, kernel

# Sums may be reordered; a division stays a division, for an estimate of 1/∞ would be refined to NaN.
SUMS = frozenset({"contract", "reassoc", "nsz"})


@inlined(fastmath=SUMS)
def score_of(query, key, vector, total):
    """Σ_h v_h tanh(q_h + k_h) of raised features, `total` being Σ_h v_h."""
    one = query.dtype.type(1)
    halves = query.dtype.type(0)
    for h in range(query.shape[0]):
        halves += vector[h] / (one + query[h] * key[h])
    return total - halves - halves


@inlined(fastmath=SUMS)
def normalize(weights, keep):
    """Softmax, in place, of the scores that are kept."""
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
def attend_forward(part, parts, query, key, vector, values, keep, bias, weights, context):
    """A step of the sentences `part`, `part` + `parts`, …."""
    total = vector.dtype.type(0)
    for h in range(vector.shape[0]):
        total += vector[h]
    for b in range(part, query.shape[0], parts):
        for s in range(key.shape[1]):
            if keep[b, s]:
                score = score_of(dense(query[b]), key[b, s], vector, total)
                weights[b, s] = score + bias[b, s]
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
    """Turn `upstream`, the gradient of the weights by other ways, into the gradient of the scores."""
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
    """Add what the gradient g of one score gives to its query, key and the vector."""
    one = query.dtype.type(1)
    four = one + one + one + one
    for h in range(query.shape[0]):
        r = one / (one + query[h] * key[h])
        inner = g * vector[h] * four * r * (one - r)
        query_sum[h] += inner
        key_sum[h] += inner
        # Rather than Σ g − 2 Σ g r at the end, which cancels.
        vector_sum[h] += g * (one - r - r)


@kernel(fastmath=SUMS)
def attend_backward(
    part, parts, query, key, vector, values, weights, context, upstream, query_sum, key_sum, copies
):
    """A step back of the sentences `part`, `part` + `parts`, …."""
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
