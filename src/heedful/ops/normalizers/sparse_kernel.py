# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""CPU kernels of sparsemax and entmax, forward and backward, one row at a time so that it stays in cache."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from heedful.ops.jit.kernel import inlined, kernel, launch, parts_for
from heedful.ops.jit.scratch import whole_lines
from heedful.ops.jit.source import KEEPS_NAN

BLOCK = 16
"""Scores that are tested together for whether any can have weight."""
# Nanoseconds per score on one thread: for α = 1.5 and 2, and for other α, which need general powers.
SIMPLE, POWERS = 1.0, 10.0
STEEPEST = 1e250
"""Largest slope of a weight in float64, so that sums of slopes times gradients stay finite."""


def sparse_weights(scores: Tensor, keep: Tensor | None, excess: Tensor) -> Tensor:
    """[(α−1)e − τ]₊^{1/(α−1)}, 0 where `keep` is False, with τ such that each row sums to 1.

    `scores` is (..., key) on the CPU, and `keep` broadcasts to it. `excess` is α − 1 in float64, (1,) or one element
    per row. A fully masked row is 0. A row with an unmasked NaN or +inf is NaN, and so is one whose unmasked scores
    are all -inf.
    """
    length = scores.shape[-1]
    rows = scores.reshape(-1, length)
    weights = torch.empty_like(rows)
    mask = mask_row = None
    if keep is not None:
        # A mask row shared by several rows of scores is not copied: each row has an index into the mask's rows.
        mask = keep.expand(*keep.shape[:-1], length).reshape(-1, length)
        mask_row = (
            torch.arange(len(mask), device="cpu")
            .view(keep.shape[:-1])
            .expand(scores.shape[:-1])
            .reshape(-1)
        )
    work = rows.numel() * nanoseconds(excess)
    parts = parts_for(work)
    room = whole_lines(length + BLOCK)
    candidates = rows.new_empty(parts, room, dtype=torch.float64)
    columns = rows.new_empty(parts, room, dtype=torch.int32)
    arguments = rows, mask, mask_row, excess, weights, candidates, columns
    launch(weights_by_row, *arguments, work=work, parts=parts)
    return weights.view(scores.shape)


def sparse_gradient(weights: Tensor, gradient: Tensor, excess: Tensor) -> Tensor:
    """Gradient of the scores from that of the weights: s·(g − ⟨s, g⟩/⟨s, 1⟩), with s = w^{2−α} where w ≠ 0, else 0.

    For α > 2, s is largest at the smallest weight, so g is counted from there, which changes nothing but the rounding.
    """
    length = weights.shape[-1]
    result = torch.empty_like(weights, memory_format=torch.contiguous_format)
    rows = weights.reshape(-1, length), gradient.reshape(-1, length), result.view(-1, length)
    launch(gradient_by_row, *rows, excess, work=weights.numel() * nanoseconds(excess))
    return result


def nanoseconds(excess: Tensor) -> float:
    """Estimated time of one score on one thread, for α − 1 of one or several rows or heads."""
    first = excess.flatten()[:1]
    is_simple = len(first) and first.item() in (1.0, 0.5) and bool((excess == first).all())
    return SIMPLE if is_simple else POWERS


