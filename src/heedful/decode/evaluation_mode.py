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
    training = list(_in_training(model))
    for module in training:
        module.training = False
    try:
        yield
    finally:
        # The block may itself train parts: oneDNN's LSTM has a backward pass in training mode only.
        for module in list(_in_training(model)):
            module.training = False
        for module in training:
            module.training = True


def _in_training(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules in training mode; `modules` also builds their names, which takes several times as long."""
    if module.training:
        yield module
    for child in module.children():
        yield from _in_training(child)
