"""The feed-forward half of a Transformer layer: every position is widened, bent and narrowed by itself."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from heedful.errors import ShapeError, unknown_choice
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear
from heedful.nn.sizes import check_sizes


def _gated(hidden: Tensor) -> Tensor:
    gate, value = hidden.chunk(2, dim=-1)
    return F.silu(gate) * value


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gated": _gated,
}
"""What bends the widened features; `gated` widens twice as much and halves again."""


class FeedForward(nn.Module):
    r"""Two linear maps around an activation, position by position.

    .. math:: y = W_2\,\mathrm{activation}(W_1 x + b_1) + b_2

    `gated` is SwiGLU, :math:`W_2(\mathrm{silu}(W_g x) \odot W_u x)` (Shazeer 2020,
    https://arxiv.org/abs/2002.05202); `relu` is Vaswani et al. 2017
    (https://arxiv.org/abs/1706.03762), `gelu` Hendrycks and Gimpel 2016 (https://arxiv.org/abs/1606.08415).

    Args:
        width: features of the input and of the output.
        hidden: features between the two maps.
        activation: a name from `ACTIVATIONS`.
        dropout: probability of dropping a hidden feature while training.
        bias: whether the linear maps add a bias.

    Shapes: (..., width) -> (..., width).

    Raises:
        OptionError: for an unknown activation.
        ShapeError: when the input's last axis is not `width`, or for a size below 1.

    >>> import torch
    >>> FeedForward(8, 32, activation="gated")(torch.zeros(2, 3, 8)).shape
    torch.Size([2, 3, 8])
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        bias: bool = True,
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise unknown_choice("activation", activation, ACTIVATIONS)
        check_sizes({"width": width, "hidden": hidden})
        self.width = width
        self.hidden = hidden
        self.activation = activation
        self.widen = Linear(width, hidden * (2 if activation == "gated" else 1), bias=bias)
        self.narrow = Linear(hidden, width, bias=bias)
        self.dropout = Dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew (Xavier uniform) and set the biases to 0."""
        for layer in (self.widen, self.narrow):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (..., width) to (..., width)."""
        if inputs.shape[-1] != self.width:
            raise ShapeError(
                f"FeedForward got {inputs.shape[-1]} features and was built for {self.width}; "
                f"build it with width={inputs.shape[-1]}, or hand in (..., {self.width})."
            )
        hidden = ACTIVATIONS[self.activation](self.widen(inputs))
        output: Tensor = self.narrow(self.dropout(hidden))
        return output
