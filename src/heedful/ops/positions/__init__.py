"""Positions: added to the input, applied inside `prepare` (rotary), or as a bias on the scores."""

from __future__ import annotations

from heedful.ops.grid import Grid
from heedful.ops.positions.biases import ALiBi, PositionBias, RelativeBuckets
from heedful.ops.positions.grid import GridALiBi, GridRelative, GridRotary, grid_sinusoidal
from heedful.ops.positions.quadratic import Quadratic
from heedful.ops.positions.rotary import Rotary
from heedful.ops.positions.sinusoidal import sinusoidal

__all__ = [
    "ALiBi",
    "Grid",
    "GridALiBi",
    "GridRelative",
    "GridRotary",
    "PositionBias",
    "Quadratic",
    "RelativeBuckets",
    "Rotary",
    "grid_sinusoidal",
    "sinusoidal",
]
