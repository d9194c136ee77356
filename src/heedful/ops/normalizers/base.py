"""The base class of normalizers, which map rows of scores to rows of weights, and masking helpers."""

from __future__ import annotations

import abc
from typing import ClassVar

import torch
from torch import Tensor

from heedful.ops.static import CallPart


class Normalizer(CallPart, abc.ABC):
    """Map the scores of a query against all its keys to weights.

    `attend` gives scores in float32 or wider; scores in half precision are normalized in float32 and give weights in
    half precision. Weights are exactly 0 where `keep` is False. A fully masked row has weights 0 and
    gradient 0.

    >>> from heedful import normalizers
    >>> keep = torch.tensor([True, True, False])
    >>> normalizers.Sparsemax().weights(torch.tensor([[1.0, 0.5, 9.0]]), keep)
    tensor([[0.7500, 0.2500, 0.0000]])
    """

    name: ClassVar[str]

    cell_seconds: ClassVar[float] = 0.0
    """Cost per score beyond that of softmax, in seconds of one thread; used by `plan`."""

    mask_cell_seconds: ClassVar[float] = 2e-9
    """Seconds that a mask costs for each score."""
    backward_factor: ClassVar[float] = 1.0
    """How long the backward pass takes relative to that of softmax."""

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors the normalizer holds, for device checks."""
        return ()

    def cells_kept(self, masked: bool) -> int:
        """Number of tensors of the size of the scores that are saved for backward."""
        return 2 if masked else 1

    @abc.abstractmethod
    def weights(self, scores: Tensor, keep: Tensor | None) -> Tensor:
        """Normalize scores (..., query, key) over keys; `keep` is boolean and broadcasts to them, None keeps all."""


def widened(scores: Tensor) -> Tensor:
    """The scores in float32 or wider: kernels, thresholds and sums want that."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def mask_low(scores: Tensor, keep: Tensor | None) -> Tensor:
    """Replace masked scores by the lowest finite number: its exp is 0, and unlike -inf it cannot lead to NaN."""
    if keep is None:
        return scores
    return torch.where(keep, scores, torch.finfo(scores.dtype).min)


def mask_zero(values: Tensor, keep: Tensor | None) -> Tensor:
    """Replace masked entries by 0."""
    return values if keep is None else torch.where(keep, values, 0.0)
