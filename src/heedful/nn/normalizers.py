"""Normalizers by name, and normalizers with parameters."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable

import torch
from torch import nn

from heedful.errors import OptionError, unknown_choice
from heedful.ops.normalizers import NORMALIZERS, Entmax, Normalizer, SinkSoftmax


class NormalizerModule(nn.Module, abc.ABC):
    """Base class of normalizers with parameters. `module()` returns the value for `attend`.

    >>> build_normalizer("learned_entmax", num_heads=4)().name
    'entmax'
    """

    @abc.abstractmethod
    def forward(self) -> Normalizer:
        """Return the normalizer with the current parameters."""


class LearnedEntmax(NormalizerModule):
    r"""Entmax with a learned :math:`\alpha` per head (Correia et al. 2019, https://arxiv.org/abs/1909.00015).

    .. math:: \alpha = 1 + \sigma(a)

    with a parameter :math:`a`, so :math:`\alpha` lies between 1 (softmax) and 2 (sparsemax).

    Args:
        num_heads: number of heads; None for attention without a head axis.
        initial: initial :math:`\alpha`.

    Raises:
        OptionError: `initial` is not strictly between 1 and 2.

    >>> LearnedEntmax(num_heads=2)().alpha
    tensor([1.5000, 1.5000], grad_fn=<AddBackward0>)
    """

    def __init__(self, num_heads: int | None = None, *, initial: float = 1.5):
        super().__init__()
        if not 1 < initial < 2:
            raise OptionError(
                f"initial={initial} must lie strictly between 1 (softmax) and 2 (sparsemax)."
            )
        raw = math.log((initial - 1) / (2 - initial))
        self.raw_alpha = nn.Parameter(torch.full([] if num_heads is None else [num_heads], raw))

    def forward(self) -> Entmax:
        return Entmax(torch.sigmoid(self.raw_alpha) + 1)


class LearnedSinkSoftmax(NormalizerModule):
    r"""Softmax with a learned attention sink per head, as in gpt-oss (OpenAI 2025, https://arxiv.org/abs/2508.10925).

    .. math:: w_j = \exp(e_j) / (\exp(a) + \sum_k \exp(e_k))

    with a parameter :math:`a`, which starts at 0.

    Args:
        num_heads: number of heads; None for attention without a head axis.

    >>> LearnedSinkSoftmax(num_heads=2)().sink.shape
    torch.Size([2])
    """

    def __init__(self, num_heads: int | None = None):
        super().__init__()
        self.sink = nn.Parameter(torch.zeros([] if num_heads is None else [num_heads]))

    def forward(self) -> SinkSoftmax:
        return SinkSoftmax(self.sink)


NormalizerBuilder = Callable[[int | None], Normalizer | NormalizerModule]
"""num_heads -> normalizer; `num_heads` is None for attention without a head axis."""


def _without_parameters(kind: type[Normalizer]) -> NormalizerBuilder:
    return lambda _: kind()


NORMALIZER_BUILDERS: dict[str, NormalizerBuilder] = {
    **{name: _without_parameters(kind) for name, kind in NORMALIZERS.items()},
    "learned_entmax": LearnedEntmax,
    "learned_sink_softmax": LearnedSinkSoftmax,
}
"""Builders of normalizers by name: every entry of `heedful.normalizers.NORMALIZERS` with its default options, and
those with parameters."""


def build_normalizer(name: str, *, num_heads: int | None = None) -> Normalizer | NormalizerModule:
    """Build a normalizer by name. "entmax" has alpha 1.5; "learned_entmax" has a learned alpha per head,
    "learned_sink_softmax" a learned sink.

    Args:
        name: a name from `NORMALIZER_BUILDERS`.
        num_heads: number of heads; None for attention without a head axis.

    Raises:
        OptionError: unknown name.

    >>> build_normalizer("sparsemax")
    Sparsemax()
    """
    if name not in NORMALIZER_BUILDERS:
        raise unknown_choice("normalizer", name, NORMALIZER_BUILDERS)
    return NORMALIZER_BUILDERS[name](num_heads)
