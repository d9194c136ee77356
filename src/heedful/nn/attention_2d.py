"""Self-attention over the pixels of feature maps, as a layer among convolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heedful.errors import ShapeError
from heedful.nn.sizes import check_sizes
from heedful.ops.attend import attend
from heedful.ops.scores import Dot


class SelfAttention2d(nn.Module):
    r"""Self-attention between all pixels (SAGAN, Zhang et al. 2019, https://arxiv.org/abs/1805.08318).

    .. math:: y = x + \gamma \, W_v \, \mathrm{attend}(W_f x, W_g x, W_h x), \quad \gamma = 0 \text{ at first}

    The maps W are 1×1 convolutions without bias, and the score is the plain inner product. At first the layer returns
    its input; training decides how much attention to mix in.

    Args:
        channels: channels C of the input and the output.
        key_channels: channels of queries and keys; default C / 8, at least 1.
        value_channels: channels of values; default C / 2, at least 1.
        pool: max-pool keys and values by 2×2, which makes attention four times as cheap.
        spectral_norm: divide each map by its largest singular value (Miyato et al. 2018,
            https://arxiv.org/abs/1802.05957).

    Shapes: (batch, channels, height, width) -> the same.

    Raises:
        ShapeError: a size below 1, an input of other channels, or with `pool` an input below 2×2.

    >>> layer, features = SelfAttention2d(16), torch.randn(2, 16, 5, 4)
    >>> torch.equal(layer(features), features)
    True
    """

    def __init__(
        self,
        channels: int,
        *,
        key_channels: int | None = None,
        value_channels: int | None = None,
        pool: bool = False,
        spectral_norm: bool = False,
    ):
        super().__init__()
        keys = max(1, channels // 8) if key_channels is None else key_channels
        values = max(1, channels // 2) if value_channels is None else value_channels
        check_sizes({"channels": channels, "key_channels": keys, "value_channels": values})
        self.channels, self.pool = channels, pool

        def pixelwise(inputs: int, outputs: int) -> nn.Module:
            layer = nn.Conv2d(inputs, outputs, 1, bias=False)
            return nn.utils.parametrizations.spectral_norm(layer) if spectral_norm else layer

        self.query = pixelwise(channels, keys)
        self.key = pixelwise(channels, keys)
        self.value = pixelwise(channels, values)
        self.output = pixelwise(values, channels)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """Return the features with attention mixed in."""
        height, width = self._check(features)
        key, value = self.key(features), self.value(features)
        if self.pool:
            key, value = F.max_pool2d(key, 2), F.max_pool2d(value, 2)
        query, key, value = (
            each.flatten(2).transpose(1, 2) for each in (self.query(features), key, value)
        )
        attended = attend(query, key, value, score=Dot()).output
        attended = attended.transpose(1, 2).unflatten(2, (height, width))
        output: Tensor = features + self.gamma * self.output(attended)
        return output

    def _check(self, features: Tensor) -> tuple[int, int]:
        shape, least = tuple(features.shape), 2 if self.pool else 1
        if len(shape) != 4 or shape[1] != self.channels or min(shape[2:]) < least:
            raise ShapeError(
                f"the input has shape {shape}; give (batch, {self.channels}, height, width), both at least {least}."
            )
        return shape[2], shape[3]
