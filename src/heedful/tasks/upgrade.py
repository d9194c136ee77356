"""Run folders of older formats: how what they hold is brought up to date while it is read.

Format 1 kept the head's tensors at the top of the model, and the mean and scale of regression targets with
the weights. Format 2 keeps them under `head.`, and in `target.json`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from torch import Tensor

RENAMED: Final = (
    (re.compile(r"^((?:_members\.\d+\.)?)(pooling|output|chain)\."), r"\1head.\2."),
    (re.compile(r"^((?:_members\.\d+\.)?)frequencies$"), r"\1frequency.shares"),
)
"""Patterns of names in format 1 -> names in format 2."""
REMOVED: Final = frozenset({"target_mean", "target_scale"})


def upgrade_weights(tensors: Mapping[str, Tensor], found: int) -> dict[str, Tensor]:
    """Give the tensors of a run of format `found` the names of the present format.

    >>> import torch
    >>> list(upgrade_weights({"output.weight": torch.ones(1), "target_mean": torch.ones(1)}, 1))
    ['head.output.weight']
    """
    if found >= 2:
        return dict(tensors)
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name in REMOVED:
            continue
        for pattern, replacement in RENAMED:
            name = pattern.sub(replacement, name)
        renamed[name] = tensor
    return renamed
