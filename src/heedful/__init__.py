"""Heedful: attention for sequence models.

One exact call for every kind of attention (`attend`), models built on it (`nn`, `models`), and a
command (`heedful`) that trains, compares and explains them on a person's own files.
"""

from __future__ import annotations

from heedful import models, nn
from heedful.errors import (
    BackendError,
    DataError,
    DeviceError,
    DtypeError,
    HeedfulError,
    MaskError,
    OptionError,
    RunError,
    ShapeError,
)
from heedful.ops import masks, normalizers, positions, scores
from heedful.ops.attend import attend
from heedful.ops.call import Attended
from heedful.ops.plan import Plan, plan

__all__ = [
    "Attended",
    "BackendError",
    "DataError",
    "DeviceError",
    "DtypeError",
    "HeedfulError",
    "MaskError",
    "OptionError",
    "Plan",
    "RunError",
    "ShapeError",
    "attend",
    "masks",
    "models",
    "nn",
    "normalizers",
    "plan",
    "positions",
    "scores",
]
