# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""e^x without branches, so that loops over it are vectorized."""

from __future__ import annotations

import numpy as np

from heedful.ops.jit.kernel import inlined

# Range reduction and the split of ln 2 depend on the order of operations, so reassociation is not allowed.
STRICT = frozenset({"contract"})

LOG2_E = np.float32(1.44269504088896341)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
HALF, ONE = np.float32(0.5), np.float32(1.0)
LOWEST, HIGHEST = np.float32(-87.0), np.float32(88.0)
P0, P1, P2 = (
    np.float32(1.9875691500e-4),
    np.float32(1.3981999507e-3),
    np.float32(8.3334519073e-3),
)
P3, P4, P5 = (
    np.float32(4.1665795894e-2),
    np.float32(1.6666665459e-1),
    np.float32(5.0000001201e-1),
)


@inlined(fastmath=STRICT)
def exponential(x):
    """e^x of a float32 scalar, accurate to 1 ulp (Cephes' expf); x is clamped to [-87, 88]."""
    x = HIGHEST if x > HIGHEST else x
    x = LOWEST if x < LOWEST else x
    whole = np.floor(x * LOG2_E + HALF)
    rest = x - whole * LN2_HIGH
    rest = rest - whole * LN2_LOW
    series = ((((P0 * rest + P1) * rest + P2) * rest + P3) * rest + P4) * rest + P5
    scale = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
    return (series * (rest * rest) + rest + ONE) * scale
