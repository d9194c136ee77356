"""Sparsemax and entmax over listed edges, against the same call by plain mathematics."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from heedful import BackendError, OptionError, attend, masks, normalizers, plan, scores
from heedful.ops.normalizers import Normalizer
from tests.ops.compare import assert_same

DOUBLE = torch.float64
SPARSE: list[Normalizer] = [normalizers.Sparsemax(), *map(normalizers.Entmax, (1.5, 1.25, 3.0))]
QUERIES, KEYS = 50, 60


def edges(count: int = 700) -> masks.Edges:
    """Edges of 49 of 50 queries, some of more than a block of 32."""
    numbers = torch.Generator().manual_seed(0)
    keys = torch.randint(KEYS, (count,), generator=numbers)
    queries = torch.randint(QUERIES - 1, (count,), generator=numbers)
    many = torch.stack([torch.arange(KEYS), torch.zeros(KEYS, dtype=torch.int64)])
    index = torch.cat([torch.stack([keys, queries]), many], 1)
    return masks.Edges(index, num_queries=QUERIES, num_keys=KEYS)


def draw(*shape: int, dtype: torch.dtype = DOUBLE) -> Tensor:
    numbers = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=numbers, dtype=dtype)


CASES: dict[str, dict[str, Any]] = {
    "dot": {},
    "lanes": {"features": 16, "values": 32},
    "additive": {"score": scores.Additive(draw(5, 8), draw(5, 8), draw(8))},
    "padding and bias": {
        "mask": edges() & masks.Padding(torch.tensor([40, 0])),
        "bias": draw(QUERIES, KEYS),
    },
    "no edges": {"mask": edges(0) & masks.Padding(torch.tensor([0, 0]))},
}


def results(
    backend: str, normalizer: Normalizer, dtype: torch.dtype = DOUBLE, **options: Any
) -> list[Tensor]:
    """Output, weights and the gradients of query, key and value."""
    features, values = options.pop("features", 5), options.pop("values", 7)
    options = {"mask": edges(), **options}
    leaves = [
        draw(2, 3, QUERIES, features), draw(2, 3, KEYS, features), draw(2, 3, KEYS, values),
    ]  # fmt: skip
    leaves = [one.to(dtype).requires_grad_() for one in leaves]
    given: dict[str, Any] = {"normalizer": normalizer, "backend": backend, **options}
    output = attend(*leaves, **given).output
    again, weights = attend(*leaves, **given, return_weights=True)
    assert torch.equal(output, again)
    assert weights is not None
    direction = torch.linspace(-1, 1, output.numel(), dtype=DOUBLE).view(output.shape).to(dtype)
    found = torch.autograd.grad(output, leaves, direction)
    return [output.detach(), weights.detach(), *found]


@pytest.mark.parametrize("normalizer", SPARSE, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_edges_equal_reference(case: str, normalizer: Normalizer) -> None:
    wanted = results("reference", normalizer, **CASES[case])
    for got, other in zip(results("edges", normalizer, **CASES[case]), wanted, strict=True):
        assert_same(got, other)


def test_float32() -> None:
    wanted = results("reference", normalizers.Entmax())
    for got, other in zip(
        results("edges", normalizers.Entmax(), torch.float32), wanted, strict=True
    ):
        assert_same(got.double(), other, dtype=torch.float32)


def test_second_derivatives_and_gradients_of_weights_and_bias() -> None:
    found = []
    for backend in ("edges", "reference"):
        leaves = [draw(QUERIES, 4), draw(KEYS, 4), draw(KEYS, 4), draw(QUERIES, KEYS)]
        leaves = [one.requires_grad_() for one in leaves]
        *inputs, bias = leaves
        output, weights = attend(
            *inputs, mask=edges(), bias=bias, normalizer=normalizers.Entmax(), backend=backend,
            return_weights=True,
        )  # fmt: skip
        assert weights is not None
        alone = torch.autograd.grad(output.sin().sum(), leaves, retain_graph=True)
        loss = output.sin().sum() + weights.square().sum()
        first = torch.autograd.grad(loss, leaves, create_graph=True)
        second = torch.autograd.grad(sum(one.square().sum() for one in first), leaves)
        found.append((*alone, *first, *second))
    for got, wanted in zip(*found, strict=True):
        assert_same(got.detach(), wanted.detach())


def test_parts_agree() -> None:
    count, nodes = 40_000, 2000
    index = torch.randint(nodes, (2, count), generator=torch.Generator().manual_seed(0))
    mask = masks.Edges(index, nodes, nodes)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            leaves = [draw(2, nodes, 16, dtype=torch.float32).requires_grad_() for _ in "qkv"]
            output = attend(*leaves, mask=mask, normalizer=normalizers.Sparsemax()).output
            found.append((output, *torch.autograd.grad(output.square().sum(), leaves)))
    finally:
        torch.set_num_threads(before)
    for got, wanted in zip(*found, strict=True):
        assert_same(got.detach(), wanted.detach())


@pytest.mark.parametrize("seen", [True, False])
def test_what_is_not_finite_reaches_those_rows_alone_that_see_it(seen: bool) -> None:
    query, key = draw(QUERIES, 4), draw(KEYS, 4)
    key[3] = torch.nan
    mask = edges() if seen else edges() & masks.Dense((torch.arange(KEYS) != 3)[None])
    got, wanted = (
        attend(query, key, key, mask=mask, normalizer=normalizers.Sparsemax(), backend=name).output
        for name in ("edges", "reference")
    )
    torch.testing.assert_close(got, wanted, equal_nan=True)
    assert bool(got.isnan().any()) == seen


@pytest.mark.parametrize("normalizer", SPARSE, ids=str)
def test_the_plan_takes_the_edges(normalizer: Normalizer) -> None:
    nodes, count = 20_000, 100_000
    mask = masks.Edges(torch.zeros(2, count, dtype=torch.int64), nodes, nodes)
    x = torch.empty(4, nodes, 16, requires_grad=True)
    planned = plan(x, x, x, mask=mask, normalizer=normalizer)
    assert planned.backend == "edges"
    assert planned.bytes_for_backward < 8 * x.numel() * x.element_size()


@pytest.mark.parametrize("normalizer", SPARSE, ids=str)
@pytest.mark.parametrize("case", ["dot", "additive", "padding and bias"])
def test_dropout_comes_again_in_the_backward_pass(case: str, normalizer: Normalizer) -> None:
    options: dict[str, Any] = {"mask": edges(), "normalizer": normalizer, **CASES[case]}
    leaves = [draw(2, 3, QUERIES, 5), draw(2, 3, KEYS, 5), draw(2, 3, KEYS, 7)]
    leaves = [one.requires_grad_() for one in leaves]
    weights = attend(*leaves, backend="reference", return_weights=True, **options).weights
    assert weights is not None
    # With one value a key the output shows what is left of each weight.
    unit = torch.eye(KEYS, dtype=DOUBLE).expand(2, 3, -1, -1)
    torch.manual_seed(3)
    left = attend(*leaves[:2], unit, dropout_p=0.4, backend="edges", **options).output.detach()
    factors = (left != 0).double() / 0.6
    assert_same(left, (weights * factors).detach())
    share = float((left != 0).sum() / (weights != 0).sum())
    assert abs(share - 0.6) < 0.1
    wanted = (weights * factors) @ leaves[2]
    torch.manual_seed(3)
    got, undropped = attend(*leaves, dropout_p=0.4, backend="edges", return_weights=True, **options)
    assert undropped is not None
    assert_same(undropped, weights)
    assert_same(got, wanted)
    direction = draw(*got.shape)
    first, second = (torch.autograd.grad(one, leaves, direction) for one in (got, wanted))
    for one, other in zip(first, second, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize(
    "alpha", [torch.tensor(1.3), torch.tensor([1.1, 1.5, 2.5]), 1.2 + draw(2, 3).abs()]
)
@pytest.mark.parametrize("twice", [False, True])
def test_a_learned_alpha(alpha: Tensor, twice: bool) -> None:
    found = []
    for backend in ("edges", "reference"):
        leaf = alpha.to(DOUBLE).clone().requires_grad_()
        leaves = [draw(2, 3, QUERIES, 5), draw(2, 3, KEYS, 5), draw(2, 3, KEYS, 7)]
        leaves = [*(one.requires_grad_() for one in leaves), leaf]
        options: dict[str, Any] = {"mask": edges(), "normalizer": normalizers.Entmax(leaf)}
        output = attend(*leaves[:3], backend=backend, **options).output
        first = torch.autograd.grad(output.sin().sum(), leaves, create_graph=twice)
        second: tuple[Tensor, ...] = ()
        if twice:
            second = torch.autograd.grad(sum(one.square().sum() for one in first), leaves)
        found.append((output, *first, *second))
    for got, wanted in zip(*found, strict=True):
        assert_same(got.detach(), wanted.detach())


def test_a_learned_alpha_of_1_is_refused() -> None:
    query, key, alpha = draw(QUERIES, 4), draw(KEYS, 4), torch.tensor(1.0, requires_grad=True)
    with pytest.raises(OptionError, match="a learned alpha is above 1"):
        attend(query, key, key, mask=edges(), normalizer=normalizers.Entmax(alpha), backend="edges")


def test_what_they_do_not_serve_is_said() -> None:
    x = draw(QUERIES, 4)
    mask = masks.Edges(torch.zeros(2, 1, dtype=torch.int64), QUERIES, QUERIES)
    with pytest.raises(
        BackendError, match="no kernels that normalize by sigmoid with these settings"
    ):
        attend(x, x, x, mask=mask, normalizer=normalizers.Sigmoid(), backend="edges")
    traced = torch.compile(
        lambda x: attend(x, x, x, mask=mask, normalizer=normalizers.Sparsemax(), backend="edges"),
        backend="eager",
    )
    with pytest.raises(BackendError, match="kernels of sparsemax run on the CPU, untraced"):
        traced(x)
