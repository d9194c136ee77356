"""Masks: which query may attend to which key.

The public name of `heedful.ops.masks`.
"""

from __future__ import annotations

from heedful.ops.masks import *  # noqa: F403
from heedful.ops.masks import __all__ as __all__
