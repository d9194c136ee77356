"""How much an encoder minds the order of its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from heedful.models.encoders import Encoder
from heedful.probe.encoders import Spec
from heedful.probe.quality import TEST_SEED
from heedful.probe.results import Curve
from heedful.probe.workshop import Workshop

CHANGES = ("swap", "reverse", "shuffle")
"""Two neighbours in the middle change places, all stand the other way round, all stand anywhere."""
ROWS = 8


def permutation(change: str, length: int, chance: torch.Generator) -> Tensor:
    """Return which input stands at each place after a change of order.

    >>> permutation("swap", 5, torch.Generator()).tolist()
    [0, 2, 1, 3, 4]
    """
    places = torch.arange(length)
    if change == "reverse":
        return places.flip(0)
    if change == "shuffle":
        return torch.randperm(length, generator=chance)
    first = (length - 2) // 2
    places[[first, first + 1]] = places[[first + 1, first]]
    return places


@torch.no_grad()
def sensitivity(encoder: Encoder, inputs: Tensor, order: Tensor) -> float:
    r"""Return :math:`\lVert P^{-1} f(P x) - f(x) \rVert / \lVert f(x) \rVert`, 0 for what knows no order.

    Each token's states before and after are compared, wherever the token went.

    >>> from heedful.probe.encoders import Spec
    >>> encoder = Spec.parse("none").build(8, 16).eval()
    >>> sensitivity(encoder, torch.randn(2, 5, 8), torch.tensor([4, 3, 2, 1, 0]))
    0.0
    """
    lengths = torch.full((inputs.shape[0],), inputs.shape[1])
    before = encoder(inputs, lengths).values
    after = encoder(inputs[:, order], lengths).values[:, order.argsort()]
    return float((after - before).norm() / before.norm())


def order(specs: Sequence[Spec], shop: Workshop) -> Iterator[Curve]:
    """Yield the change of an encoder's states by change of order; one with positions also without them."""
    settings = shop.settings
    for spec in specs:
        variants = {"": spec}
        if spec.has_positions and "positions=none" not in spec.options:
            variants["without positions"] = spec.without_positions()
        for variant, one in variants.items():
            for seed in shop.seeds:
                chance = torch.Generator().manual_seed(seed + TEST_SEED)
                inputs = torch.randn(ROWS, settings.length, settings.width, generator=chance)
                encoder = shop.encoder(one, seed)
                values = [
                    sensitivity(encoder, inputs, permutation(change, settings.length, chance))
                    for change in CHANGES
                ]
                points = tuple((float(number), value) for number, value in enumerate(values))
                yield Curve("order", spec.name, variant, seed, points)
