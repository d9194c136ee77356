"""Dropout of edge weights whose random numbers are a function of a seed and a position, so that none are stored."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.ops.jit.mixing import FIRST, GOLDEN, SECOND

WORDS = 2**32


@dataclass(frozen=True, eq=False)
class EdgeDropout:
    """The probability of dropping a weight, and the seed of the random numbers."""

    seed: Tensor | None
    """(1,), int64; None where nothing is dropped."""
    probability: float

    @property
    def limit(self) -> int:
        """A weight is dropped where its random 32-bit number is below this."""
        return round(self.probability * WORDS)

    @property
    def scale(self) -> float:
        """What the remaining weights are multiplied by: 1 / (1 - probability), or 0 where all are dropped."""
        kept = WORDS - self.limit
        return WORDS / kept if kept else 0.0


NO_DROPOUT = EdgeDropout(None, 0.0)


def draw_dropout(probability: float) -> EdgeDropout:
    """Draw a seed from PyTorch's generator.

    >>> draw_dropout(0.0) is NO_DROPOUT
    True
    """
    if not probability:
        return NO_DROPOUT
    return EdgeDropout(torch.randint(2**62, (1,)), probability)


def dropout_factors(dropout: EdgeDropout, edges: int, query: Tensor) -> Tensor | None:
    """Return the factors by which the kernels multiply weights, (batch, edges, heads): 0 or the scale.

    Args:
        dropout: probability and seed.
        edges: how many edges there are.
        query: (batch, queries, heads, features); gives sizes, dtype and device.

    Returns:
        The factors; None where nothing is dropped.
    """
    if not dropout.probability:
        return None
    batch, _, heads, _ = query.shape
    assert dropout.seed is not None
    position = torch.arange(1, batch * edges * heads + 1, device=query.device)
    bits = split_mix(dropout.seed.to(query.device), position)
    kept: Tensor = (bits >> 32) & (WORDS - 1) >= dropout.limit
    factors: Tensor = kept.view(batch, edges, heads).to(query.dtype)
    return factors.mul_(dropout.scale)


def split_mix(seed: Tensor, position: Tensor) -> Tensor:
    """SplitMix64's numbers of 64 bits at the positions."""
    bits = _mixed(seed + position * _signed(GOLDEN), 30) * _signed(FIRST)
    return _mixed(_mixed(bits, 27) * _signed(SECOND), 31)


def _mixed(bits: Tensor, shift: int) -> Tensor:
    # int64 shifts right with its sign; SplitMix64's numbers are unsigned.
    mixed: Tensor = bits ^ ((bits >> shift) & (2 ** (64 - shift) - 1))
    return mixed


def _signed(number: int) -> int:
    return number - 2**64
