"""Constants of SplitMix64, which turns counters into bits (Steele et al. 2014).

https://doi.org/10.1145/2660193.2660195
"""

GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""The step between positions, and the two factors."""
SHIFTS = 30, 27, 31
"""By how much the bits are shifted before each factor, and at last."""
