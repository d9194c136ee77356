"""The linear layer, using the matrix products of `heedful.ops.products`."""

from __future__ import annotations

from torch import Tensor, nn

from heedful.ops.products import linear


class Linear(nn.Linear):
    r""":math:`y = x W^\top + b`: `torch.nn.Linear` with the same parameters, twice as fast on some processors.

    Shapes: (..., in_features) -> (..., out_features).

    >>> import torch
    >>> Linear(3, 2)(torch.ones(4, 3)).shape
    torch.Size([4, 2])
    """

    def forward(self, inputs: Tensor) -> Tensor:
        return linear(inputs, self.weight, self.bias)
