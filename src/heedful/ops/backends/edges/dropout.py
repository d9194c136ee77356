"""Dropout of edge weights whose random numbers follow from a seed and a place, so that none are kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

WORDS = 2**32
GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""SplitMix64's numbers (Steele et al. 2014, https://doi.org/10.1145/2660193.2660195)."""


@dataclass(frozen=True, eq=False)
class Dropping:
    """With what probability weights are dropped, and where their random numbers begin."""

    seed: Tensor | None
    """(1,), int64; None where nothing is dropped."""
    probability: float

    @property
    def limit(self) -> int:
        """Random 32-bit words below it drop."""
        return round(self.probability * WORDS)

    @property
    def growth(self) -> float:
        """What a weight that stays is multiplied by."""
        stay = WORDS - self.limit
        return WORDS / stay if stay else 0.0


NEVER = Dropping(None, 0.0)


def dropping(probability: float) -> Dropping:
    """Draw a seed from PyTorch's generator.

    >>> dropping(0.0) is NEVER
    True
    """
    return Dropping(torch.randint(2**62, (1,)), probability) if probability else NEVER


def kept(dropped: Dropping, edges: int, query: Tensor) -> Tensor:
    """What the kernel multiplies each weight by, 0 or the growth: (batch, edges, heads), like `query`."""
    batch, _, heads, _ = query.shape
    assert dropped.seed is not None
    seed = dropped.seed.to(query.device)
    place = torch.arange(1, batch * edges * heads + 1, device=query.device)
    bits = _scrambled(seed + place * _signed(GOLDEN), 30) * _signed(FIRST)
    bits = _scrambled(_scrambled(bits, 27) * _signed(SECOND), 31)
    stays: Tensor = (bits >> 32) & (WORDS - 1) >= dropped.limit
    factors: Tensor = stays.view(batch, edges, heads).to(query.dtype)
    return factors.mul_(dropped.growth)


def _scrambled(bits: Tensor, shift: int) -> Tensor:
    # Shifting right fills with the sign; the kernel's numbers have none.
    scrambled: Tensor = bits ^ ((bits >> shift) & (2 ** (64 - shift) - 1))
    return scrambled


def _signed(number: int) -> int:
    return number - 2**64
