"""What a normalizer is: scores of whole rows in, weights out."""

from __future__ import annotations

import abc
from typing import ClassVar

import torch
from torch import Tensor

from heedful.ops.static import CallPart


class Normalizer(CallPart, abc.ABC):
    """Turn the scores of a query against all its keys into weights.

    Scores arrive in float32 or wider. Weights are exactly 0 where `keep` is False, and a row that keeps nothing is
    all zeros, with gradient 0.

    >>> from heedful import normalizers
    >>> keep = torch.tensor([True, True, False])
    >>> normalizers.Sparsemax().weights(torch.tensor([[1.0, 0.5, 9.0]]), keep)
    tensor([[0.7500, 0.2500, 0.0000]])
    """

    name: ClassVar[str]

    cell_seconds: ClassVar[float] = 0.0
    """What it takes on each score beyond what softmax takes, in seconds of one thread."""

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors the normalizer holds, for device checks."""
        return ()

    def cells_kept(self, masked: bool) -> int:
        """How many tensors of the size of the scores are kept for the backward pass."""
        return 2 if masked else 1

    @abc.abstractmethod
    def weights(self, scores: Tensor, keep: Tensor | None) -> Tensor:
        """Normalize (..., query, key) along its last axis; `keep` is boolean and broadcasts, None keeps all."""


def mask_low(scores: Tensor, keep: Tensor | None) -> Tensor:
    """Replace dropped scores by the lowest finite number: exp of it is 0, and no NaN can arise from it."""
    if keep is None:
        return scores
    return torch.where(keep, scores, torch.finfo(scores.dtype).min)


def mask_zero(values: Tensor, keep: Tensor | None) -> Tensor:
    """Replace dropped entries by 0."""
    return values if keep is None else torch.where(keep, values, 0.0)
