"""Sparse alternatives to softmax, with most weights exactly 0: sparsemax and entmax. Weights sum to 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

from heedful.errors import OptionError
from heedful.ops.finite import can_read_values
from heedful.ops.jit.kernel import unavailable
from heedful.ops.normalizers.base import Normalizer, widened
from heedful.ops.normalizers.softmax import Softmax
from heedful.ops.normalizers.sparse_function import sparse_by_rows
from heedful.ops.normalizers.sparse_plain import plain_entmax, plain_sparsemax


@dataclass(frozen=True)
class Sparsemax(Normalizer):
    r"""w = argmin over the simplex of ‖w − e‖² (Martins & Astudillo 2016, https://arxiv.org/abs/1602.02068).

    w_j = max(e_j − τ, 0), with τ such that the weights sum to 1. Exact, and supports double backward.

    >>> import torch
    >>> Sparsemax().weights(torch.tensor([[1.0, 0.8, -1.0]]), None)
    tensor([[0.6000, 0.4000, 0.0000]])
    """

    name: ClassVar[str] = "sparsemax"
    is_static: ClassVar[bool] = True
    cell_seconds: ClassVar[float] = 1.5e-9
    mask_cell_seconds: ClassVar[float] = 0.0  # the kernel reads the mask
    backward_factor: ClassVar[float] = 0.7

    def cells_kept(self, masked: bool) -> int:
        return 1 if unavailable() is None else 2

    def weights(self, scores: Tensor, keep: Tensor | None) -> Tensor:
        wide = widened(scores)
        if _can_use_kernel(wide):
            return sparse_by_rows(wide, keep, 2.0).to(scores.dtype)
        return plain_sparsemax(wide, keep).to(scores.dtype)


@dataclass(frozen=True, eq=False)
class Entmax(Normalizer):
    r"""w_j = [(α−1)e_j − τ]₊^{1/(α−1)}, τ such that Σw = 1 (Peters et al. 2019, https://arxiv.org/abs/1905.05702).

    `alpha` is a number of at least 1, or a learned tensor (*) above 1 that broadcasts against heads (Correia et al.
    2019, https://arxiv.org/abs/1909.00015). α = 1 is softmax, α = 2 is sparsemax. Double backward is supported, also
    with respect to α. The threshold τ is exact whatever the number of keys, so there is no `k` as in other libraries,
    where only the k highest scores are looked at.

    Raises:
        OptionError: a number below 1, or a tensor with an element of 1 or less. Note that 1 + sigmoid(·) can round to
            1, so clamp it.

    >>> import torch
    >>> Entmax().weights(torch.tensor([[1.0, 0.8, -3.0]]), None)
    tensor([[0.5705, 0.4295, 0.0000]])
    """

    alpha: float | Tensor = 1.5
    name: ClassVar[str] = "entmax"
    cell_seconds: ClassVar[float] = 4.2e-9
    mask_cell_seconds: ClassVar[float] = 0.0  # the kernel reads the mask
    backward_factor: ClassVar[float] = 0.7

    def __post_init__(self) -> None:
        alpha = self.alpha
        if isinstance(alpha, Tensor):
            return
        if not isinstance(alpha, int | float) or not 1 <= alpha < math.inf:
            raise OptionError(
                f"Entmax(alpha={alpha!r}): alpha is 1 (softmax) or more; 2 is sparsemax. Below 1 the weights would "
                f"be flatter than those of softmax: divide the scores by a temperature for that."
            )

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.alpha,) if isinstance(self.alpha, Tensor) else ()

    def cells_kept(self, masked: bool) -> int:
        return 1 if unavailable() is None else 12

    def weights(self, scores: Tensor, keep: Tensor | None) -> Tensor:
        if not isinstance(self.alpha, Tensor) and self.alpha == 1:
            return Softmax().weights(scores, keep)
        self.validate()
        wide = widened(scores)
        if _can_use_kernel(wide):
            return sparse_by_rows(wide, keep, self.alpha).to(scores.dtype)
        if not isinstance(self.alpha, Tensor) and self.alpha == 2:
            return plain_sparsemax(wide, keep).to(scores.dtype)
        return plain_entmax(wide, keep, self.alpha).to(scores.dtype)

    def validate(self) -> None:
        """Raise an `OptionError` where a learned α, on a processor, is not above 1."""
        alpha = self.alpha
        # At α = 1 the exponent 1 / (α − 1) is infinite, and the weights would silently become 0 or 1. Not checked on an
        # accelerator, where reading α would synchronize.
        if not isinstance(alpha, Tensor) or not alpha.is_cpu or not can_read_values(alpha):
            return
        if not bool((alpha > 1).all()):
            raise OptionError(
                f"Entmax: alpha is a tensor that holds {alpha.min().item():.7g}, but a learned alpha is above 1; keep "
                f"it there with alpha.clamp(min=1.01), or give the number 1 for softmax."
            )


def is_sparse(normalizer: Normalizer) -> bool:
    """Whether the kernels compute a normalizer: sparsemax, or entmax with α > 1.

    >>> is_sparse(Sparsemax()), is_sparse(Entmax(1.5)), is_sparse(Entmax(1.0))
    (True, True, False)
    """
    if isinstance(normalizer, Entmax):
        return isinstance(normalizer.alpha, Tensor) or normalizer.alpha > 1
    return isinstance(normalizer, Sparsemax)


def excess_of_heads(normalizer: Normalizer, lead: tuple[int, ...], device: torch.device) -> Tensor:
    """α − 1 of sparsemax and entmax for each of the leading axes, (*lead), in float64.

    Raises: OptionError for a learned α that is not above 1.

    >>> excess_of_heads(Entmax(1.5), (2,), torch.device("cpu"))
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    alpha: float | Tensor = 2.0
    if isinstance(normalizer, Entmax):
        normalizer.validate()
        alpha = normalizer.alpha
    if not isinstance(alpha, Tensor):
        alpha = torch.tensor(alpha, dtype=torch.float64, device=device)
    return (alpha.double() - 1).expand(lead)


def _can_use_kernel(scores: Tensor) -> bool:
    if not scores.is_cpu or not can_read_values(scores) or scores.numel() == 0:
        return False
    # The kernel has no forward-mode derivative.
    return forward_ad._current_level < 0 and unavailable() is None
