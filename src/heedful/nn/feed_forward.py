"""The position-wise feed-forward network of a Transformer layer."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from heedful.errors import ShapeError, unknown_choice
from heedful.nn.dropout import Dropout, dropout_relu
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
"""Activations by name; `gated` maps 2 n features to n."""


class FeedForward(nn.Module):
    r"""Position-wise feed-forward network: two linear maps with an activation between them.

    .. math:: y = W_2\,\mathrm{activation}(W_1 x + b_1) + b_2

    `gated` is SwiGLU, :math:`W_2(\mathrm{silu}(W_g x) \odot W_u x)` (Shazeer 2020,
    https://arxiv.org/abs/2002.05202); `relu` is Vaswani et al. 2017
    (https://arxiv.org/abs/1706.03762), `gelu` Hendrycks and Gimpel 2016 (https://arxiv.org/abs/1606.08415).

    Args:
        embed_dim: features of the input and of the output.
        dim_feedforward: features between the two maps.
        activation: a name from `ACTIVATIONS`.
        dropout: dropout probability of the hidden features in training mode.
        bias: whether the linear maps have a bias.

    Shapes: (..., embed_dim) -> (..., embed_dim).

    Raises:
        OptionError: unknown activation, or dropout outside [0, 1).
        ShapeError: a size is below 1, or the last axis of the input is not `embed_dim`.

    >>> import torch
    >>> FeedForward(8, 32, activation="gated")(torch.zeros(2, 3, 8)).shape
    torch.Size([2, 3, 8])
    """

    def __init__(
        self,
        embed_dim: int,
        dim_feedforward: int,
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        bias: bool = True,
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise unknown_choice("activation", activation, ACTIVATIONS)
        check_sizes({"embed_dim": embed_dim, "dim_feedforward": dim_feedforward})
        self.embed_dim = embed_dim
        self.dim_feedforward = dim_feedforward
        self.activation = activation
        inner = dim_feedforward * (2 if activation == "gated" else 1)
        self.widen = Linear(embed_dim, inner, bias=bias)
        self.narrow = Linear(dim_feedforward, embed_dim, bias=bias)
        self.dropout = Dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the weights (Xavier uniform) and set the biases to 0."""
        for layer in (self.widen, self.narrow):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (..., embed_dim) to (..., embed_dim)."""
        if inputs.shape[-1] != self.embed_dim:
            raise ShapeError(
                f"FeedForward got inputs of {inputs.shape[-1]} features, wanted (..., {self.embed_dim}); build it "
                f"with embed_dim={inputs.shape[-1]}, or project the inputs first."
            )
        widened = self.widen(inputs)
        if not self.dropout.training:
            hidden = ACTIVATIONS[self.activation](widened)
        elif self.activation == "relu":
            hidden = dropout_relu(widened, self.dropout.probability)
        else:
            hidden = self.dropout(ACTIVATIONS[self.activation](widened))
        output: Tensor = self.narrow(hidden)
        return output
