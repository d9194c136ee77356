"""Additive attention under softmax as one compiled kernel forward and one backward: float32, tanh, on a processor.

What is kept between them is linear in the lengths: the outputs, and the logarithm of each row's sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor

from heedful.ops.backends.additive.backward import additive_attend_backward, backward_numbers
from heedful.ops.backends.additive.forward import additive_attend, block_rows, forward_numbers
from heedful.ops.backends.additive.scores import flat, unit_places
from heedful.ops.jit.kernel import Argument, launch, parts_for
from heedful.ops.jit.scratch import scratch
from heedful.ops.rows import broadcast

# Nanoseconds that one core takes for a feature of a pair, for a number of a value mixed in, and for a feature of a key.
FORWARD = 0.025, 0.01, 0.3
BACKWARD = 0.08, 0.03, 0.7

Sizes = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Arrangement:
    """How the kernels see tensors of given sizes and strides."""

    lead: tuple[int, ...]
    units: int
    places: Tensor
    queries: int
    keys: int
    hidden: int
    width: int
    strides: tuple[int, int, int]
    forward_work: float
    """Nanoseconds of one thread."""
    backward_work: float

    def given(self, tensors: tuple[Tensor, ...], lengths: Tensor | None) -> tuple[Argument, ...]:
        """What both kernels are told first."""
        return (
            *[t.view(-1) if t.is_contiguous() else flat(t) for t in tensors],
            self.places,
            None if lengths is None else lengths.view(-1),
            self.queries,
            self.keys,
            self.hidden,
            *self.strides,
        )


@lru_cache(256)
def _arranged(query: Sizes, key: Sizes, value: Sizes, vector: Sizes) -> Arrangement:
    sides = [(shape[:-2], strides[:-2]) for shape, strides in (query, key)]
    sides.append((vector[0][:-1], vector[1][:-1]))
    sides.append((value[0][:-2], value[1][:-2]))
    lead = broadcast(*(shape for shape, _ in sides))
    assert lead is not None
    (queries, hidden), (keys, width) = query[0][-2:], value[0][-2:]
    cells, more = math.prod(lead) * queries * keys, math.prod(lead) * keys * hidden
    forward, backward = (
        cells * (hidden * pair + width * mix) + more * raised
        for pair, mix, raised in (FORWARD, BACKWARD)
    )
    strides = query[1][-2], key[1][-2], value[1][-2]
    places = unit_places(lead, tuple(sides))
    return Arrangement(
        lead, len(places), places, queries, keys, hidden, width, strides, forward, backward
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
    units, work = own.units, own.forward_work
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
        scratch(parts, forward_numbers(rows, own.keys, own.hidden)),
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
    units, work = own.units, own.backward_work
    parts = parts_for(work)
    by_unit = units % parts == 0 or units >= 4 * parts or own.queries < parts
    copies = 1 if by_unit else parts
    rows = block_rows(own.queries if by_unit else -(-own.queries // parts), own.hidden)
    of_query = query.new_empty(1, units * own.queries * own.hidden)
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
        of_query.view(-1),
        of_key,
        of_value,
        of_vector,
        scratch(parts, backward_numbers(rows, own.hidden, own.width)),
        work=work,
        parts=parts,
    )
    query_shape, key_shape, value_shape, vector_shape = (t.shape for t in tensors)
    return (
        _fitted(of_query, (*own.lead, own.queries, own.hidden), query_shape),
        _fitted(of_key, (*own.lead, own.keys, own.hidden), key_shape),
        _fitted(of_value, (*own.lead, own.keys, own.width), value_shape),
        _fitted(of_vector, vector_shape, vector_shape),
    )


def _fitted(copies: Tensor, shape: tuple[int, ...], wanted: tuple[int, ...]) -> Tensor:
    """The sum of copies in a shape, summed over the axes that were broadcast."""
    whole = copies if len(copies) == 1 else copies.sum(0)
    found = whole.view(shape)
    return found if shape == wanted else found.sum_to_size(wanted)
