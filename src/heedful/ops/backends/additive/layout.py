"""Memory layout of the operands of the compiled kernels: flat memory, and the offsets of each unit in it.

A unit is one index of the leading axes, such as one head of one sequence. Leading axes broadcast without copies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from heedful.ops.rows import broadcast

Sizes = tuple[int, ...]
Side = tuple[Sizes, Sizes]
"""Leading sizes and strides of a tensor."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Sizes of a call of (*lead, query, hidden), (*lead, key, hidden), (*lead, hidden) and (*lead, key, width)."""

    lead: Sizes
    units: int
    pairs: int
    """Number of query-key pairs of all units."""
    places: Tensor
    """(units, tensors), int64: offsets of a unit's queries, keys, vector and, if there are any, values."""
    queries: int
    keys: int
    hidden: int
    width: int
    strides: tuple[int, int, int]
    """Row strides of queries, keys and values."""
    all_keys: Tensor
    """(units,), int64: the number of keys, for a call without lengths."""


@lru_cache(256)
def layout_of(
    query: Sizes,
    query_strides: Sizes,
    key: Sizes,
    key_strides: Sizes,
    vector: Sizes,
    vector_strides: Sizes,
    value: Sizes = (0, 0),
    value_strides: Sizes = (0, 1),
) -> Layout:
    """The layout of tensors of these sizes and strides; the last axis is contiguous (`dense`)."""
    sides = [(query[:-2], query_strides[:-2]), (key[:-2], key_strides[:-2])]
    sides.append((vector[:-1], vector_strides[:-1]))
    sides.append((value[:-2], value_strides[:-2]))
    lead = broadcast(*(sizes for sizes, _ in sides))
    assert lead is not None
    units = math.prod(lead)
    with torch.inference_mode(False):
        places = unit_places(lead, tuple(sides))
        all_keys = torch.full((units,), key[-2], dtype=torch.int64, device="cpu")
    return Layout(
        lead,
        units,
        units * query[-2] * key[-2],
        places,
        query[-2],
        key[-2],
        query[-1],
        value[-1],
        (query_strides[-2], key_strides[-2], value_strides[-2]),
        all_keys,
    )


@lru_cache(256)
def unit_places(lead: Sizes, sides: tuple[Side, ...]) -> Tensor:
    """Offset of each unit in the memory of each tensor, (units, tensors), int64."""
    columns = []
    for sizes, strides in sides:
        place = torch.zeros((), dtype=torch.int64, device="cpu")
        for axis, (size, stride) in enumerate(
            zip(sizes, strides, strict=True), len(lead) - len(sizes)
        ):
            steps = torch.arange(lead[axis], device="cpu") * (stride if size > 1 else 0)
            place = place + steps.view(-1, *(1,) * (len(lead) - 1 - axis))
        columns.append(place.expand(lead).reshape(-1))
    return torch.stack(columns, -1)


def dense(tensor: Tensor) -> Tensor:
    """The tensor, or a copy if its last axis is not contiguous or it is lazily negated."""
    tensor = tensor.resolve_neg()
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def flat(tensor: Tensor) -> Tensor:
    """The memory spanned by a dense view, as one axis, detached."""
    if tensor.is_contiguous():
        return tensor.detach().view(-1)
    sizes, strides = tensor.shape, tensor.stride()
    span = 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    return tensor.detach().as_strided((span if tensor.numel() else 0,), (1,))


def is_by_unit(units: int, queries: int, parts: int) -> bool:
    """Whether each thread of a backward kernel computes whole units, so that key gradients need no copy per thread."""
    return units % parts == 0 or units >= 4 * parts or queries < parts


def summed(copies: Tensor, shape: Sizes, wanted: Sizes) -> Tensor:
    """Sum the copies over the first axis, reshape to `shape`, and sum over broadcast axes to `wanted`."""
    whole = copies if len(copies) == 1 else copies.sum(0)
    found = whole.view(shape)
    return found if shape == wanted else found.sum_to_size(wanted)
