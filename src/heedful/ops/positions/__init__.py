"""Positions: added to the input, applied inside `prepare` (rotary), or as a bias on the scores."""

from __future__ import annotations

from heedful.ops.positions.biases import ALiBi, PositionBias, RelativeBuckets
from heedful.ops.positions.quadratic import Quadratic
from heedful.ops.positions.rotary import Rotary
from heedful.ops.positions.sinusoidal import sinusoidal

__all__ = ["ALiBi", "PositionBias", "Quadratic", "RelativeBuckets", "Rotary", "sinusoidal"]
