"""torch.func, torch.compile and second derivatives, where they are promised."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

from heedful import attend, masks, normalizers, positions, scores
from heedful.ops.normalizers import NORMALIZERS
from heedful.ops.observe import Observed, observing
from heedful.ops.scores import SCORES
from tests.ops.compare import assert_same, run
from tests.ops.examples import example

# "auto" is "reference" under vmap but for what it asks first, so each score and each normalizer meets it once.
VMAPPED = sorted(
    {(score, normalizer, "reference") for score in SCORES for normalizer in NORMALIZERS}
    | {(score, "softmax", "auto") for score in SCORES}
    | {("scaled_dot", normalizer, "auto") for normalizer in NORMALIZERS}
)


@pytest.mark.parametrize(("score", "normalizer", "backend"), VMAPPED)
def test_vmap_equals_a_loop(score: str, normalizer: str, backend: str) -> None:
    call = example(score, "dense", normalizer, batch=(3, 2))

    def one(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        inside = call.with_tensors({"query": query, "key": key, "value": value})
        return run(inside, backend=backend).output

    assert_same(vmap(one)(call.query, call.key, call.value), run(call, backend="reference").output)


@pytest.mark.parametrize("mask", [None, masks.Causal(), masks.Dense(torch.rand(5, 5) > 0.4)])
def test_vmap_over_parameters(mask: masks.Mask | None) -> None:
    weights, x = torch.randn(4, 3, 3), torch.randn(2, 5, 3)

    def one(weight: Tensor) -> Tensor:
        return attend(x, x, x, score=scores.Bilinear(weight), mask=mask).output

    assert_same(vmap(one)(weights), torch.stack([one(weight) for weight in weights]))


@pytest.mark.parametrize("mask", [None, masks.Causal()])
def test_grad_and_hessian(mask: masks.Mask | None) -> None:
    x = torch.randn(3, 2, dtype=torch.float64)

    def loss(x: Tensor) -> Tensor:
        return attend(x, x, x, mask=mask).output.square().sum()

    leaf = x.clone().requires_grad_()
    wanted = torch.autograd.grad(loss(leaf), leaf)[0]
    assert_same(grad(loss)(x), wanted)
    curvature = jacrev(grad(loss))(x).reshape(6, 6)
    assert_same(curvature, curvature.T)
    assert_same(vmap(grad(loss))(x[None].expand(4, 3, 2)), wanted.expand(4, 3, 2))


def test_hidden_contents_reach_nothing_under_a_transform() -> None:
    x = torch.randn(2, 3, 4)
    x[0, 2] = torch.nan
    mask = masks.Padding(torch.tensor([2, 3])) & masks.Dense(
        torch.tensor([[[1], [1], [0]], [[1], [1], [1]]]).bool()
    )
    clean = attend(x.nan_to_num(), x.nan_to_num(), x.nan_to_num(), mask=mask).output

    def loss(x: Tensor) -> Tensor:
        return attend(x, x, x, mask=mask).output.square().sum()

    assert bool(grad(loss)(x).isfinite().all())
    compiled = torch.compile(lambda x: attend(x, x, x, mask=mask).output, backend="aot_eager")
    assert_same(compiled(x), clean)


CALLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "plain": lambda x, lengths: attend(x, x, x).output,
    "causal": lambda x, lengths: attend(x, x, x, mask=masks.Causal()).output,
    "padding and sparse": lambda x, lengths: (
        attend(x, x, x, mask=masks.Padding(lengths), normalizer=normalizers.Entmax(1.5)).output
    ),
    "additive with positions": lambda x, lengths: (
        attend(
            x,
            x,
            x,
            score=scores.Additive(torch.ones(4, 3), torch.ones(4, 3), torch.ones(3)),
            bias=positions.ALiBi(torch.tensor([0.5])),
            mask=masks.Padding(lengths),
        ).output
    ),
    "rotated": lambda x, lengths: (
        attend(x, x, x, score=scores.Rotated(scores.Cosine(2.0), positions.Rotary(4))).output
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_compiles_into_one_graph(name: str) -> None:
    torch._dynamo.reset()
    x, lengths = torch.randn(2, 5, 4, requires_grad=True), torch.tensor([5, 2])
    compiled = torch.compile(CALLS[name], backend="aot_eager", fullgraph=True)
    got, wanted = compiled(x, lengths), CALLS[name](x, lengths)
    assert_same(got, wanted)
    gradient = torch.autograd.grad(wanted.square().sum(), x)[0]
    assert_same(torch.autograd.grad(got.square().sum(), x)[0], gradient)


def test_compiled_attention_is_observed() -> None:
    torch._dynamo.reset()
    x = torch.randn(2, 3, 4)
    compiled = torch.compile(lambda x: attend(x, x, x).output, backend="eager")
    compiled(x)
    seen: list[Observed] = []

    # Not `seen.append`: torch.compile of PyTorch 2.10 and 2.11 warns of the method of a list.
    def observer(one: Observed) -> None:
        seen.append(one)

    with observing(observer):
        compiled(x)
    compiled(x)
    assert len(seen) == 1
    assert_same(seen[0].weights, torch.softmax(x @ x.mT / 2, -1))


@pytest.mark.parametrize("backend", ["reference", "chunked"])
def test_second_derivatives(backend: str) -> None:
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(
        attend(x, x, x, backend=backend).output.sin().sum(), x, create_graph=True
    )
    (second,) = torch.autograd.grad(first.square().sum(), x)
    assert bool(second.any())


def test_shapes_alone_suffice() -> None:
    x = torch.empty(2, 4, 5, 8, device="meta")
    output, weights = attend(x, x, x, mask=masks.Causal(), return_weights=True)
    assert output.shape == (2, 4, 5, 8)
    assert weights is not None
    assert output.is_meta
