# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""A bias tensor of queries and keys, read by the banded kernels where it lies."""

from __future__ import annotations

from heedful.ops.backends.band.shape import ROWS
from heedful.ops.jit.kernel import inlined, load, offset_view, store, transpose_block
from heedful.ops.jit.source import LANES

SPACE = LANES * LANES
"""Scratch numbers for one transposed square."""


@inlined(no_refcount=True)
def add_pair_bias(scores, count, rows, bias, step, square):
    """scores[k, q] += bias[q, k]; the rows of the bias lie `step` apart, and keys beside each other."""
    for row in range(0, rows, LANES):
        for k in range(0, count, LANES):
            if row + LANES <= rows and k + LANES <= count:
                transpose_block(bias, row * step + k, step, square, 0, LANES)
                for i in range(LANES):
                    here = (k + i) * ROWS + row
                    store(scores, here, load(scores, here) + load(square, i * LANES))
            else:
                for r in range(row, min(rows, row + LANES)):
                    from_row = offset_view(bias, r * step)
                    for c in range(k, min(count, k + LANES)):
                        scores[c * ROWS + r] += from_row[c]
