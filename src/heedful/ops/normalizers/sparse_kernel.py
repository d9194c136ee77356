# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Sparsemax and entmax of whole rows, forward and backward, a row at a time in the inner cache."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from heedful.ops.jit.kernel import inlined, kernel, launch, parts_for
from heedful.ops.jit.source import KEEPS_NAN

BLOCK = 16
"""Scores that are looked at together for whether any can have weight."""
# Nanoseconds a score takes on one thread: sparsemax and α = 1.5, and powers of any other α.
SIMPLE, POWERS = 1.0, 10.0


def sparse_weights(scores: Tensor, keep: Tensor | None, excess: Tensor) -> Tensor:
    """[(α−1)e − τ]₊^{1/(α−1)} with τ such that each row sums to 1, 0 where `keep` is False.

    `scores` is (..., key) on the CPU, `keep` broadcasts to it; `excess`, α − 1 in float64, is (1,) or one number
    a row. A row that keeps nothing is 0; one that keeps what is not finite is NaN.
    """
    length = scores.shape[-1]
    rows = scores.reshape(-1, length)
    weights = torch.empty_like(rows)
    kept = place = None
    if keep is not None:
        # What is shared by many rows is not copied for each: every row is told where its own lies.
        kept = keep.expand(*keep.shape[:-1], length).reshape(-1, length)
        place = (
            torch.arange(len(kept), device="cpu")
            .view(keep.shape[:-1])
            .expand(scores.shape[:-1])
            .reshape(-1)
        )
    work = rows.numel() * _nanoseconds(excess)
    parts = parts_for(work)
    candidates = rows.new_empty(parts, length + BLOCK, dtype=torch.float64)
    at = rows.new_empty(parts, length + BLOCK, dtype=torch.int32)
    launch(
        weights_by_row, rows, kept, place, excess, weights, candidates, at, work=work, parts=parts
    )
    return weights.view(scores.shape)


def sparse_gradient(weights: Tensor, gradient: Tensor, excess: Tensor) -> Tensor:
    """The gradient of the scores from that of the weights: s·(g − ⟨s, g⟩/⟨s, 1⟩), s = w^{2−α} where there is weight."""
    length = weights.shape[-1]
    found = torch.empty_like(weights, memory_format=torch.contiguous_format)
    rows = weights.reshape(-1, length), gradient.reshape(-1, length), found.view(-1, length)
    launch(gradient_by_row, *rows, excess, work=weights.numel() * _nanoseconds(excess))
    return found


def _nanoseconds(excess: Tensor) -> float:
    return SIMPLE if len(excess) == 1 and excess.item() in (1.0, 0.5) else POWERS


