"""Masks: which query may attend to which key. A new mask is one file and one line in `MASKS`."""

from __future__ import annotations

from heedful.ops.masks.base import Dense, Mask, as_mask
from heedful.ops.masks.edges import Edges
from heedful.ops.masks.grid import GridTiles, GridWindow
from heedful.ops.masks.positional import Causal, Global, Window
from heedful.ops.masks.sequences import LeftPadding, Padding, Ragged, Segments

MASKS: dict[str, type[Mask]] = {
    "causal": Causal,
    "window": Window,
    "global": Global,
    "padding": Padding,
    "left_padding": LeftPadding,
    "ragged": Ragged,
    "segments": Segments,
    "edges": Edges,
    "grid_window": GridWindow,
    "grid_tiles": GridTiles,
    "dense": Dense,
}
"""Every mask by name; `&`, `|` and `~` combine them."""

__all__ = [
    "MASKS",
    "Causal",
    "Dense",
    "Edges",
    "Global",
    "GridTiles",
    "GridWindow",
    "LeftPadding",
    "Mask",
    "Padding",
    "Ragged",
    "Segments",
    "Window",
    "as_mask",
]
