"""Scores: how a query and a key are compared.

The public name of `heedful.ops.scores`.
"""

from __future__ import annotations

from heedful.ops.scores import *  # noqa: F403
from heedful.ops.scores import __all__ as __all__
