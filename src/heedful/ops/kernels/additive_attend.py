"""Additive attention under softmax as one compiled kernel forward and one backward: float32, tanh, on a processor.

What is kept between them is linear in the lengths: the outputs, and the logarithm of each row's sum.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from heedful.ops.kernels.additive import flat, unit_places
from heedful.ops.kernels.additive_attend_backward import additive_attend_backward, backward_numbers
from heedful.ops.kernels.additive_attend_forward import additive_attend, block_rows, forward_numbers
from heedful.ops.kernels.runtime import Argument, launch, parts_for
from heedful.ops.rows import broadcast

# Nanoseconds that one core takes for a feature of a pair, for a feature of a key, and for a number of a value mixed in.
FORWARD, RAISE, MIX = 0.025, 0.2, 0.01
BACKWARD, BACKWARD_MIX = 0.08, 0.03

MOST_KEPT = 4 * 2**20
"""Numbers of scratch that a thread keeps from call to call: memory fresh from the system costs more than the work."""
_kept = threading.local()

Sizes = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Arrangement:
    """How the kernels see tensors of given sizes and strides."""

    lead: tuple[int, ...]
    places: Tensor
    queries: int
    keys: int
    hidden: int
    width: int
    strides: tuple[int, int, int]

    def given(self, tensors: tuple[Tensor, ...], lengths: Tensor | None) -> tuple[Argument, ...]:
        """What both kernels are told first."""
        return (
            *map(flat, tensors),
            self.places,
            None if lengths is None else lengths.view(-1),
            self.queries,
            self.keys,
            self.hidden,
            *self.strides,
        )

    def work(self, pair: float, mix: float) -> float:
        """Nanoseconds of one thread."""
        cells = len(self.places) * self.keys
        return cells * (
            self.queries * (self.hidden * pair + self.width * mix) + self.hidden * RAISE
        )


@lru_cache(256)
def _arranged(query: Sizes, key: Sizes, value: Sizes, vector: Sizes) -> Arrangement:
    sides = [(shape[:-2], strides[:-2]) for shape, strides in (query, key)]
    sides.append((vector[0][:-1], vector[1][:-1]))
    sides.append((value[0][:-2], value[1][:-2]))
    lead = broadcast(*(shape for shape, _ in sides))
    assert lead is not None
    return Arrangement(
        lead,
        unit_places(lead, tuple(sides)),
        query[0][-2],
        key[0][-2],
        query[0][-1],
        value[0][-1],
        (query[1][-2], key[1][-2], value[1][-2]),
    )


def arrangement(tensors: tuple[Tensor, ...]) -> Arrangement:
    """How the kernels see query, key, value and vector."""
    query, key, value, vector = ((t.shape, t.stride()) for t in tensors)
    return _arranged(query, key, value, vector)


def dense(tensor: Tensor) -> Tensor:
    """A tensor whose last axis has no gaps."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def attend_forward(
    query: Tensor, key: Tensor, value: Tensor, vector: Tensor, lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Outputs and the logarithm of each row's sum: (*lead, query, width) and (*lead, query).

    Features (*lead, query, hidden) and (*lead, key, hidden), values (*lead, key, width) and vectors (*lead, hidden) are
    `dense`, vectors contiguous; leading axes broadcast. `lengths` (*lead,) in int64 tells how many keys are seen.
    """
    own = arrangement((query, key, value, vector))
    units = len(own.places)
    work = own.work(FORWARD, MIX)
    parts = parts_for(work)
    rows = block_rows(min(own.queries, -(-units * own.queries // parts)), own.hidden)
    output = query.new_empty(units * own.queries * own.width)
    sums = query.new_empty(units * own.queries)
    launch(
        additive_attend,
        *own.given((query, key, value, vector), lengths),
        rows,
        output,
        sums,
        _scratch(parts, forward_numbers(rows, own.keys, own.hidden)),
        work=work,
        parts=parts,
    )
    return output.view(*own.lead, own.queries, own.width), sums.view(*own.lead, own.queries)


def attend_backward(
    tensors: tuple[Tensor, Tensor, Tensor, Tensor],
    lengths: Tensor | None,
    output: Tensor,
    sums: Tensor,
    upstream: Tensor,
) -> tuple[Tensor, ...]:
    """Gradients of query, key, value and vector from those of the outputs."""
    query, key, value, vector = tensors
    own = arrangement(tensors)
    units = len(own.places)
    work = own.work(BACKWARD, BACKWARD_MIX)
    parts = parts_for(work)
    by_unit = units % parts == 0 or units >= 4 * parts or own.queries < parts
    copies = 1 if by_unit else parts
    rows = block_rows(own.queries if by_unit else -(-own.queries // parts), own.hidden)
    of_query = query.new_empty(units * own.queries * own.hidden)
    of_key = query.new_empty(copies, units * own.keys * own.hidden)
    of_value = query.new_empty(copies, units * own.keys * own.width)
    of_vector = query.new_empty(parts, vector.numel())
    launch(
        additive_attend_backward,
        *own.given((query, key, value, vector), lengths),
        rows,
        by_unit,
        upstream.contiguous().view(-1),
        output.view(-1),
        sums.view(-1),
        of_query,
        of_key,
        of_value,
        of_vector,
        _scratch(parts, backward_numbers(rows, own.hidden, own.width)),
        work=work,
        parts=parts,
    )
    lead = own.lead
    shapes = (own.queries, own.hidden), (own.keys, own.hidden), (own.keys, own.width)
    found = of_query, total(of_key), total(of_value)
    whole = [
        _fitted(t.view(*lead, *end), given)
        for t, end, given in zip(found, shapes, tensors[:3], strict=True)
    ]
    return *whole, total(of_vector).view(vector.shape)


def total(copies: Tensor) -> Tensor:
    """The sum of copies."""
    return copies[0] if len(copies) == 1 else copies.sum(0)


def _fitted(gradient: Tensor, given: Tensor) -> Tensor:
    return gradient if gradient.shape == given.shape else gradient.sum_to_size(given.shape)


def _scratch(parts: int, numbers: int) -> Tensor:
    """Memory for each part, its contents of no meaning."""
    size = parts * numbers
    if size > MOST_KEPT:
        return torch.empty(parts, numbers)
    kept: Tensor | None = getattr(_kept, "memory", None)
    if kept is None or len(kept) < size:
        kept = _kept.memory = torch.empty(size)
    return kept[:size].view(parts, numbers)
