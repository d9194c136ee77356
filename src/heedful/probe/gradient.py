"""How much of a change of the input, so many positions back, reaches a state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from heedful.models.encoders import Encoder
from heedful.probe.encoders import Spec
from heedful.probe.model import ProbeModel
from heedful.probe.quality import TEST_SEED
from heedful.probe.results import Curve
from heedful.probe.workshop import Workshop

SAMPLES = 4
"""Sequences over which norms are averaged."""


def gradient_norms(encoder: Encoder, inputs: Tensor) -> Tensor:
    r"""Return :math:`\lVert \partial s_t / \partial x_{t-d} \rVert_F` for the last t and d = 0 … t.

    Every feature of the state is asked of a copy of the sequence, so that one backward pass gives the whole
    Jacobian.

    Args:
        encoder: put in evaluation mode by the caller.
        inputs: one sequence, (length, encoder.input_width).

    Returns:
        (length,), by distance.

    >>> from heedful.probe.encoders import Spec
    >>> encoder = Spec.parse("window:size=2").build(8, 16).eval()
    >>> (gradient_norms(encoder, torch.randn(6, 8)) > 0).tolist()
    [True, True, True, False, False, False]
    """
    length, width = inputs.shape[0], encoder.width
    copies = inputs.detach().expand(width, -1, -1).clone().requires_grad_()
    states = encoder(copies, torch.full((width,), length)).values[:, -1]
    (jacobian,) = torch.autograd.grad(states.diagonal().sum(), copies)
    return jacobian.square().sum(dim=(0, 2)).sqrt().flip(0)


def mean_norms(model: ProbeModel, length: int, seed: int) -> Tensor:
    """Return the norms by distance, averaged over random sequences of tokens."""
    chance = torch.Generator().manual_seed(seed + TEST_SEED)
    drawn = torch.randint(model.inputs.count, (SAMPLES, length), generator=chance)
    rows = [gradient_norms(model.encoder, model.inputs(row)) for row in drawn]
    return torch.stack(rows).mean(dim=0)


def gradient(specs: Sequence[Spec], shop: Workshop) -> Iterator[Curve]:
    """Yield norms by distance, with fresh weights and after training on recall."""
    settings = shop.settings
    for spec in specs:
        for seed in shop.seeds:
            trained = shop.trained(spec, "recall", settings.trained_at(settings.length), seed)
            for variant, model in (
                ("fresh", shop.model(spec, "recall", seed)),
                ("trained", trained),
            ):
                norms = mean_norms(model, settings.length, seed)
                points = tuple((float(d), float(norms[d])) for d in distances(settings.length))
                yield Curve("gradient", spec.name, variant, seed, points)


def distances(length: int) -> list[int]:
    """Return the powers of two below a length, and the farthest.

    >>> distances(10)
    [1, 2, 4, 8, 9]
    """
    powers = [2**n for n in range((length - 1).bit_length()) if 2**n < length]
    return sorted({*powers, length - 1})
