"""Dropout with fast random numbers on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.ops.dropping import can_drop, drop, drop_rectified
from heedful.ops.finite import in_torch_func

LEVELS = 2**16
"""On a CPU probabilities are rounded to multiples of 1 / LEVELS."""


def dropout(inputs: Tensor, probability: float) -> Tensor:
    r"""Set random features to 0 and scale the others, so that the expectation is unchanged.

    .. math:: y = x \cdot b / (1 - p), \quad b \sim \mathrm{Bernoulli}(1 - p)

    Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html. On a CPU one 64-bit number from PyTorch's
    default generator is used for four features, which is four times faster than a Bernoulli number for each. There
    `probability` is rounded to a multiple of :math:`2^{-16}`. The scale uses the rounded probability, so the
    expectation is exact. Large inputs go through `heedful.ops.dropping`.

    Shapes: any -> the same.

    Raises:
        OptionError: for a probability outside [0, 1).

    >>> torch.equal(dropout(torch.ones(3), 0.0), torch.ones(3))
    True
    """
    if not 0 <= probability < 1:
        raise OptionError(f"dropout probability {probability} is outside [0, 1).")
    if probability == 0:
        return inputs
    if can_drop(inputs):
        return drop(inputs, probability)
    # PyTorch's own dropout supports fusion by compilers, and random numbers per batch element under torch.func.vmap.
    if inputs.device.type != "cpu" or torch.compiler.is_compiling() or in_torch_func():
        return F.dropout(inputs, probability)
    dropped = min(max(round(probability * LEVELS), 1), LEVELS - 1)
    words = torch.empty((inputs.numel() + 3) // 4, dtype=torch.int64, device=inputs.device)
    random = words.random_(-(2**63), None).view(torch.int16)[: inputs.numel()].view(inputs.shape)
    keep = random >= dropped - LEVELS // 2
    return inputs * keep.to(inputs.dtype).mul_(LEVELS / (LEVELS - dropped))


def dropout_residual(inputs: Tensor, residual: Tensor, probability: float) -> Tensor:
    """Return residual + dropout(inputs), large ones in one pass over memory.

    Shapes: any, twice the same -> the same.

    >>> dropout_residual(torch.ones(2), torch.ones(2), 0.0)
    tensor([2., 2.])
    """
    if 0 < probability < 1 and can_drop(inputs, residual):
        return drop(inputs, probability, residual)
    return residual + dropout(inputs, probability)


def dropout_relu(inputs: Tensor, probability: float) -> Tensor:
    """Return dropout(relu(inputs)), large ones in one pass over memory.

    Shapes: any -> the same.

    >>> dropout_relu(torch.tensor([-1.0, 1.0]), 0.0)
    tensor([0., 1.])
    """
    if 0 < probability < 1 and can_drop(inputs):
        return drop_rectified(inputs, probability)
    return dropout(F.relu(inputs), probability)


class Dropout(nn.Module):
    """`dropout` in training mode, the identity in evaluation mode.

    Raises:
        OptionError: for a probability outside [0, 1).

    >>> Dropout(0.5).eval()(torch.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, probability: float):
        super().__init__()
        if not 0 <= probability < 1:
            raise OptionError(f"dropout probability {probability} is outside [0, 1).")
        self.probability = probability

    def forward(self, inputs: Tensor) -> Tensor:
        return dropout(inputs, self.probability) if self.training else inputs

    def extra_repr(self) -> str:
        return f"probability={self.probability}"
