"""Operands made from one another: each is to get its own share of the gradient, also where a graph of it is wanted."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from heedful import attend, masks, normalizers, scores
from heedful.ops.backends import BACKENDS
from heedful.ops.masks import Mask
from tests.ops.compare import assert_same

LENGTH, WIDTH = 40, 32
NUMBERS = torch.Generator().manual_seed(0)


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=NUMBERS)


SCORES: dict[str, scores.Score] = {
    "dot": scores.ScaledDot(),
    "additive": scores.Additive(draw(WIDTH, 4), draw(WIDTH, 4), draw(4)),
    "leaky": scores.Additive(draw(WIDTH, 4), draw(WIDTH, 4), draw(4), activation="leaky_relu"),
}
NORMALIZERS: dict[str, normalizers.Normalizer] = {
    "softmax": normalizers.Softmax(),
    "sparsemax": normalizers.Sparsemax(),
    "entmax": normalizers.Entmax(1.5),
}
MASKS: dict[str, Mask | None] = {
    "none": None,
    "causal": masks.Causal(),
    "padding": masks.Padding(torch.tensor([30, LENGTH])),
    "window": masks.Window(5, 3),
    "window and segments": masks.Window(5, 3)
    & masks.Segments(torch.arange(LENGTH) // 15, torch.arange(LENGTH) // 15),
    "edges": masks.Edges(torch.randint(LENGTH, (2, 300), generator=NUMBERS), LENGTH, LENGTH),
}


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name not in ("sdpa", "flex")])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("mask", MASKS)
def test_a_graph_of_the_gradient_changes_no_gradient(
    backend: str, score: str, normalizer: str, mask: str
) -> None:
    leaf = torch.linspace(-1, 1, 2 * 2 * LENGTH * WIDTH, dtype=torch.float64).sin()
    leaf = leaf.view(2, 2, LENGTH, WIDTH).requires_grad_()
    key = 2 * leaf
    try:
        output = attend(
            leaf, key, key + leaf, score=SCORES[score], normalizer=NORMALIZERS[normalizer],
            mask=MASKS[mask], backend=backend,
        ).output  # fmt: skip
    except ValueError:
        pytest.skip("this backend does not serve it")
    total = output.square().sum()
    (plain,) = torch.autograd.grad(total, leaf, retain_graph=True)
    (graphed,) = torch.autograd.grad(total, leaf, create_graph=True)
    assert_same(graphed.detach(), plain)
