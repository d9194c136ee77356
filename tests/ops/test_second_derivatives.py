"""Second derivatives wherever `auto` is asked, and by every backend with gradients: autograd, torch.func, forward mode.

`test_gradcheck.py` holds those of `reference` against finite differences; here the others are held against it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad, gradgradcheck
from torch.func import grad, hessian, jvp

from heedful import attend, masks, plan
from heedful.ops.masks import MASKS
from heedful.ops.normalizers import NORMALIZERS
from heedful.ops.scores import SCORES
from tests.ops.compare import assert_same, run
from tests.ops.examples import QUERY_DIM, Example, example, served

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is")
"""PyTorch calls it for forward mode."""
Operands = tuple[Tensor, ...]


def equal_sizes(score: str, mask: str | None, normalizer: str) -> Example:
    """A call whose values are as wide as its keys, as PyTorch's fused kernel wants them."""
    call = example(score, mask, normalizer)
    return replace(call, value=call.value[..., :QUERY_DIM].contiguous())


class Curvature:
    """The second derivative of a call's output along a direction, taken in several ways."""

    def __init__(self, call: Example, backend: str) -> None:
        self.call, self.backend = call, backend
        self.operands: Operands = (call.query, call.key, call.value)
        self.direction = tuple(torch.randn_like(one) for one in self.operands)

    def loss(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        inside = self.call.with_tensors({"query": query, "key": key, "value": value})
        return run(inside, backend=self.backend).output.sin().sum()

    def along(self, slopes: Sequence[Tensor]) -> Tensor:
        pairs = zip(slopes, self.direction, strict=True)
        return torch.stack([(slope * one).sum() for slope, one in pairs]).sum()

    def leaves(self) -> Operands:
        return tuple(one.detach().clone().requires_grad_() for one in self.operands)

    def by_autograd(self) -> Operands:
        leaves = self.leaves()
        slopes = torch.autograd.grad(self.loss(*leaves), leaves, create_graph=True)
        return torch.autograd.grad(self.along(slopes), leaves)

    def by_hvp(self) -> Operands:
        found: Operands = torch.autograd.functional.hvp(self.loss, self.operands, self.direction)[1]
        return found

    def by_grad_of_grad(self) -> Operands:
        places = (0, 1, 2)
        found: Operands = grad(lambda *given: self.along(grad(self.loss, places)(*given)), places)(
            *self.operands
        )
        return found

    def by_jvp_of_grad(self) -> Operands:
        found: Operands = jvp(grad(self.loss, (0, 1, 2)), self.operands, self.direction)[1]
        return found

    def by_forward_mode(self) -> Operands:
        with forward_ad.dual_level():
            pairs = zip(self.leaves(), self.direction, strict=True)
            duals = [forward_ad.make_dual(one, tangent) for one, tangent in pairs]
            slopes = torch.autograd.grad(self.loss(*duals), duals, create_graph=True)
            return tuple(forward_ad.unpack_dual(slope).tangent for slope in slopes)


WAYS: dict[str, Callable[[Curvature], Operands]] = {
    "autograd": Curvature.by_autograd,
    "hvp": Curvature.by_hvp,
    "grad of grad": Curvature.by_grad_of_grad,
    "jvp of grad": Curvature.by_jvp_of_grad,
    "forward mode": Curvature.by_forward_mode,
}


def assert_all_ways(call: Example, ways: Sequence[str], backend: str = "auto") -> None:
    curvature = Curvature(call, backend)
    reference = Curvature(call, "reference")
    reference.direction = curvature.direction
    wanted = reference.by_autograd()
    for way in ways:
        for got, one in zip(WAYS[way](curvature), wanted, strict=True):
            assert_same(got, one, way)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("mask", [None, *MASKS])
@pytest.mark.parametrize("score", SCORES)
def test_auto_has_second_derivatives(score: str, mask: str | None, normalizer: str) -> None:
    assert_all_ways(equal_sizes(score, mask, normalizer), list(WAYS))


LONG: dict[str, Callable[[], masks.Mask | None]] = {
    "none": lambda: None,
    "causal": masks.Causal,
    "window": lambda: masks.Window(5, 3),
    "global": lambda: masks.Window(4, 4) | masks.Global(3),
    "edges": lambda: masks.Edges(torch.randint(0, 80, (2, 200)), 80, 80),
    "padding": lambda: masks.Padding(torch.tensor([70, 33])),
    "dense": lambda: masks.Dense(torch.rand(80, 80) > 0.3),
}


@pytest.mark.parametrize("normalizer", ["softmax", "sink_softmax", "entmax"])
@pytest.mark.parametrize("mask", LONG)
@pytest.mark.parametrize("score", ["scaled_dot", "additive", "soft_capped"])
def test_auto_has_them_where_it_takes_kernels(score: str, mask: str, normalizer: str) -> None:
    call = example(score, None, normalizer, queries=80, keys=80)
    assert_all_ways(replace(call, mask=LONG[mask]()), ["autograd", "jvp of grad", "forward mode"])


SERVED = sorted({(score, normalizer, backend) for score, _, normalizer, backend in served()})


@pytest.mark.parametrize(("score", "normalizer", "backend"), SERVED)
def test_every_backend_has_them_by_autograd(score: str, normalizer: str, backend: str) -> None:
    assert_all_ways(equal_sizes(score, "dense", normalizer), ["autograd", "hvp"], backend)


@pytest.mark.parametrize("mask", [None, *MASKS])
@pytest.mark.parametrize("backend", ["sdpa", "band", "edges"])
def test_every_mask_has_them(mask: str | None, backend: str) -> None:
    assert_all_ways(equal_sizes("scaled_dot", mask, "softmax"), ["autograd"], backend)


@pytest.mark.parametrize("mask", [None, "causal", "dense", "padding"])
@pytest.mark.parametrize("backend", ["sdpa", "band"])
def test_fused_kernels_against_finite_differences(mask: str | None, backend: str) -> None:
    call = equal_sizes("scaled_dot", mask, "softmax")
    curvature = Curvature(call, backend)
    assert gradgradcheck(curvature.loss, curvature.leaves(), fast_mode=True)


def test_the_fused_kernel_shares_heads_and_adds_a_bias() -> None:
    query = torch.randn(2, 4, 5, 8, dtype=torch.float64, requires_grad=True)
    key = torch.randn(2, 2, 6, 8, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(5, 6, dtype=torch.float64)
    bias[2], bias[1, 3] = -torch.inf, -torch.inf
    found = []
    for backend in ("sdpa", "reference"):
        output = attend(query, key, key, bias=bias, enable_gqa=True, backend=backend).output
        first = torch.autograd.grad(output.sin().sum(), (query, key), create_graph=True)
        found.append(torch.autograd.grad(sum(one.sin().sum() for one in first), (query, key)))
    for got, wanted in zip(*found, strict=True):
        assert_same(got, wanted)


def test_first_derivatives_stay_those_of_the_kernel() -> None:
    x = torch.randn(1, 2, 9, 8, requires_grad=True)
    assert plan(x, x, x).backend == "sdpa"
    output = attend(x, x, x).output
    (slope,) = torch.autograd.grad(output.sum(), x)
    direct = torch.nn.functional.scaled_dot_product_attention(x, x, x)
    assert torch.equal(slope, torch.autograd.grad(direct.sum(), x)[0])


@pytest.mark.parametrize("mask", [None, masks.Causal(), masks.Window(2, 1)])
def test_hessian_of_torch_func(mask: masks.Mask | None) -> None:
    x = torch.randn(5, 3, dtype=torch.float64)

    def loss(x: Tensor, backend: str = "auto") -> Tensor:
        return attend(x, x, x, mask=mask, backend=backend).output.sin().sum()

    found = hessian(loss)(x).reshape(15, 15)
    assert_same(found, found.T)
    wanted = torch.autograd.functional.hessian(lambda x: loss(x, "reference"), x)
    assert_same(found, wanted.reshape(15, 15))
    assert_same(torch.autograd.functional.hessian(loss, x), wanted)


def test_the_ways_are_told_apart_from_a_wrong_one() -> None:
    call = equal_sizes("scaled_dot", None, "softmax")
    curvature = Curvature(call, "auto")
    found, (query, *_) = curvature.by_autograd(), curvature.operands
    assert not torch.allclose(found[0], torch.zeros_like(query), atol=1e-3)


COMBINED = list(product(("chunked", "band"), ("scaled_dot", "additive"), ("softmax", "entmax")))


@pytest.mark.parametrize(("backend", "score", "normalizer"), COMBINED)
def test_third_derivatives(backend: str, score: str, normalizer: str) -> None:
    found = []
    call = equal_sizes(score, "window", normalizer)
    for one in (backend, "reference"):
        curvature = Curvature(call, one)
        leaf = call.query.detach().clone().requires_grad_()
        slope = curvature.loss(leaf, call.key, call.value)
        for _ in range(2):
            (slope,) = torch.autograd.grad(slope, leaf, create_graph=True)
            slope = slope.sin().sum()
        found.append(torch.autograd.grad(slope, leaf)[0])
    assert_same(*found)
