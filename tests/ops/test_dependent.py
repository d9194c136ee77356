"""Operands made from one another: each is to get its own share of the gradient, also where a graph of it is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from torch import Tensor

from heedful import attend, masks, normalizers, scores
from heedful.ops.arguments import validated
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


def operands() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A leaf, and the query, key and value made from it."""
    leaf = torch.linspace(-1, 1, 2 * 2 * LENGTH * WIDTH, dtype=torch.float64).sin()
    leaf = leaf.view(2, 2, LENGTH, WIDTH).requires_grad_()
    key = 2 * leaf
    return leaf, leaf, key, key + leaf


def served() -> Iterator[tuple[str, str, str, str]]:
    """What each backend serves; PyTorch's kernels have no second derivative."""
    _, query, key, value = operands()
    for score, normalizer, mask in product(SCORES, NORMALIZERS, MASKS):
        call = validated(
            query, key, value, SCORES[score], MASKS[mask], None, NORMALIZERS[normalizer], 0.0, False, False
        )  # fmt: skip
        for name, backend in BACKENDS.items():
            if name not in ("sdpa", "flex") and backend.supports(call) is None:
                yield name, score, normalizer, mask


@pytest.mark.parametrize(("backend", "score", "normalizer", "mask"), list(served()))
def test_a_graph_of_the_gradient_changes_no_gradient(
    backend: str, score: str, normalizer: str, mask: str
) -> None:
    leaf, query, key, value = operands()
    output = attend(
        query, key, value, score=SCORES[score], normalizer=NORMALIZERS[normalizer],
        mask=MASKS[mask], backend=backend,
    ).output  # fmt: skip
    total = output.square().sum()
    (plain,) = torch.autograd.grad(total, leaf, retain_graph=True)
    (graphed,) = torch.autograd.grad(total, leaf, create_graph=True)
    assert_same(graphed.detach(), plain)


def test_every_backend_is_among_them() -> None:
    assert {one[0] for one in served()} == {"reference", "chunked", "band", "edges", "additive"}