@kernel
def weights_by_row(part, parts, scores, keep, place, excess, weights, candidates, at):
    """Write the weights of one part's rows."""
    rows = scores.shape[0]
    for row in range(rows * part // parts, rows * (part + 1) // parts):
        alone = excess[row if len(excess) > 1 else 0]
        if keep is None:
            high, sound = highest(scores[row])
        else:
            high, sound = highest_kept(scores[row], keep[place[row]])
        for j in range(weights.shape[1]):
            weights[row, j] = 0.0
        if high == -math.inf and sound:
            continue
        if not sound:
            high = true_highest(scores[row], keep, place, row)
        if math.isinf(high) or math.isnan(high):
            for j in range(weights.shape[1]):
                if keep is None or keep[place[row], j]:
                    weights[row, j] = math.nan
            continue
        if keep is None:
            count = gather(scores[row], high, alone, candidates[part], at[part])
        else:
            count = gather_kept(
                scores[row], keep[place[row]], high, alone, candidates[part], at[part]
            )
        write_row(weights[row], candidates[part], at[part], count, alone)


@inlined(fastmath=KEEPS_NAN | {"nnan"})
def larger(a, b):
    """The larger of two numbers; told that neither is NaN, the compiler finds the largest of a row by vectors."""
    return a if a > b else b


@inlined
def highest(row):
    """The highest score, and whether all are finite (else the highest is not to be relied on)."""
    high, sound = row.dtype.type(-math.inf), True
    for j in range(len(row)):
        high = larger(high, row[j])
        sound &= abs(row[j]) < math.inf
    return high, sound


@inlined
def highest_kept(row, keep):
    """The highest score that is kept, minus infinity where none is, and whether all that are kept are finite."""
    low = row.dtype.type(-math.inf)
    high, sound = low, True
    for j in range(len(row)):
        high = larger(high, row[j] if keep[j] else low)
        sound &= (abs(row[j]) < math.inf) | (not keep[j])
    return high, sound


@inlined
def true_highest(row, keep, place, at):
    """The highest score that is kept, NaN where one is NaN."""
    high = row.dtype.type(-math.inf)
    for j in range(len(row)):
        if keep is None or keep[place[at], j]:
            if math.isnan(row[j]):
                return row[j]
            if row[j] > high:
                high = row[j]
    return high


@inlined
def gather(row, high, excess, candidates, at):
    """List what can have weight: scores less than 1/(α−1) below the highest, as (α−1)(e − highest), −1 to 0."""
    floor = row.dtype.type(high - 1 / excess)
    count, whole = 0, len(row) // BLOCK * BLOCK
    for start in range(0, whole, BLOCK):
        some = False
        for j in range(start, start + BLOCK):
            some |= row[j] >= floor
        if some:
            for j in range(start, start + BLOCK):
                candidates[count] = (float(row[j]) - high) * excess
                at[count] = j
                count += row[j] >= floor
    for j in range(whole, len(row)):
        candidates[count] = (float(row[j]) - high) * excess
        at[count] = j
        count += row[j] >= floor
    return count


@inlined
def gather_kept(row, keep, high, excess, candidates, at):
    """`gather` of what is kept."""
    floor = row.dtype.type(high - 1 / excess)
    count, whole = 0, len(row) // BLOCK * BLOCK
    for start in range(0, whole, BLOCK):
        some = False
        for j in range(start, start + BLOCK):
            some |= (row[j] >= floor) & keep[j]
        if some:
            for j in range(start, start + BLOCK):
                candidates[count] = (float(row[j]) - high) * excess
                at[count] = j
                count += (row[j] >= floor) & keep[j]
    for j in range(whole, len(row)):
        candidates[count] = (float(row[j]) - high) * excess
        at[count] = j
        count += (row[j] >= floor) & keep[j]
    return count


@inlined
def write_row(weights, candidates, at, count, excess):
    """Find the threshold, and write what lies above it."""
    if excess > 1:
        threshold = halve(candidates, count, 1 / excess)
    else:
        threshold, count = climb(candidates, at, count, excess)
    for c in range(count):
        above = candidates[c] - threshold
        if above > 0:
            if excess == 1:
                weights[at[c]] = above
            elif excess == 0.5:
                weights[at[c]] = above * above
            else:
                weights[at[c]] = above ** (1 / excess)


@inlined
def climb(candidates, at, count, excess):
    """τ for α ≤ 2, by Newton's steps on the norm (Σ[z − τ]₊^p)^{1/p} = 1, p = 1/(α−1); what falls below τ is dropped.

    The norm is convex and falls as τ rises, so from the left each step stops short of the solution: τ only rises. Under
    sparsemax these are the steps of Michelot 1986, which end at the solution after finitely many.
    """
    threshold, power = -1.0, 1 / excess
    for _ in range(100):
        total, slope, left = 0.0, 0.0, 0
        for c in range(count):
            above = candidates[c] - threshold
            if above > 0:
                candidates[left] = candidates[c]
                at[left] = at[c]
                left += 1
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
        count = left
        step = (total - total ** (1 - excess)) / slope
        threshold += step
        if step < 1e-15:
            break
    return threshold, count


@inlined
def halve(candidates, count, power):
    """τ for α > 2, by halving −1 to 0."""
    threshold, width = -1.0, 1.0
    for _ in range(60):
        width /= 2
        total = 0.0
        for c in range(count):
            above = candidates[c] - threshold - width
            if above > 0:
                total += above**power
        if total >= 1:
            threshold += width
    return threshold


@kernel
def gradient_by_row(part, parts, weights, gradient, found, excess):
    """Write the gradients of one part's rows of scores."""
    rows, length = weights.shape
    zero = weights.dtype.type(0)
    for row in range(rows * part // parts, rows * (part + 1) // parts):
        slopes(weights[row], found[row], excess[row if len(excess) > 1 else 0])
        total, mixed = zero, zero
        for j in range(length):
            slope = found[row, j]
            total += slope
            # A gradient may be NaN where there is no weight.
            mixed += slope * gradient[row, j] if slope != 0 else zero
        mean = mixed / total if total != 0 else zero
        for j in range(length):
            slope = found[row, j]
            found[row, j] = slope * (gradient[row, j] - mean) if slope != 0 else zero


@inlined
def slopes(weights, found, excess):
    """w^{2−α} where there is weight, else 0."""
    zero, one = weights.dtype.type(0), weights.dtype.type(1)
    if excess == 1:
        for j in range(len(weights)):
            # Not 1 but NaN for a weight that is NaN.
            found[j] = one + zero * weights[j] if weights[j] != 0 else zero
    elif excess == 0.5:
        for j in range(len(weights)):
            found[j] = math.sqrt(weights[j])
    else:
        power = weights.dtype.type(1 - excess)
        for j in range(len(weights)):
            found[j] = weights[j] ** power if weights[j] != 0 else zero
