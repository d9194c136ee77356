"""How close attention on a grid of pixels is to a convolution, how far it looks, and the convolution itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from heedful.errors import OptionError, ShapeError
from heedful.nn.convolution_grid import grid_positions
from heedful.nn.multi_head import MultiHeadAttention


@dataclass(frozen=True)
class OffsetWeights:
    """The mean attention weight at each offset from query to key, and how far the weights are from that mean."""

    mean: Tensor
    """(heads, 2 · height − 1, 2 · width − 1): mean weight of the keys at an offset, over the queries that have such a
    key; the middle is offset 0."""
    share: Tensor
    """The same shape: share of all weight that lies at an offset; sums to 1."""
    variation: Tensor
    """(heads,): distance from a convolution, 0 to 1: the total variation ½ Σ_k |a_qk − mean(k − q)|, averaged over
    queries. 0: the weights depend on the offset alone."""

    def mass_within(self, radius: int) -> Tensor:
        """Return the share of each head's weight at most `radius` from offset 0 along each axis: (heads,)."""
        middle = [
            slice(max(0, length // 2 - radius), length // 2 + radius + 1)
            for length in self.share.shape[1:]
        ]
        return self.share[(slice(None), *middle)].flatten(1).sum(1)


def offset_weights(weights: Tensor, size: Sequence[int]) -> OffsetWeights:
    r"""Return the attention weights of self-attention over an image as weights of offsets.

    .. math:: m_h(\Delta) = \mathrm{mean}_q \, a^h_{q, q + \Delta}

    Args:
        weights: (heads, query, key), or (batch, heads, query, key), of which the mean over images is taken.
        size: height and width; pixels or patches in row-major order.

    Raises: ShapeError unless queries and keys are the cells of the grid.

    >>> offset_weights(torch.eye(6)[None], (2, 3)).variation
    tensor([0.])
    """
    _check_weights(weights, size)
    batched = weights if weights.ndim == 4 else weights[None]
    cells = grid_positions(size).to(weights.device)
    limits = torch.tensor(size, device=weights.device) - 1
    offset = cells[None] - cells[:, None] + limits
    spans = [2 * length - 1 for length in size]
    index = offset[..., 0] * spans[1] + offset[..., 1]
    counts = torch.bincount(index.flatten(), minlength=prod(spans))
    summed = batched.mean(0).flatten(1).new_zeros(batched.shape[1], prod(spans))
    summed = summed.index_add(1, index.flatten(), batched.mean(0).flatten(1))
    mean = summed / counts
    variation = (batched - mean[:, index]).abs().sum(-1).mean((0, -1)) / 2
    share = summed / prod(size)
    return OffsetWeights(mean.unflatten(1, spans), share.unflatten(1, spans), variation)


def attention_distance(weights: Tensor, size: Sequence[int]) -> Tensor:
    r"""Return the mean distance from query to attended key: the receptive field that attention chose.

    .. math:: d_h = \mathrm{mean}_q \sum_k a^h_{qk} \|p_q - p_k\|

    Dosovitskiy et al. 2021 (https://arxiv.org/abs/2010.11929, figure 7).

    Args:
        weights: (*batch, heads, query, key).
        size: height and width; pixels or patches in row-major order.

    Returns: (*batch, heads), in cells of the grid.

    Raises: ShapeError unless queries and keys are the cells of the grid.

    >>> attention_distance(torch.full((1, 2, 2), 0.5), (1, 2))
    tensor([0.5000])
    """
    _check_weights(weights, size)
    cells = grid_positions(size).to(weights)
    return (weights * torch.cdist(cells, cells)).sum(-1).mean(-1)


def convolution_from_attention(
    attention: MultiHeadAttention,
    weights: Tensor,
    size: Sequence[int],
    *,
    tolerance: float = 0.05,
) -> nn.Conv2d:
    r"""Return the convolution that trained self-attention over an image computes, if its heads are close to one.

    .. math:: K(\Delta) = \sum_h m_h(\Delta) \, W_O^h W_V^h, \quad b = b_O + W_O b_V

    The kernel is the smallest square of odd size that holds the share 1 − tolerance of each head's weights. Away from
    the border the outputs agree as closely as the weights do; at the border a convolution sees zeros, and attention
    spreads its weight over the pixels that there are.

    Args:
        attention: the module.
        weights: its weights over images, (heads, query, key) or (batch, heads, query, key).
        size: height and width.
        tolerance: greatest `OffsetWeights.variation` of a head, and greatest share of its weights left out.

    Raises:
        OptionError: a head whose weights depend on more than the offset; keys and values of shared heads.
        ShapeError: weights that do not fit the size.

    >>> attention, image = MultiHeadAttention(4, num_heads=2), torch.randn(1, 30, 4)
    >>> same = torch.eye(30).expand(2, 30, 30)  # each pixel attends to itself
    >>> convolution_from_attention(attention, same, (5, 6)).kernel_size
    (1, 1)
    """
    found = offset_weights(weights, size)
    if attention.num_kv_heads != attention.num_heads:
        raise OptionError(
            f"the module has {attention.num_kv_heads} heads of keys and values for {attention.num_heads} of queries; "
            "give one where each head has its own."
        )
    if found.mean.shape[0] != attention.num_heads:
        raise ShapeError(
            f"weights are of {found.mean.shape[0]} heads, but the module has {attention.num_heads}."
        )
    worst = int(found.variation.argmax())
    if found.variation[worst] > tolerance:
        raise OptionError(
            f"head {worst} is no convolution: its weights differ by {float(found.variation[worst]):.2f} (total "
            f"variation) from a function of the offset, more than tolerance={tolerance}."
        )
    radius = next(
        r for r in range(max(size)) if bool((found.mass_within(r) >= 1 - tolerance).all())
    )
    return _convolution(attention, found, radius)


def _convolution(attention: MultiHeadAttention, found: OffsetWeights, radius: int) -> nn.Conv2d:
    """Return the convolution of the mean weights at most `radius` away, scaled to sum to 1 as attention's do."""
    heads = attention.num_heads
    kernel = found.mean.new_zeros(heads, 2 * radius + 1, 2 * radius + 1)
    inside, within = [], []
    for length in found.mean.shape[1:]:
        reach = min(radius, length // 2)
        inside.append(slice(radius - reach, radius + reach + 1))
        within.append(slice(length // 2 - reach, length // 2 + reach + 1))
    kernel[:, inside[0], inside[1]] = found.mean[:, within[0], within[1]]
    kernel = kernel / kernel.sum((1, 2), keepdim=True)
    output, value = attention.output_projection, attention.value_projection
    product = torch.einsum(
        "ohd,hdi->hoi",
        output.weight.unflatten(1, (heads, -1)),
        value.weight.unflatten(0, (heads, -1)),
    )
    convolution = nn.Conv2d(
        attention.vdim,
        attention.embed_dim,
        2 * radius + 1,
        padding=radius,
        bias=output.bias is not None,
        device=output.weight.device,
        dtype=output.weight.dtype,
    )
    with torch.no_grad():
        convolution.weight.copy_(torch.einsum("hoi,hyx->oiyx", product, kernel.to(product)))
        if convolution.bias is not None:
            convolution.bias.copy_(output.bias + output.weight @ value.bias)
    return convolution


def _check_weights(weights: Tensor, size: Sequence[int]) -> None:
    cells = prod(size)
    if len(size) != 2 or weights.ndim < 3 or weights.shape[-2:] != (cells, cells):
        raise ShapeError(
            f"weights have shape {tuple(weights.shape)} and size is {tuple(size)}; give (heads, {cells}, {cells}): "
            "self-attention over all cells of a grid of height and width, without a class token."
        )
