"""The key-value cache of multi-head attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.errors import OptionError, ShapeError
from heedful.ops.scores import PreparedKey


@dataclass(frozen=True, eq=False)
class KeyValueCache:
    """Prepared keys and projected values of one `MultiHeadAttention`.

    Shapes: (*batch, num_kv_heads, length, features). A cache is immutable: `append` and `select` return a new one.

    >>> from heedful.nn import MultiHeadAttention
    >>> attention = MultiHeadAttention(8, num_heads=2)
    >>> cache = attention(torch.randn(3, 5, 8)).cache
    >>> token = torch.randn(2, 1, 8)
    >>> attention(token, token, cache=cache.select(torch.tensor([0, 2]))).cache.length
    6
    """

    key: PreparedKey
    value: Tensor

    @property
    def length(self) -> int:
        """Number of keys in the cache."""
        return self.value.shape[-2]

    def select(self, index: Tensor) -> KeyValueCache:
        """Return the batch rows `index`, in that order; rows may repeat."""
        features = self.key.features.index_select(0, index)
        return KeyValueCache(self.key.with_features(features), self.value.index_select(0, index))

    def append(self, later: KeyValueCache) -> KeyValueCache:
        """Return the keys of `self` followed by those of `later`.

        Raises:
            OptionError: the keys of `later` were prepared by another score.
            ShapeError: an axis other than the length differs.
        """
        held, new = self.key, later.key
        if held.score != new.score:
            raise OptionError(
                f"the cache holds keys prepared by the score {held.score}, but those to append are by {new.score}; "
                f"give each module its own cache."
            )
        for name, old, more in (
            ("keys", held.features, new.features),
            ("values", self.value, later.value),
        ):
            if (*old.shape[:-2], old.shape[-1]) != (*more.shape[:-2], more.shape[-1]):
                raise ShapeError(
                    f"the cache holds {name} {tuple(old.shape)}, but those to append are {tuple(more.shape)}; all "
                    f"axes but the length must be equal; select the rows of the cache with cache.select(index)."
                )
        features = torch.cat([self.key.features, later.key.features], dim=-2)
        value = torch.cat([self.value, later.value], dim=-2)
        return KeyValueCache(self.key.with_features(features), value)
