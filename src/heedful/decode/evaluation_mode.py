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
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
