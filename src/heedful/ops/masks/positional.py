"""Masks that depend only on the positions of query and key: `Causal`, `Window` and `Global`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from heedful.errors import MaskError, OptionError, unknown_choice
from heedful.ops.cells import Cells
from heedful.ops.masks.base import Mask
from heedful.ops.masks.bounds import UNBOUNDED, Bounds
from heedful.ops.rows import Rows

Align = Literal["top_left", "bottom_right"]
ALIGNMENTS: tuple[Align, ...] = ("top_left", "bottom_right")


def offset(align: Align | None, cells: Cells) -> int:
    """Key index aligned with query 0: 0, or num_keys − num_queries for "bottom_right"."""
    return cells.num_keys - cells.num_queries if align == "bottom_right" else 0


def validate_sides(name: str, left: int | None, right: int | None) -> None:
    """Check the sides of a window.

    Raises:
        OptionError: a side that is not None or an integer of at least 0.
    """
    for side, size in (("left", left), ("right", right)):
        if size is not None and (not isinstance(size, int) or size < 0):
            raise OptionError(
                f"{name}({side}={size!r}): a side is a whole number, 0 or more, or None for unbounded."
            )


@dataclass(frozen=True)
class Causal(Mask):
    """Query i attends to key j if j ≤ i.

    With unequal lengths an alignment is required: `align="top_left"` puts query 0 at key 0, `align="bottom_right"` the
    last query at the last key, as when decoding with a cache.

    Raises:
        OptionError: an unknown alignment.
        MaskError: the lengths differ and `align` is None. Raised by `attend`.

    >>> Causal(align="bottom_right").dense(2, 3).int().tolist()
    [[1, 1, 0], [1, 1, 1]]
    """

    align: Align | None = None
    is_static: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.align is not None and self.align not in ALIGNMENTS:
            raise unknown_choice("align", self.align, ALIGNMENTS)

    def check(self, rows: Rows) -> None:
        if self.align is None and rows.num_queries != rows.num_keys:
            raise MaskError(
                f"Causal() with {rows.num_queries} queries and {rows.num_keys} keys is ambiguous; write "
                f'Causal(align="top_left") if query 0 stands at key 0, Causal(align="bottom_right") if the last '
                f"query stands at the last key."
            )

    def at(self, cells: Cells) -> Tensor:
        return cells.key_index() <= cells.query_index() + offset(self.align, cells)

    def bounds(self, rows: Rows) -> Bounds:
        return Bounds(None, offset(self.align, rows))

    def bounds_outside(self, rows: Rows) -> Bounds:
        return Bounds(-offset(self.align, rows) - 1, None)

    @property
    def follows_distance(self) -> bool:
        return True


@dataclass(frozen=True)
class Window(Mask):
    """Query i attends to keys i − left … i + right, both inclusive; None is unbounded.

    With unequal lengths `align` is as for `Causal`, "top_left" by default.

    Raises:
        OptionError: an unknown alignment, or a side that is not None or an integer of at least 0.

    >>> Window(1, 0).dense(3, 3).int().tolist()
    [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    """

    left: int | None
    right: int | None
    align: Align = "top_left"
    is_static: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.align not in ALIGNMENTS:
            raise unknown_choice("align", self.align, ALIGNMENTS)
        validate_sides("Window", self.left, self.right)

    def at(self, cells: Cells) -> Tensor:
        distance = cells.key_index() - (cells.query_index() + offset(self.align, cells))
        keep = torch.ones_like(distance, dtype=torch.bool)
        if self.left is not None:
            keep = keep & (distance >= -self.left)
        if self.right is not None:
            keep = keep & (distance <= self.right)
        return keep

    def bounds(self, rows: Rows) -> Bounds:
        shift = offset(self.align, rows)
        return Bounds(
            None if self.left is None else self.left - shift,
            None if self.right is None else self.right + shift,
        )

    def bounds_outside(self, rows: Rows) -> Bounds:
        shift = offset(self.align, rows)
        if self.left is None and self.right is not None:
            return Bounds(-self.right - shift - 1, None)
        if self.right is None and self.left is not None:
            return Bounds(None, shift - self.left - 1)
        return UNBOUNDED

    @property
    def follows_distance(self) -> bool:
        return True


@dataclass(frozen=True)
class Global(Mask):
    """The first `count` positions attend to all keys and are attended to by all queries.

    Combined with a window by `|` it lets what is far apart meet in two layers (Longformer, Beltagy et al. 2020).

    With `keys` as many positions are attended to by all instead.

    Raises:
        OptionError: `count` or `keys` is not a whole number of at least 0.

    >>> (Window(0, 0) | Global(1)).dense(4, 4).int().tolist()
    [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]]
    """

    count: int
    keys: int | None = None
    is_static: ClassVar[bool] = True

    def __post_init__(self) -> None:
        validate_sides("Global", self.count, self.keys)

    def at(self, cells: Cells) -> Tensor:
        keys = self.count if self.keys is None else self.keys
        return (cells.query_index() < self.count) | (cells.key_index() < keys)
