"""Keys and values of the tokens that a Transformer has decoded, appended in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

STRIDE: Final = 16
"""Tokens that there is room for at first, and that are added when there is no more."""


@dataclass(eq=False)
class PastTokens:
    """Keys and values of past tokens of all layers, with room for further ones.

    Several states may share one: each reads the tokens before its own position. Only the state of the last token may
    append in place; `writable` gives any other state a copy, so that a state stays a value.
    """

    layers: tuple[Tensor, ...]
    """For each layer keys and values, (capacity, rows, 2, heads, features)."""
    filled: int
    """Tokens that are there."""

    @classmethod
    def empty(
        cls, layers: int, rows: int, heads: int, features: int, *, like: Tensor
    ) -> PastTokens:
        """Return room for the first tokens."""
        shape = (STRIDE, rows, 2, heads, features)
        return cls(tuple(like.new_empty(shape) for _ in range(layers)), 0)

    def writable(self, position: int) -> PastTokens:
        """Return the first `position` tokens with room for another one, which no other state reads."""
        if self.filled == position < self.layers[0].shape[0]:
            return self
        return PastTokens(tuple(_copied(each, position, None) for each in self.layers), position)

    def select(self, rows: Tensor, position: int) -> PastTokens:
        """Return the first `position` tokens of some rows; rows may repeat."""
        return PastTokens(tuple(_copied(each, position, rows) for each in self.layers), position)


def _copied(layer: Tensor, position: int, rows: Tensor | None) -> Tensor:
    _, count, *others = layer.shape
    count = count if rows is None else len(rows)
    copied = layer.new_empty(STRIDE * (position // STRIDE + 1), count, *others)
    if rows is None:
        copied[:position] = layer[:position]
    else:
        torch.index_select(layer[:position], 1, rows, out=copied[:position])
    return copied
