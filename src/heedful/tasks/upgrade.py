"""Upgrade of the weights of older run folder formats when they are loaded.

Format 1 has the tensors of the head at the top level and the mean and scale of regression targets among the
weights. Format 2 has the former under `head.` and the latter in `target.json`.
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
"""Patterns of format 1 names and their replacements in format 2."""
REMOVED: Final = frozenset({"target_mean", "target_scale"})


def upgrade_weights(tensors: Mapping[str, Tensor], format_number: int) -> dict[str, Tensor]:
    """Rename the tensors of a run of format `format_number` to the current format.

    >>> import torch
    >>> list(upgrade_weights({"output.weight": torch.ones(1), "target_mean": torch.ones(1)}, 1))
    ['head.output.weight']
    """
    if format_number >= 2:
        return dict(tensors)
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name in REMOVED:
            continue
        for pattern, replacement in RENAMED:
            name = pattern.sub(replacement, name)
        renamed[name] = tensor
    return renamed
