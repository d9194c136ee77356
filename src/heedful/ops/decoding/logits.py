# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Kernels over rows of logits: log Σ exp, and the largest with their columns. Each reads a row once or twice in all."""

from __future__ import annotations

import math

import numpy as np

from heedful.ops.jit.kernel import (
    exp_below_one,
    inlined,
    kernel,
    load,
    maximum,
    offset_view,
    reduce_max,
    reduce_sum,
    splat,
)
from heedful.ops.jit.source import LANES

BLOCK = 64
"""Columns that are passed over together where their maximum is too small."""
LOGSUMEXP_NANOSECONDS, BEST_NANOSECONDS = 0.3, 0.15
"""Nanoseconds of one thread for an element."""


@inlined(no_refcount=True)
def largest(row, begin, end):
    """The largest of row[begin:end], or -inf; NaN is passed over."""
    whole = begin + (end - begin) // LANES * LANES
    top = splat(row.dtype.type(-np.inf))
    for c in range(begin, whole, LANES):
        top = maximum(load(row, c), top)
    best = reduce_max(top)
    for c in range(whole, end):
        best = max(best, row[c]) if row[c] == row[c] else best
    return best


@kernel(no_refcount=True)
def row_logsumexp(part, parts, logits, columns, result):
    """result[r] = log Σ_c exp(logits[r, c]): NaN where a logit is, -inf where all are, inf where one is."""
    for r in range(part, result.shape[0], parts):
        row = offset_view(logits, r * columns)
        top = largest(row, 0, columns)
        if top == np.inf or top == -np.inf:
            # -inf is also the largest of a row of NaN
            result[r] = top
            for c in range(columns):
                if row[c] != row[c]:
                    result[r] = row[c]
            continue
        whole = columns // LANES * LANES
        sums = splat(result.dtype.type(0))
        for c in range(0, whole, LANES):
            sums = sums + exp_below_one(load(row, c) - top)
        total = reduce_sum(sums)
        for c in range(whole, columns):
            total += math.exp(row[c] - top)
        result[r] = top + math.log(total)


@kernel(no_refcount=True)
def row_best(part, parts, logits, columns, width, values, places):
    """Write the `width` largest of each row, largest first, and their columns; of equal ones the first stands first.

    A row with fewer numbers than that, the others being NaN, ends with -inf in column 0.
    """
    for r in range(part, values.shape[0] // width, parts):
        row = offset_view(logits, r * columns)
        best, where = offset_view(values, r * width), offset_view(places, r * width)
        for i in range(width):
            best[i], where[i] = -np.inf, 0
        found = 0
        for begin in range(0, columns, BLOCK):
            end = min(begin + BLOCK, columns)
            if found == width and not largest(row, begin, end) > best[width - 1]:
                continue
            for c in range(begin, end):
                number = row[c]
                if number > best[width - 1] or (found < width and number == number):
                    found = min(found + 1, width)
                    i = found - 1
                    while i > 0 and best[i - 1] < number:
                        best[i], where[i] = best[i - 1], where[i - 1]
                        i -= 1
                    best[i], where[i] = number, c
