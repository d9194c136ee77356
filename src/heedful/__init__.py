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
    DtypeError,
    HeedfulError,
    MaskError,
    OptionError,
    RunError,
    ShapeError,
)

if TYPE_CHECKING:
    from heedful import models, nn
    from heedful.ops import masks, normalizers, positions, scores
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
    "DtypeError",
    "HeedfulError",
    "MaskError",
    "OptionError",
    "Plan",
    "RunError",
    "ShapeError",
    "attend",
    "band_weights",
    "masks",
    "models",
    "nn",
    "normalizers",
    "plan",
    "positions",
    "scores",
]

# Where each name that needs PyTorch lies. They are imported when first asked for: PyTorch takes seconds,
# and `heedful --help` or the answer to a misspelt option should not wait for it.
_PLACES = {
    "Attended": ("heedful.ops.call", "Attended"),
    "BandWeights": ("heedful.ops.band_weights", "BandWeights"),
    "Plan": ("heedful.ops.plan", "Plan"),
    "attend": ("heedful.ops.attend", "attend"),
    "band_weights": ("heedful.ops.band_weights", "band_weights"),
    "masks": ("heedful.ops.masks", None),
    "models": ("heedful.models", None),
    "nn": ("heedful.nn", None),
    "normalizers": ("heedful.ops.normalizers", None),
    "plan": ("heedful.ops.plan", "plan"),
    "positions": ("heedful.ops.positions", None),
    "scores": ("heedful.ops.scores", None),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'heedful' has no attribute {name!r}")
    place, attribute = _PLACES[name]
    module = importlib.import_module(place)
    value = module if attribute is None else getattr(module, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
