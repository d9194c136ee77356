"""Position schemes: added to the input, applied to queries and keys, or added to the scores.

The public name of `heedful.ops.positions`.
"""

from __future__ import annotations

from heedful.ops.positions import *  # noqa: F403
from heedful.ops.positions import __all__ as __all__
