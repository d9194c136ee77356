"""Strict JSON: NaN and infinity, which JSON does not have, are written as null and read back as NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def to_strict_json(values: Any, **options: Any) -> str:
    """Return a value as JSON that every reader accepts; a float that is not finite becomes null.

    Args:
        values: mappings, sequences, strings, numbers, booleans and None, nested.
        options: further arguments of `json.dumps`.

    >>> to_strict_json({"loss": float("nan"), "counts": (1, 2.5)})
    '{"loss": null, "counts": [1, 2.5]}'
    """
    return json.dumps(_finite(values), allow_nan=False, **options)


def numbers_from_json(values: Mapping[str, Any]) -> dict[str, float]:
    """Return numbers by name, as `to_strict_json` wrote them; null is NaN.

    >>> numbers_from_json({"loss": 0.5, "bleu": None})
    {'loss': 0.5, 'bleu': nan}
    """
    return {name: number_from_json(value) for name, value in values.items()}


def number_from_json(value: Any) -> float:
    """Return a number; None, which stands for one that was not finite, is NaN."""
    return math.nan if value is None else value


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
