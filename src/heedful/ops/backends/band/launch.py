"""Hands windowed attention to its kernels, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from heedful.ops.backends.band.backward import backward_space, band_backward
from heedful.ops.backends.band.forward import (
    COLUMNS,
    LANES,
    ROWS,
    band_forward,
    forward_space,
)
from heedful.ops.jit.kernel import launch, parts_for

FEATURE_NANOSECONDS, CELL_NANOSECONDS = 0.0105, 0.3
"""What a feature of a pair, and the softmax of a pair, take forward on one core."""
BACKWARD = 2.4
MARGIN = ROWS
"""How far beyond the window, on either side, a block of queries and its keys may lie apart."""


@dataclass(frozen=True, eq=False)
class Window:
    """What the kernels are told besides query, key and value."""

    left: int
    right: int
    scale: float
    near: Tensor
    """(heads or 1, `near_size`): what is added to the score of query q and key k, at q − k + right + MARGIN."""
    limits: Tensor | None = None
    """(batch or 1, heads or 1): the keys before this one alone may be seen, as under padding; None: every one."""
    hides: bool = True
    """Whether there is a mask or bias; without one, what is not finite goes wherever the products carry it."""

    @property
    def base(self) -> int:
        """Where distance 0 is in `near`."""
        return self.right + MARGIN

    @property
    def tile_keys(self) -> int:
        """Keys of a tile of what else is added: those of a block's window."""
        return tile_keys(self.left, self.right)


@dataclass(frozen=True, eq=False)
class Piece:
    """Some blocks of queries, and what is added to their scores besides what follows from distance."""

    first: int
    count: int
    added: Tensor | None
    """(batch or 1, heads or 1, blocks, `tile_keys`, ROWS), the last three contiguous."""

    def cut(self, step: int) -> Iterator[Piece]:
        """The same, at most so many blocks at a time."""
        for start in range(0, self.count, step):
            stop = min(start + step, self.count)
            added = None if self.added is None else self.added[:, :, start:stop]
            yield Piece(self.first + start, stop - start, added)


def near_size(left: int, right: int) -> int:
    """How many numbers `Window.near` has a head."""
    return left + right + 1 + 2 * MARGIN


def tile_keys(left: int, right: int) -> int:
    """How many keys a tile of `Piece.added` has."""
    return ROWS + left + right


def num_blocks(queries: int) -> int:
    """How many blocks so many queries make."""
    return -(-queries // ROWS)


def run_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    window: Window,
    piece: Piece,
    output: Tensor,
    logsumexp: Tensor,
) -> Tensor:
    """Fill output (batch, heads, queries, values) and logsumexp (batch, heads, queries) of the piece's blocks.

    Tensors are (batch, heads, length, features), those contiguous, whole vectors of them. Returns sums of the
    numbers written, which show whether all are finite.
    """
    work = _work(query, key, value, window, piece)
    parts = parts_for(work)
    checks = output.new_empty(parts * LANES)
    space = output.new_empty(parts * forward_space(query.shape[3], value.shape[3]))
    launch(
        band_forward, 1, *_arguments(query, key, value, window, piece), output.view(-1), logsumexp.view(-1), checks,
        space, work=work, parts=parts,
    )  # fmt: skip
    return checks


@dataclass(frozen=True, eq=False)
class Gradients:
    """Where the backward pass of several pieces writes to: those of keys and values in a copy for each part."""

    query: Tensor
    key: Tensor
    value: Tensor
    by_unit: bool

    @classmethod
    def of(cls, query: Tensor, key: Tensor, value: Tensor, window: Window) -> Gradients:
        """Zeros where they are added up; nothing yet for the query."""
        whole = Piece(0, num_blocks(query.shape[2]), None)
        parts = parts_for(BACKWARD * _work(query, key, value, window, whole))
        units = key.shape[0] * key.shape[1]
        by_unit = parts == 1 or units % parts == 0 or units >= 4 * parts
        copies = 1 if by_unit else parts
        return cls(
            query.new_empty(query.shape),
            key.new_zeros(copies, *key.shape),
            value.new_zeros(copies, *value.shape),
            by_unit,
        )

    def totals(self) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of query, key and value."""
        key, value = (one[0] if len(one) == 1 else one.sum(0) for one in (self.key, self.value))
        return self.query, key, value


def run_backward(
    query: Tensor, key: Tensor, value: Tensor, window: Window, piece: Piece,
    after: tuple[Tensor, Tensor, Tensor], into: Gradients,
) -> None:  # fmt: skip
    """Add the gradients of the piece's blocks; `after` are output, logsumexp and the gradient of the output."""
    work = BACKWARD * _work(query, key, value, window, piece)
    parts, copies = parts_for(work), into.key.shape[0]
    if copies > 1:
        parts = min(parts, copies)
    units = key.shape[0] * key.shape[1]
    grain = query.shape[0] * query.shape[1] // units * piece.count if into.by_unit else 1
    space = query.new_empty(parts * backward_space(query.shape[3], value.shape[3]))
    launch(
        band_backward, grain, *_arguments(query, key, value, window, piece), *(one.view(-1) for one in after),
        into.query.view(-1), into.key.view(copies, -1), into.value.view(copies, -1), space, work=work, parts=parts,
    )  # fmt: skip


