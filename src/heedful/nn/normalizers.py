"""Normalizers by name, and the one that owns a parameter."""

from __future__ import annotations

import abc
import math

import torch
from torch import nn

from heedful.errors import OptionError, unknown_choice
from heedful.ops.normalizers import Entmax, Normalizer, ReLU, Sigmoid, Softmax, Sparsemax


class NormalizerModule(nn.Module, abc.ABC):
    """Owner of a normalizer's parameters. `module()` returns the normalizer value that `attend` takes.

    >>> build_normalizer("learned_entmax", heads=4)().name
    'entmax'
    """

    @abc.abstractmethod
    def forward(self) -> Normalizer:
        """Return the normalizer made of the parameters as they are now."""


class LearnedEntmax(NormalizerModule):
    r"""Entmax whose :math:`\alpha` is learned, one a head (Correia et al. 2019, https://arxiv.org/abs/1909.00015).

    .. math:: \alpha = 1 + \sigma(a)

    :math:`\alpha` stays between 1 (softmax) and 2 (sparsemax).

    Args:
        heads: how many heads; None for attention without a head axis.
        initial: the :math:`\alpha` to start from.

    Raises:
        OptionError: when `initial` is not strictly between 1 and 2.

    >>> LearnedEntmax(heads=2)().alpha
    tensor([1.5000, 1.5000], grad_fn=<AddBackward0>)
    """

    def __init__(self, heads: int | None = None, *, initial: float = 1.5):
        super().__init__()
        if not 1 < initial < 2:
            raise OptionError(
                f"initial={initial} must lie strictly between 1 (softmax) and 2 (sparsemax)."
            )
        raw = math.log((initial - 1) / (2 - initial))
        self.raw_alpha = nn.Parameter(torch.full([] if heads is None else [heads], raw))

    def forward(self) -> Entmax:
        return Entmax(torch.sigmoid(self.raw_alpha) + 1)


NORMALIZER_NAMES = ("softmax", "sparsemax", "entmax", "learned_entmax", "sigmoid", "relu")
"""Every normalizer a module can be built with, by its name in configurations and on the command line."""


def build_normalizer(name: str, *, heads: int | None = None) -> Normalizer | NormalizerModule:
    """Build the normalizer `name`; "entmax" has alpha 1.5, "learned_entmax" learns one for each head.

    Raises:
        OptionError: for an unknown name.

    >>> build_normalizer("sparsemax")
    Sparsemax()
    """
    fixed: dict[str, Normalizer] = {
        "softmax": Softmax(),
        "sparsemax": Sparsemax(),
        "entmax": Entmax(1.5),
        "sigmoid": Sigmoid(),
        "relu": ReLU(),
    }
    if name in fixed:
        return fixed[name]
    if name == "learned_entmax":
        return LearnedEntmax(heads)
    raise unknown_choice("normalizer", name, NORMALIZER_NAMES)
