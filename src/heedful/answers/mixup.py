"""Mixup: training on blends of two images and of their losses."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Mixed(NamedTuple):
    """A batch in which each image is blended with another one of it."""

    batch: Any
    order: Tensor
    """(batch,), long: with which image each is blended."""
    share: float
    """Of the image itself, from 0 to 1; the rest is the other's."""


def mix_images(batch: Any, alpha: float) -> Mixed:
    r"""Blend the pixels of each image with those of another one (Zhang et al. 2018, https://arxiv.org/abs/1710.09412).

    .. math:: \tilde x_i = \lambda x_i + (1 - \lambda) x_{\pi(i)}, \quad \lambda \sim \mathrm{Beta}(\alpha, \alpha)

    with one :math:`\lambda` for the batch. The same draws of PyTorch's generator give the same blend.

    Args:
        batch: a named tuple with pixels, (batch, ...).
        alpha: above 0; the smaller, the nearer most blends are to one of the two images.

    >>> from heedful.models.encoders.patches import PatchBatch
    >>> images = PatchBatch(torch.tensor([0, 100]).view(2, 1, 1, 1, 1), torch.tensor([1, 1]))
    >>> mixed = mix_images(images, 1.0)
    >>> float(mixed.batch.pixels.sum()), 0 <= mixed.share <= 1
    (100.0, True)
    """
    pixels: Tensor = batch.pixels
    rate = torch.tensor(alpha, dtype=torch.float64)
    share = float(torch.distributions.Beta(rate, rate).sample())
    order = torch.randperm(len(pixels)).to(pixels.device)
    values = pixels.float()
    return Mixed(batch._replace(pixels=values.lerp(values[order], 1 - share)), order, share)
