# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Random numbers in kernels that follow from a seed and a position, one at a time."""

from __future__ import annotations

import numpy as np

from heedful.ops.jit.kernel import inlined
from heedful.ops.jit.mixing import FIRST, GOLDEN, SECOND


@inlined(no_refcount=True)
def random_number(seed, position):
    """64 bits: the number of SplitMix64 at a position."""
    bits = np.uint64(seed) + np.uint64(position) * np.uint64(GOLDEN)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(FIRST)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(SECOND)
    return bits ^ (bits >> np.uint64(31))
