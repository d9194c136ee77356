"""Hypothesis strategies that the property tests of ops share."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from heedful import masks
from heedful.ops.grid import Grid
from heedful.ops.masks import Mask
from heedful.ops.rows import Rows

LEAD = (2, 2)
lengths = st.integers(1, 7)


def integers(draw: st.DrawFn, size: int, low: int, high: int) -> Tensor:
    """A list of integers as a tensor."""
    drawn = draw(st.lists(st.integers(low, high), min_size=size, max_size=size))
    return torch.tensor(drawn, dtype=torch.long)


@st.composite
def grids(draw: st.DrawFn, length: int) -> Grid:
    """A grid of at least so many positions."""
    rows, frames, prefix = (draw(st.integers(low, 3)) for low in (1, 1, 0))
    columns = max(1, -(-(length - prefix) // (rows * frames)))
    return Grid(rows, columns + draw(st.integers(0, 2)), frames, prefix)


@st.composite
def single_masks(draw: st.DrawFn, queries: int, keys: int) -> Mask:
    """One mask of any kind for a call with leading axes `LEAD`."""
    align = draw(st.sampled_from(["top_left", "bottom_right"]))
    side = st.none() | st.integers(0, 4)
    kind = draw(st.sampled_from(sorted(masks.MASKS)))
    match kind:
        case "causal":
            return masks.Causal(align=align)
        case "window":
            return masks.Window(draw(side), draw(side), align=align)
        case "padding":
            shape = draw(st.sampled_from([LEAD[:1], LEAD]))
            return masks.Padding(integers(draw, torch.Size(shape).numel(), 0, keys + 1).view(shape))
        case "left_padding":
            shape = draw(st.sampled_from([LEAD[:1], LEAD]))
            return masks.LeftPadding(
                integers(draw, torch.Size(shape).numel(), 0, keys + 1).view(shape)
            )
        case "ragged":
            shape = draw(st.sampled_from([LEAD[:1], LEAD]))
            count = torch.Size(shape).numel()
            query_lengths = integers(draw, count, 0, queries).view(shape)
            key_lengths = integers(draw, count, 0, keys).view(shape)
            return masks.Ragged(query_lengths, key_lengths, draw(side), draw(side))
        case "segments":
            query_ids = integers(draw, LEAD[0] * queries, 0, 2).view(LEAD[0], queries)
            return masks.Segments(query_ids, integers(draw, keys, 0, 2))
        case "edges":
            count = draw(st.integers(0, 8))
            sources = integers(draw, count, 0, keys - 1)
            return masks.Edges(
                torch.stack([sources, integers(draw, count, 0, queries - 1)]), queries, keys
            )
        case "grid_window":
            return masks.GridWindow(draw(grids(max(queries, keys))), draw(st.integers(0, 2)))
        case "grid_tiles":
            size = draw(st.integers(1, 3))
            shift = draw(st.integers(0, size - 1))
            return masks.GridTiles(draw(grids(max(queries, keys))), size, shift)
        case "global":
            return masks.Global(draw(st.integers(0, 3)), draw(st.none() | st.integers(0, 3)))
        case "dense":
            shape = draw(
                st.sampled_from(
                    [(queries, keys), (1, LEAD[1], queries, keys), (LEAD[0], 1, 1, keys)]
                )
            )
            return masks.Dense(integers(draw, torch.Size(shape).numel(), 0, 1).view(shape).bool())
    raise AssertionError(f"no strategy for the mask {kind}")


@st.composite
def any_masks(draw: st.DrawFn, queries: int, keys: int) -> Mask:
    """Up to three masks, combined."""
    mask = draw(single_masks(queries, keys))
    for _ in range(draw(st.integers(0, 2))):
        other = draw(single_masks(queries, keys))
        mask = draw(st.sampled_from([mask & other, mask | ~other, ~mask & other]))
    return mask


@st.composite
def masked_calls(draw: st.DrawFn, count: int = 1) -> tuple[Rows, tuple[Mask, ...]]:
    """The rows of a call, and masks that fit it."""
    queries, keys = draw(lengths), draw(lengths)
    rows = Rows.all(queries, keys, LEAD, torch.device("cpu"))
    return rows, tuple(draw(any_masks(queries, keys)) for _ in range(count))


@st.composite
def score_rows(draw: st.DrawFn, spread: float = 5.0) -> tuple[Tensor, Tensor]:
    """Scores (2, rows, keys) in float64 and what is kept of them."""
    rows, keys = draw(st.integers(1, 3)), draw(lengths)
    numbers = st.floats(-spread, spread, width=32)
    count = 2 * rows * keys
    scores = torch.tensor(
        draw(st.lists(numbers, min_size=count, max_size=count)), dtype=torch.float64
    )
    return scores.view(2, rows, keys), integers(draw, count, 0, 1).bool().view(2, rows, keys)
