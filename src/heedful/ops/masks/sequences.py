"""Masks that differ between the sequences of a batch: padding on either side, alignment by length, packed segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from heedful.errors import DtypeError, ShapeError
from heedful.ops.cells import Cells
from heedful.ops.masks.base import Mask, check_per_sequence
from heedful.ops.masks.positional import validate_sides
from heedful.ops.rows import Rows
from heedful.ops.validate import validate_tensor

INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


@dataclass(frozen=True, eq=False)
class Padding(Mask):
    """Every query attends to the first `key_lengths` keys of its sequence.

    `key_lengths` is an integer tensor of one length per sequence, (*batch) or (*batch, heads). Its values are not
    validated: a length above the number of keys masks none, one below 1 masks all.

    Raises:
        DtypeError: `key_lengths` is not an integer tensor.

    >>> import torch
    >>> Padding(torch.tensor([1, 2])).dense(1, 3, lead=(2,)).int().tolist()
    [[[1, 0, 0]], [[1, 1, 0]]]
    """

    key_lengths: Tensor
    _cached: ClassVar[tuple[tuple[int, int, torch.dtype], Tensor, Tensor] | None] = None

    def __getstate__(self) -> dict[str, Tensor]:
        return {"key_lengths": self.key_lengths}

    def __post_init__(self) -> None:
        validate_tensor("key_lengths", self.key_lengths, "(*batch,) or (*batch, heads)")
        if self.key_lengths.dtype not in INTEGERS:
            raise DtypeError(
                f"key_lengths counts keys, so it is an integer tensor, but this one is {self.key_lengths.dtype}; a "
                f"boolean tensor that keeps (True = may attend) is masks.Dense(keep)."
            )

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.key_lengths,)

    def check(self, rows: Rows) -> None:
        check_per_sequence("key_lengths", tuple(self.key_lengths.shape), rows)

    def at(self, cells: Cells) -> Tensor:
        return cells.key_index() < cells.of_sequences(self.key_lengths)

    def added(self, batch: int, num_keys: int, dtype: torch.dtype) -> Tensor | None:
        """The mask as a CPU tensor to add to scores, 0 or -inf where masked: (batch, 1, 1, key).

        It is cached, since all layers of a model share one mask, and rebuilt if the lengths were changed in place. None
        unless the lengths are (batch,) on the CPU.
        """
        cache_key = batch, num_keys, dtype
        cached = self._cached
        if (
            cached is not None
            and cached[0] == cache_key
            and torch.equal(cached[1], self.key_lengths)
        ):
            return cached[2]
        lengths = self.key_lengths
        if lengths.shape != (batch,) or not lengths.is_cpu:
            return None
        masked = torch.arange(num_keys, device="cpu") >= lengths[:, None, None, None]
        added = torch.zeros_like(masked, dtype=dtype).masked_fill_(masked, -torch.inf)
        if not torch.is_inference_mode_enabled():  # autograd cannot save inference tensors
            object.__setattr__(self, "_cached", (cache_key, lengths.clone(), added))
        return added


@dataclass(frozen=True, eq=False)
class LeftPadding(Mask):
    """Every query attends to the keys of its sequence from `key_starts` on: what comes before is padding.

    `key_starts` is an integer tensor of one start per sequence, (*batch) or (*batch, heads); for sequences of `lengths`
    that end at the last key it is num_keys − lengths. Its values are not validated: a start below 1 masks nothing. With
    `Causal` it fits decoding with a cache: padding on the left moves queries and keys alike.

    Raises:
        DtypeError: `key_starts` is not an integer tensor.

    >>> import torch
    >>> LeftPadding(torch.tensor([2, 0])).dense(1, 3, lead=(2,)).int().tolist()
    [[[0, 0, 1]], [[1, 1, 1]]]
    """

    key_starts: Tensor

    def __post_init__(self) -> None:
        _validate_counts("key_starts", self.key_starts)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.key_starts,)

    def check(self, rows: Rows) -> None:
        check_per_sequence("key_starts", tuple(self.key_starts.shape), rows)

    def at(self, cells: Cells) -> Tensor:
        return cells.key_index() >= cells.of_sequences(self.key_starts)


@dataclass(frozen=True, eq=False)
class Ragged(Mask):
    """A window around the diagonal that ends at the last query and the last key of each sequence, by its own lengths.

    Query i stands at key c = i + key_length − query_length, so that the last of `query_lengths` queries stands at the
    last of `key_lengths` keys. It attends to the keys c − left … c + right, both inclusive, below the key length; None
    is unbounded. By default `Ragged` is `Causal(align="bottom_right")` for each sequence, where that takes the lengths
    of the whole call, padding included. Padding is on the right.

    Lengths are integer tensors of one length per sequence, (*batch) or (*batch, heads). Queries behind their length
    follow the same formula. FlashAttention's alignment (Dao 2023, https://arxiv.org/abs/2307.08691).

    Raises:
        DtypeError: lengths that are no integer tensors.
        OptionError: a side that is not None or an integer of at least 0.

    >>> import torch
    >>> Ragged(torch.tensor([1, 2]), torch.tensor([2, 3])).dense(2, 3, lead=(2,)).int().tolist()
    [[[1, 1, 0], [1, 1, 0]], [[1, 1, 0], [1, 1, 1]]]
    """

    query_lengths: Tensor
    key_lengths: Tensor
    left: int | None = None
    right: int | None = 0

    def __post_init__(self) -> None:
        _validate_counts("query_lengths", self.query_lengths)
        _validate_counts("key_lengths", self.key_lengths)
        validate_sides("Ragged", self.left, self.right)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.query_lengths, self.key_lengths)

    def check(self, rows: Rows) -> None:
        check_per_sequence("query_lengths", tuple(self.query_lengths.shape), rows)
        check_per_sequence("key_lengths", tuple(self.key_lengths.shape), rows)

    def at(self, cells: Cells) -> Tensor:
        key = cells.key_index()
        key_length = cells.of_sequences(self.key_lengths)
        distance = key - (cells.query_index() + key_length - cells.of_sequences(self.query_lengths))
        keep = key < key_length
        if self.left is not None:
            keep = keep & (distance >= -self.left)
        if self.right is not None:
            keep = keep & (distance <= self.right)
        return keep


def _validate_counts(name: str, counts: Tensor) -> None:
    validate_tensor(name, counts, "(*batch,) or (*batch, heads)")
    if counts.dtype not in INTEGERS:
        raise DtypeError(
            f"{name} counts tokens, so it is an integer tensor, but this one is {counts.dtype}."
        )


@dataclass(frozen=True, eq=False)
class Segments(Mask):
    """Query i attends to key j if their segment ids are equal: several sequences packed into one row.

    `query_ids` is (*batch, query) or (*batch, heads, query), and `key_ids` (*batch, key) or (*batch, heads, key).

    Raises:
        DtypeError: ids are neither integers nor booleans.

    >>> import torch
    >>> ids = torch.tensor([0, 0, 1])
    >>> Segments(ids, ids).dense(3, 3).int().tolist()
    [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """

    query_ids: Tensor
    key_ids: Tensor

    def __post_init__(self) -> None:
        for name, ids in (("query_ids", self.query_ids), ("key_ids", self.key_ids)):
            validate_tensor(name, ids, "(*batch, length) or (*batch, heads, length)")
            if ids.dtype not in (*INTEGERS, torch.bool):
                raise DtypeError(
                    f"{name} is {ids.dtype}; it names segments, so make it an integer tensor."
                )

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.query_ids, self.key_ids)

    def check(self, rows: Rows) -> None:
        sides = (
            ("query_ids", self.query_ids, rows.num_queries),
            ("key_ids", self.key_ids, rows.num_keys),
        )
        for name, ids, length in sides:
            if ids.ndim == 0 or ids.shape[-1] != length:
                raise ShapeError(
                    f"{name} has shape {tuple(ids.shape)}; its last axis must be the length, {length}."
                )
            if ids.ndim > 1 or not rows.lead:
                check_per_sequence(name, tuple(ids.shape[:-1]), rows)

    def at(self, cells: Cells) -> Tensor:
        return cells.of_queries(self.query_ids) == cells.of_keys(self.key_ids)