@kernel
def weights_by_row(part, parts, scores, keep, mask_row, excess, weights, candidates, columns):
    """Write the weights of one part's rows.

    `candidates` and `columns` are scratch memory per part. `mask_row` maps rows of scores to rows of `keep`.
    """
    rows = scores.shape[0]
    for row in range(rows * part // parts, rows * (part + 1) // parts):
        row_excess = excess[row if len(excess) > 1 else 0]
        if keep is None:
            top, finite = row_max(scores[row])
        else:
            top, finite = kept_max(scores[row], keep[mask_row[row]])
        for j in range(weights.shape[1]):
            weights[row, j] = 0.0
        if top == -math.inf and finite:
            continue
        if not finite:
            top = kept_max_or_nan(scores[row], keep, mask_row, row)
        if math.isinf(top) or math.isnan(top):
            for j in range(weights.shape[1]):
                if keep is None or keep[mask_row[row], j]:
                    weights[row, j] = math.nan
            continue
        if keep is None:
            count = gather(scores[row], top, row_excess, candidates[part], columns[part])
        else:
            count = gather_kept(
                scores[row], keep[mask_row[row]], top, row_excess, candidates[part], columns[part]
            )
        write_weights(weights[row], candidates[part], columns[part], count, row_excess)


@inlined(fastmath=KEEPS_NAN | {"nnan"})
def larger(a, b):
    """The larger of two numbers. With `nnan` LLVM vectorizes a reduction by it; the caller handles NaN."""
    return a if a > b else b


@inlined
def row_max(row):
    """The maximum of a row and whether all scores are finite; if not, the maximum may be wrong."""
    top, finite = row.dtype.type(-math.inf), True
    for j in range(len(row)):
        top = larger(top, row[j])
        finite &= abs(row[j]) < math.inf
    return top, finite


@inlined
def kept_max(row, keep):
    """`row_max` of the unmasked scores; the maximum of a fully masked row is -inf."""
    low = row.dtype.type(-math.inf)
    top, finite = low, True
    for j in range(len(row)):
        top = larger(top, row[j] if keep[j] else low)
        finite &= (abs(row[j]) < math.inf) | (not keep[j])
    return top, finite


@inlined
def kept_max_or_nan(row, keep, mask_row, index):
    """The maximum of the unmasked scores, or NaN if one of them is NaN."""
    top = row.dtype.type(-math.inf)
    for j in range(len(row)):
        if keep is None or keep[mask_row[index], j]:
            if math.isnan(row[j]):
                return row[j]
            if row[j] > top:
                top = row[j]
    return top


@inlined
def gather(row, top, excess, candidates, columns):
    """Collect the scores e that can have weight: those at most 1/(α−1) below the maximum m.

    Writes z = (α−1)(e − m), between −1 and 0, to `candidates` and their indices to `columns`; returns their number.
    Entries are written unconditionally and only the counter depends on the comparison, which avoids branches.
    """
    floor = row.dtype.type(top - 1 / excess)
    count, whole = 0, len(row) // BLOCK * BLOCK
    for start in range(0, whole, BLOCK):
        any_above = False
        for j in range(start, start + BLOCK):
            any_above |= row[j] >= floor
        if any_above:
            for j in range(start, start + BLOCK):
                candidates[count] = (float(row[j]) - top) * excess
                columns[count] = j
                count += row[j] >= floor
    for j in range(whole, len(row)):
        candidates[count] = (float(row[j]) - top) * excess
        columns[count] = j
        count += row[j] >= floor
    return count


@inlined
def gather_kept(row, keep, top, excess, candidates, columns):
    """`gather` of the unmasked scores."""
    floor = row.dtype.type(top - 1 / excess)
    count, whole = 0, len(row) // BLOCK * BLOCK
    for start in range(0, whole, BLOCK):
        any_above = False
        for j in range(start, start + BLOCK):
            any_above |= (row[j] >= floor) & keep[j]
        if any_above:
            for j in range(start, start + BLOCK):
                candidates[count] = (float(row[j]) - top) * excess
                columns[count] = j
                count += (row[j] >= floor) & keep[j]
    for j in range(whole, len(row)):
        candidates[count] = (float(row[j]) - top) * excess
        columns[count] = j
        count += (row[j] >= floor) & keep[j]
    return count


@inlined(no_refcount=True)
def support_of_row(row, excess, candidates, columns):
    """Write the positive weights of a row to `candidates` and their places to `columns`, and return their number.

    −1 where a score is NaN or positive infinity; minus infinity hides. A weight is rounded to the type of the scores.
    """
    top, fine = row.dtype.type(-math.inf), True
    for j in range(len(row)):
        top = larger(top, row[j])
        fine &= row[j] < math.inf
    if not fine:
        return -1
    if top == -math.inf:
        return 0
    count = weigh(candidates, columns, gather(row, top, excess, candidates, columns), excess)
    kept = 0
    for c in range(count):
        weight = row.dtype.type(candidates[c])
        candidates[kept], columns[kept] = weight, columns[c]
        kept += weight != 0
    return kept


@inlined
def write_weights(weights, candidates, columns, count, excess):
    """Find the threshold τ and write the weights of the candidates above it."""
    for c in range(weigh(candidates, columns, count, excess)):
        weights[columns[c]] = candidates[c]


@inlined
def weigh(candidates, columns, count, excess):
    """Replace the candidates above the threshold τ by their weights, move them to the front, return their number."""
    if excess > 1:
        weigh_steeply(candidates, count, excess)
        return count
    threshold, count = newton(candidates, columns, count, excess)
    kept = 0
    for c in range(count):
        above = candidates[c] - threshold
        if above > 0:
            columns[kept] = columns[c]
            if excess == 1:
                candidates[kept] = above
            elif excess == 0.5:
                candidates[kept] = above * above
            else:
                candidates[kept] = above ** (1 / excess)
            kept += 1
    return kept


@inlined
def newton(candidates, columns, count, excess):
    """τ for α ≤ 2, by Newton's method on (Σ[z − τ]₊^p)^{1/p} = 1 with p = 1/(α−1).

    The norm is convex and decreasing in τ, so steps from the left never overshoot and τ increases monotonically.
    Candidates below τ are removed on the way. For sparsemax this is the algorithm of Michelot 1986, which reaches the
    solution in finitely many steps.
    """
    threshold, power = -1.0, 1 / excess
    for _ in range(100):
        total, slope, remaining = 0.0, 0.0, 0
        for c in range(count):
            above = candidates[c] - threshold
            if above > 0:
                candidates[remaining] = candidates[c]
                columns[remaining] = columns[c]
                remaining += 1
                if excess == 1:
                    total += above
                    slope += 1
                elif excess == 0.5:
                    total += above * above
                    slope += above
                else:
                    raised = above ** (power - 1)
                    total += raised * above
                    slope += raised
        count = remaining
        step = (total - total ** (1 - excess)) / slope
        threshold += step
        if step < 1e-15:
            break
    return threshold, count


@inlined
def weigh_steeply(candidates, count, excess):
    """Replace candidates by weights for α > 2, by bisection on the weight of the maximum, which lies in [1/n, 1].

    −τ = largest^(α−1) is soon too small for a bisection on τ, or for a number: 1,000 equal scores under α = 10 have
    −τ = 10^−27. The division makes up for the rounding of a weight that is near the threshold, where it is steep.
    """
    low, width = 1.0 / count, 1.0 - 1.0 / count
    for _ in range(60):
        width /= 2
        if steep_sum(candidates, count, low + width, excess) <= 1:
            low += width
    total = steep_sum(candidates, count, low, excess)
    for c in range(count):
        candidates[c] = steep_weight(candidates[c], low, low**excess, excess) / total


@inlined
def steep_sum(candidates, count, largest, excess):
    """The sum of weights where that of the maximum is `largest`."""
    total, above = 0.0, largest**excess
    for c in range(count):
        total += steep_weight(candidates[c], largest, above, excess)
    return total


@inlined
def steep_weight(candidate, largest, above, excess):
    """[z − τ]₊^{1/(α−1)} of one candidate z ≤ 0, where −τ is `above`, which may be 0."""
    if candidate == 0:
        return largest
    return (candidate + above) ** (1 / excess) if candidate + above > 0 else 0.0


@kernel
def gradient_by_row(part, parts, weights, gradient, result, excess):
    """Write the gradient of the scores for one part's rows to `result`."""
    rows, length = weights.shape
    zero = weights.dtype.type(0)
    for row in range(rows * part // parts, rows * (part + 1) // parts):
        row_excess = excess[row if len(excess) > 1 else 0]
        if row_excess > 1:
            for j in range(length):
                result[row, j] = gradient[row, j]
            differentiate_row(weights[row], result[row], 1, length, row_excess)
            continue
        slopes(weights[row], result[row], row_excess)
        total, weighted = zero, zero
        for j in range(length):
            slope = result[row, j]
            total += slope
            # The upstream gradient may be NaN where the weight is 0.
            weighted += slope * gradient[row, j] if slope != 0 else zero
        mean = weighted / total if total != 0 else zero
        for j in range(length):
            slope = result[row, j]
            result[row, j] = slope * (gradient[row, j] - mean) if slope != 0 else zero


@inlined
def steep_slope(weight, excess):
    """w^{2−α}, at most `STEEPEST`."""
    slope = float(weight) ** (1 - excess)
    return STEEPEST if slope > STEEPEST else slope


@inlined
def slope_of(weight, excess):
    """w^{2−α} of one positive weight in float64."""
    if excess == 1:
        return 1.0
    if excess == 0.5:
        return math.sqrt(weight)
    return steep_slope(weight, excess)


@inlined(no_refcount=True)
def gradient_of_alpha(weights, gradients, step, count, excess):
    """Σ_e g_e ∂w_e/∂α of one row, as in `heedful.ops.normalizers.sparse_function`, in float64; `step` lies between."""
    total, entropy = 0.0, 0.0
    for e in range(0, count * step, step):
        if weights[e] != 0:
            weight = float(weights[e])
            total += slope_of(weight, excess)
            entropy -= weight * math.log(weight)
    found = 0.0
    for e in range(0, count * step, step):
        if weights[e] != 0:
            weight = float(weights[e])
            share = slope_of(weight, excess) / total
            change = (weight - share) / excess - weight * math.log(weight) - share * entropy
            found += gradients[e] * change / excess
    return found


@inlined(no_refcount=True)
def differentiate_row(weights, products, step, count, excess):
    """Replace the gradients of one row's weights by those of its scores: s (g − mean by s), s = w^(2−α) where w ≠ 0.

    The entries lie `step` apart. Counted from the gradient of the smallest weight, whose slope is the largest for
    α > 2, which changes nothing but the rounding.
    """
    smallest, origin = math.inf, 0.0
    for e in range(0, count * step, step):
        if weights[e] != 0 and weights[e] < smallest:
            smallest, origin = float(weights[e]), float(products[e])
    total, weighted = 0.0, 0.0
    for e in range(0, count * step, step):
        if weights[e] != 0:
            slope = slope_of(float(weights[e]), excess)
            total += slope
            weighted += slope * (float(products[e]) - origin)
    mean = weighted / total if total != 0 else 0.0
    for e in range(0, count * step, step):
        if weights[e] != 0:
            slope = slope_of(float(weights[e]), excess)
            products[e] = slope * (float(products[e]) - origin - mean)
        else:
            products[e] = 0


@inlined
def slopes(weights, result, excess):
    """Write s = w^{2−α} where w ≠ 0, else 0, to `result`."""
    zero, one = weights.dtype.type(0), weights.dtype.type(1)
    if excess == 1:
        for j in range(len(weights)):
            # 1, but NaN for a weight that is NaN.
            result[j] = one + zero * weights[j] if weights[j] != 0 else zero
    elif excess == 0.5:
        for j in range(len(weights)):
            result[j] = math.sqrt(weights[j])
    else:
        power = weights.dtype.type(1 - excess)
        for j in range(len(weights)):
            result[j] = weights[j] ** power if weights[j] != 0 else zero
