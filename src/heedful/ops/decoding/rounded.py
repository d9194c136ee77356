# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Products of matrices that are rounded to 8 bits row by row, with sums in 32 bits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from heedful.ops.jit.kernel import (
    inlined,
    kernel,
    launch,
    load,
    maximum,
    offset_view,
    reduce_max,
    reduce_sum,
    splat,
    unavailable,
)
from heedful.ops.jit.source import LANES

LARGEST = 127
ROUND_NANOSECONDS, SCALE_NANOSECONDS = 0.3, 0.2
"""Nanoseconds of one thread for an element."""


@inlined(no_refcount=True)
def row_scale(row, features):
    """The largest magnitude over 127; NaN if a number is not finite."""
    whole = features // LANES * LANES
    zero = splat(row.dtype.type(0))
    top, sums = zero, zero
    for i in range(0, whole, LANES):
        numbers = load(row, i)
        top = maximum(maximum(numbers, zero - numbers), top)
        sums = sums + numbers
    largest, total = reduce_max(top), reduce_sum(sums)
    for i in range(whole, features):
        largest = max(largest, abs(row[i]))
        total += row[i]
    # a comparison: sums that may be reordered could cancel a NaN
    is_finite = abs(total) < np.inf
    return largest / row.dtype.type(LARGEST) if is_finite else row.dtype.type(np.nan)


@kernel(no_refcount=True)
def rounded_rows_kernel(part, parts, rows, features, result, scales):
    """result[r] = round(rows[r] / scales[r]), with scales[r] the largest magnitude of the row over 127."""
    half = rows.dtype.type(0.5)
    for r in range(part, scales.shape[0], parts):
        row, target = offset_view(rows, r * features), offset_view(result, r * features)
        scale = row_scale(row, features)
        factor = rows.dtype.type(1) / scale if scale > 0 else rows.dtype.type(0)
        for i in range(features):
            number = row[i] * factor
            target[i] = np.int32(number + half if number > 0 else number - half)
        scales[r] = scale


@kernel(no_refcount=True)
def scaled_sums_kernel(part, parts, sums, row_scales, column_scales, result):
    """result[r, c] = sums[r, c] · row_scales[r] · column_scales[c]."""
    columns = column_scales.shape[0]
    for r in range(part, row_scales.shape[0], parts):
        scale = row_scales[r]
        row, target = offset_view(sums, r * columns), offset_view(result, r * columns)
        for c in range(columns):
            target[c] = result.dtype.type(row[c]) * (scale * column_scales[c])


class RoundedMatrix:
    """The rows of a matrix as numbers of 8 bits, each row with its own scale, for products with other rounded rows.

    Args:
        rows: (rows, features), float32 on a CPU.

    >>> RoundedMatrix(torch.tensor([[1.0, 0.0], [0.0, 2.0]])).linear(torch.tensor([[3.0, 1.5]]))
    tensor([[3.0000, 3.0236]])
    """

    def __init__(self, rows: Tensor):
        self.numbers, self.scales = rounded_rows(rows)

    def linear(self, inputs: Tensor) -> Tensor:
        """Return inputs · rowsᵀ, with the inputs rounded in the same way: (n, features) -> (n, rows)."""
        numbers, scales = rounded_rows(inputs)
        sums = torch._int_mm(numbers, self.numbers.t())
        if unavailable() is not None:
            return sums * scales[:, None] * self.scales
        result = inputs.new_empty(sums.shape)
        work = SCALE_NANOSECONDS * sums.numel()
        launch(scaled_sums_kernel, sums.view(-1), scales, self.scales, result.view(-1), work=work)
        return result


def rounded_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows (rows, features) as numbers of 8 bits, and their scales (rows,)."""
    if unavailable() is not None:
        scales = rows.abs().amax(dim=1) / LARGEST
        factors = torch.where(scales > 0, 1 / scales, 0.0)
        numbers = (rows * factors[:, None]).round().nan_to_num()
        return numbers.to(torch.int8), scales + (rows - rows).sum(dim=1)
    rows = rows.contiguous()
    numbers, scales = torch.empty_like(rows, dtype=torch.int8), rows.new_empty(len(rows))
    work = ROUND_NANOSECONDS * rows.numel()
    launch(rounded_rows_kernel, rows.view(-1), rows.shape[1], numbers.view(-1), scales, work=work)
    return numbers, scales
