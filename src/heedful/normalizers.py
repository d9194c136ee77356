"""Normalizers: how scores become weights.

The public name of `heedful.ops.normalizers`.
"""

from __future__ import annotations

from heedful.ops.normalizers import *  # noqa: F403
from heedful.ops.normalizers import __all__ as __all__