def _arguments(
    query: Tensor, key: Tensor, value: Tensor, window: Window, piece: Piece
) -> tuple[Tensor | int | float, ...]:
    """What both kernels want to know."""
    added = piece.added
    sides = tuple((tuple(one.shape[:2]), tuple(one.stride()[:2])) for one in (query, key, value))
    places = _places(
        sides,
        (window.near.shape[0], window.near.shape[1]),
        None if added is None else (tuple(added.shape[:2]), tuple(added.stride()[:2])),
        key.shape[2],
    )
    if window.limits is not None:
        places = _limited(places, query.shape[:2], window.limits, key.shape[2])
    return (
        piece.first, piece.count, places, query.shape[2], key.shape[2], query.shape[3], value.shape[3],
        window.tile_keys, query.stride(2), key.stride(2), value.stride(2), window.left, window.right, window.scale,
        window.base, _flat(query), _flat(key), _flat(value), window.near.view(-1),
        query.new_empty(0) if added is None else _flat(added),
    )  # fmt: skip


Side = tuple[tuple[int, ...], tuple[int, ...]]


@lru_cache(256)
def _places(
    sides: tuple[Side, ...], near: tuple[int, int], added: Side | None, keys: int
) -> Tensor:
    """Of each head of each entry of the batch, what `COLUMNS` tells."""
    (batch, heads), _ = sides[0]
    groups = heads // sides[1][0][1]
    entry = torch.arange(batch, device="cpu")[:, None]
    head = torch.arange(heads, device="cpu")[None, :]
    columns = [
        entry * strides[0] + (head if sizes[1] == heads else head // groups) * strides[1]
        for sizes, strides in sides
    ]
    columns.append((head if near[0] > 1 else head * 0) * near[1])
    if added is None:
        columns.append(head * 0)
    else:
        steps = [stride if size > 1 else 0 for size, stride in zip(*added, strict=True)]
        columns.append(entry * steps[0] + head * steps[1])
    columns += [entry * heads + head, entry * (heads // groups) + head // groups]
    columns.append(torch.tensor(keys, device="cpu"))
    return torch.stack([one.expand(batch, heads) for one in columns], -1).reshape(-1)


def _limited(places: Tensor, lead: tuple[int, ...], limits: Tensor, keys: int) -> Tensor:
    """The same where not every head may see all keys."""
    told = places.view(*lead, COLUMNS).clone()
    told[:, :, COLUMNS - 1] = limits.clamp(0, keys)
    return told.view(-1)


def _flat(tensor: Tensor) -> Tensor:
    """All the memory that a view reaches, as one axis."""
    tensor = tensor.detach()
    if tensor.is_contiguous():
        return tensor.view(-1)
    sizes, strides = tensor.shape, tensor.stride()
    span = 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    return tensor.as_strided((span if tensor.numel() else 0,), (1,))


def _work(query: Tensor, key: Tensor, value: Tensor, window: Window, piece: Piece) -> float:
    """Nanoseconds forward on one thread."""
    keys = min(key.shape[2], window.left + window.right + ROWS)
    cells = query.shape[0] * query.shape[1] * piece.count * ROWS * keys
    features = query.shape[3] + value.shape[3]
    return cells * (features * FEATURE_NANOSECONDS + CELL_NANOSECONDS)
