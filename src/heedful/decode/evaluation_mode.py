"""Evaluation mode inside a `with` block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put every module of `model` in evaluation mode, and restore each module's mode afterwards.

    >>> model = nn.Sequential(nn.Dropout(0.5))
    >>> with evaluation_mode(model):
    ...     model[0].training
    False
    >>> model[0].training
    True
    """
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
