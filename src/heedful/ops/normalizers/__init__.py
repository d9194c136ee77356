"""Normalizers: from scores to weights. A new normalizer is one file and one line in `NORMALIZERS`."""

from __future__ import annotations

from heedful.ops.normalizers.base import Normalizer
from heedful.ops.normalizers.elementwise import ReLU, Sigmoid
from heedful.ops.normalizers.sink import SinkSoftmax
from heedful.ops.normalizers.softmax import Softmax
from heedful.ops.normalizers.sparse import Entmax, Sparsemax

NORMALIZERS: dict[str, type[Normalizer]] = {
    normalizer.name: normalizer
    for normalizer in (
        Softmax,
        SinkSoftmax,
        Sparsemax,
        Entmax,
        Sigmoid,
        ReLU,
    )
}
"""Every normalizer by name."""

__all__ = [
    "NORMALIZERS",
    "Entmax",
    "Normalizer",
    "ReLU",
    "Sigmoid",
    "SinkSoftmax",
    "Softmax",
    "Sparsemax",
]
