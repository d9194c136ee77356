"""What multi-head attention keeps from call to call."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.ops.scores import PreparedKey


@dataclass(frozen=True, eq=False)
class KeyValueCache:
    """Prepared keys and projected values of one multi-head attention.

    Axes are (*batch, key_heads, length, features). A cache is a value: appending or selecting gives a new one.
    """

    key: PreparedKey
    value: Tensor

    @property
    def length(self) -> int:
        """How many keys the cache holds."""
        return self.value.shape[-2]

    def select(self, index: Tensor) -> KeyValueCache:
        """Return the batch rows `index`, in that order; rows may repeat."""
        features = self.key.features.index_select(0, index)
        return KeyValueCache(self.key.with_features(features), self.value.index_select(0, index))

    def append(self, later: KeyValueCache) -> KeyValueCache:
        """Return the keys of `self` followed by those of `later`."""
        features = torch.cat([self.key.features, later.key.features], dim=-2)
        value = torch.cat([self.value, later.value], dim=-2)
        return KeyValueCache(self.key.with_features(features), value)
