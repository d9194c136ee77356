"""Sizes that modules are built with."""

from __future__ import annotations

from collections.abc import Mapping

from heedful.errors import ShapeError


def check_sizes(sizes: Mapping[str, int | None]) -> None:
    """Refuse a size below 1 with ShapeError; None stands for a default.

    >>> check_sizes({"width": 8, "hidden": None})
    """
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ShapeError(f"{name}={size} is no size; give at least 1.")
