"""Validation of the sizes of modules."""

from __future__ import annotations

from collections.abc import Mapping

from heedful.errors import ShapeError


def check_sizes(sizes: Mapping[str, int | None]) -> None:
    """Raise ShapeError for a size below 1; None means a default.

    >>> check_sizes({"embed_dim": 8, "hidden_dim": None})
    """
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ShapeError(f"{name}={size} is not a size; give at least 1.")
