"""Heedful: attention for sequence models.

One exact call for every kind of attention (`attend`), models built on it (`nn`, `models`), and a
command (`heedful`) that trains, compares and explains them on a person's own files.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from heedful.errors import (
    BackendError,
    DataError,
    DeviceError,
    DivergedError,
    DtypeError,
    HeedfulError,
    LostProcessError,
    MaskError,
    NonFiniteError,
    OptionError,
    RunError,
    ShapeError,
    StoppedError,
    WriteError,
)

if TYPE_CHECKING:
    from heedful import hf, masks, models, nn, normalizers, positions, scores
    from heedful.api import TrainedModel, load, train
    from heedful.ops.attend import attend
    from heedful.ops.band_weights import BandWeights, band_weights
    from heedful.ops.call import Attended
    from heedful.ops.plan import Plan, plan

__all__ = [
    "Attended",
    "BackendError",
    "BandWeights",
    "DataError",
    "DeviceError",
    "DivergedError",
    "DtypeError",
    "HeedfulError",
    "LostProcessError",
    "MaskError",
    "NonFiniteError",
    "OptionError",
    "Plan",
    "RunError",
    "ShapeError",
    "StoppedError",
    "TrainedModel",
    "WriteError",
    "attend",
    "band_weights",
    "hf",
    "load",
    "masks",
    "models",
    "nn",
    "normalizers",
    "plan",
    "positions",
    "scores",
    "train",
]

# Imported at first use: importing PyTorch takes seconds, which `heedful --help` should not wait for.
_MODULES = {"hf", "masks", "models", "nn", "normalizers", "positions", "scores"}
_PLACES = {
    "Attended": "heedful.ops.call",
    "BandWeights": "heedful.ops.band_weights",
    "Plan": "heedful.ops.plan",
    "TrainedModel": "heedful.api",
    "attend": "heedful.ops.attend",
    "band_weights": "heedful.ops.band_weights",
    "load": "heedful.api",
    "plan": "heedful.ops.plan",
    "train": "heedful.api",
}
"""Name -> module that defines it."""


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"heedful.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module 'heedful' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
