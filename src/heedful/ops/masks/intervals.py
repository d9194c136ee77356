"""Masks under which each query attends to one run of neighbouring keys, given by its two ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from heedful.ops.masks.base import Mask, conjuncts
from heedful.ops.masks.positional import Causal, Window, offset
from heedful.ops.masks.sequences import LeftPadding, Padding, Ragged
from heedful.ops.rows import Rows


class Interval(NamedTuple):
    """The keys from `start` to `stop` (exclusive), integers broadcastable to (*batch, heads, query).

    Ends may lie beyond the keys; a stop at or before the start leaves none.
    """

    start: Tensor
    stop: Tensor


def key_interval(mask: Mask | None, rows: Rows) -> Interval | None:
    """The interval of keys that each query may attend to; None if the mask keeps anything but an interval.

    >>> import torch
    >>> rows = Rows.all(2, 5, (), torch.device("cpu"))
    >>> start, stop = key_interval(Causal("bottom_right") & Window(1, None, "bottom_right"), rows)
    >>> start.tolist(), stop.tolist()
    ([2, 3], [4, 5])
    """
    parts = conjuncts(mask)
    if not is_interval(mask):
        return None
    start = torch.zeros(1, dtype=torch.int64, device=rows.device)
    stop = start + rows.num_keys
    for part in parts:
        first, last = _ENDS[type(part)](part, rows)
        start = start if first is None else torch.maximum(start, first)
        stop = stop if last is None else torch.minimum(stop, last)
    return Interval(start, stop)


def is_interval(mask: Mask | None) -> bool:
    """Whether `key_interval` gives one for any tensors that the mask holds."""
    return all(type(part) in _ENDS for part in conjuncts(mask))


Ends = tuple[Tensor | None, Tensor | None]
"""Start and stop, or None where a side is open."""


def _positions(rows: Rows) -> Tensor:
    return rows.query_index()[:, 0]


def _counts(rows: Rows, counts: Tensor) -> Tensor:
    """Values per sequence, (*lead, 1)."""
    return rows.over_heads(counts, 0)[..., None].to(torch.int64)


def _window(mask: Window, rows: Rows) -> Ends:
    at = _positions(rows) + offset(mask.align, rows)
    return (
        None if mask.left is None else at - mask.left,
        None if mask.right is None else at + mask.right + 1,
    )


def _ragged(mask: Ragged, rows: Rows) -> Ends:
    keys = _counts(rows, mask.key_lengths)
    at = _positions(rows) + keys - _counts(rows, mask.query_lengths)
    stop = keys if mask.right is None else torch.minimum(keys, at + mask.right + 1)
    return None if mask.left is None else at - mask.left, stop


_ENDS: dict[type[Mask], Callable[[Any, Rows], Ends]] = {
    Causal: lambda mask, rows: (None, _positions(rows) + offset(mask.align, rows) + 1),
    Window: _window,
    Padding: lambda mask, rows: (None, _counts(rows, mask.key_lengths)),
    LeftPadding: lambda mask, rows: (_counts(rows, mask.key_starts), None),
    Ragged: _ragged,
}
