"""The exponential moving average of the weights, which is validated and saved in their place."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class MovingAverage:
    r"""A model whose weights are an exponential moving average of those in training.

    .. math:: \bar w_t = d_t \bar w_{t-1} + (1 - d_t)\,w_t, \quad d_t = \min(d, \frac{1 + t}{10 + t})

    after step t, from the weights before the first step on (Polyak and Juditsky 1992,
    https://doi.org/10.1137/0330046). The smaller factor of the first steps lets the average leave the initial weights.

    Args:
        model: the model in training.
        decay: d, in [0, 1).

    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = MovingAverage(model, 0.5)
    >>> _ = nn.init.zeros_(model.weight), nn.init.ones_(average.model.weight)
    >>> average.update(model, 100)
    >>> float(average.model.weight.detach())
    0.5
    """

    def __init__(self, model: nn.Module, decay: float):
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay

    def reset(self, model: nn.Module) -> None:
        """Take the weights of a model as they are."""
        self.model.load_state_dict(model.state_dict())

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Count the weights after a step, which is numbered from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        own: list[Tensor] = list(self.model.parameters())
        new: list[Tensor] = list(model.parameters())
        torch._foreach_lerp_(own, new, 1 - decay)

    @contextlib.contextmanager
    def in_place_of(self, model: nn.Module) -> Iterator[None]:
        """Give the model the average as its weights, and its own back at the end."""
        self._exchange(model)
        try:
            yield
        finally:
            self._exchange(model)

    @torch.no_grad()
    def _exchange(self, model: nn.Module) -> None:
        for own, other in zip(self.model.parameters(), model.parameters(), strict=True):
            before = other.clone()
            other.copy_(own)
            own.copy_(before)
