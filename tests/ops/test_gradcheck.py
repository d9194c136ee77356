"""Analytic gradients against finite differences, in float64, first and second."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from heedful import normalizers, scores
from heedful.ops.normalizers import NORMALIZERS
from heedful.ops.scores import SCORES
from tests.ops.compare import run
from tests.ops.examples import Example, example

ALPHAS = [1.0, 1.25, 1.5, 2.0, 3.0]


def check(call: Example, *, twice: bool, backend: str = "reference") -> None:
    leaves = call.leaves()
    names, tensors = zip(*leaves.tensors().items(), strict=True)

    def function(*values: Tensor) -> tuple[Tensor, Tensor]:
        output, weights = run(
            call.with_tensors(dict(zip(names, values, strict=True))),
            backend=backend,
            return_weights=True,
        )
        assert weights is not None
        return output, weights

    # One random direction each: as strict as the whole Jacobian, and much quicker.
    assert gradcheck(function, tensors, fast_mode=True)
    if twice:
        assert gradgradcheck(function, tensors, fast_mode=True)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_first_and_second_derivatives(score: str, normalizer: str) -> None:
    check(example(score, "dense", normalizer, bias=True, batch=(2,), parameters=(2,)), twice=True)


# The contract compares chunked's gradients with reference's for every pair; what recomputing adds to second derivatives
# does not depend on both at once.
RECOMPUTED = [(score, "softmax") for score in SCORES] + [
    ("scaled_dot", normalizer) for normalizer in NORMALIZERS if normalizer != "softmax"
]


@pytest.mark.parametrize(("score", "normalizer"), RECOMPUTED)
def test_chunked_recomputes_both_derivatives(score: str, normalizer: str) -> None:
    check(
        example(score, "dense", normalizer, bias=True, batch=(2,), parameters=()),
        twice=True,
        backend="chunked",
    )


@pytest.mark.parametrize("alpha", ALPHAS)
def test_every_alpha(alpha: float) -> None:
    call = replace(example("scaled_dot", "dense"), normalizer=normalizers.Entmax(alpha))
    check(call, twice=alpha <= 2)  # above 2 the weights leave their support with an infinite slope


@pytest.mark.parametrize("backend", ["sdpa", "chunked"])
@pytest.mark.parametrize("score", ["scaled_dot", "gaussian"])
def test_first_derivatives_elsewhere(backend: str, score: str) -> None:
    call = example(score, "padding", bias=True)
    names, tensors = zip(*call.leaves().tensors().items(), strict=True)

    def function(*values: Tensor) -> Tensor:
        return run(call.with_tensors(dict(zip(names, values, strict=True))), backend=backend).output

    assert gradcheck(function, tensors, fast_mode=True)


def test_leaky_relu() -> None:
    call = example("additive", "dense")
    assert isinstance(call.score, scores.Additive)
    check(replace(call, score=replace(call.score, activation="leaky_relu")), twice=True)
