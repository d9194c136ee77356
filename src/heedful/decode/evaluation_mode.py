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
    training = _in_training(model)
    for module in training:
        module.training = False
    try:
        yield
    finally:
        # The block may itself train parts: oneDNN's LSTM has a backward pass in training mode only.
        for module in _in_training(model):
            module.training = False
        for module in training:
            module.training = True


def _in_training(model: nn.Module) -> list[nn.Module]:
    """Return the modules in training mode.

    `modules` also builds their names and `children` looks for repeated ones: a tenth of the time of translating one
    sentence, which asks several times.
    """
    found, left = [], [model]
    while left:
        module = left.pop()
        if module.training:
            found.append(module)
        left += [child for child in module._modules.values() if child is not None]
    return found
