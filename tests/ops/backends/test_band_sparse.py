"""Sparsemax and entmax by the banded kernels, against the same call by plain mathematics."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from heedful import OptionError, attend, masks, normalizers, plan, scores
from heedful.ops.backends.band import blocks, passes
from heedful.ops.backends.band.sparse_launch import part_bytes, row_keys
from heedful.ops.normalizers import Normalizer
from tests.ops.backends.test_band_dropout import explicit
from tests.ops.compare import assert_same

DOUBLE = torch.float64
SPARSE: list[Normalizer] = [
    normalizers.Sparsemax(),
    *map(normalizers.Entmax, (1.5, 1.25, 2.0, 3.0)),
]
MASKS = {
    "both sides": masks.Window(9, 7),
    "causal": masks.Window(40, None) & masks.Causal(),
    "wider than the keys": masks.Window(300, 300),
    "behind the query": masks.Window(20, 20) & ~masks.Window(2, None),
    "padding": masks.Window(33, 0) & masks.Padding(torch.tensor([50, 0])),
    "segments": masks.Window(40, 40) & masks.Segments(*2 * (torch.arange(70) // 9,)),
    "hidden rows": masks.Window(30, 30) & masks.Dense((torch.arange(70) % 3 > 0)[:, None]),
    "open": masks.Causal(),
}


@pytest.fixture
def no_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a call goes another way than through the kernels."""

    def refused(*given: object, **options: object) -> None:
        raise AssertionError("computed without the kernels")

    monkeypatch.setattr(passes, "plain_blocks", refused)
    monkeypatch.setattr(blocks, "attend_rows", refused)


def draw(*shape: int, dtype: torch.dtype = DOUBLE, large: float = 1.0) -> Tensor:
    numbers = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=numbers, dtype=dtype) * large


def both(inputs: list[Tensor], backend: str, **options: Any) -> list[Tensor]:
    """Output, and the gradients of the inputs."""
    leaves = [one.clone().requires_grad_() for one in inputs]
    output = attend(*leaves, backend=backend, **options).output
    direction = torch.linspace(-1, 1, output.numel(), dtype=DOUBLE).view(output.shape)
    return [
        output.detach(),
        *torch.autograd.grad(output, leaves, direction.to(output.dtype)),
    ]


def assert_equal_to_reference(inputs: list[Tensor], **options: Any) -> None:
    wanted = both([one.double() for one in inputs], "reference", **options)
    for got, other in zip(both(inputs, "band", **options), wanted, strict=True):
        assert_same(got.double(), other, dtype=inputs[0].dtype)


@pytest.mark.usefixtures("no_blocks")
@pytest.mark.parametrize("normalizer", SPARSE, ids=str)
@pytest.mark.parametrize("mask", MASKS)
def test_every_mask_equals_reference(mask: str, normalizer: Normalizer) -> None:
    inputs = [draw(2, 2, 70, 16), draw(2, 2, 70, 16, large=2.0), draw(2, 2, 70, 24)]
    assert_equal_to_reference(inputs, mask=MASKS[mask], normalizer=normalizer)


@pytest.mark.usefixtures("no_blocks")
@pytest.mark.parametrize("large", [0.0, 0.01, 30.0])
@pytest.mark.parametrize("normalizer", SPARSE[:3], ids=str)
def test_supports_of_all_keys_and_of_one(normalizer: Normalizer, large: float) -> None:
    inputs = [draw(3, 50, 32, dtype=torch.float32, large=large) for _ in range(2)]
    inputs.append(draw(3, 50, 32, dtype=torch.float32))
    assert_equal_to_reference(inputs, mask=masks.Window(20, 20), normalizer=normalizer)


@pytest.mark.usefixtures("no_blocks")
@pytest.mark.parametrize("kind", ["a pair", "a key", "hides"])
def test_biases(kind: str) -> None:
    bias = {
        "a pair": draw(2, 1, 40, 45),
        "a key": draw(1, 45),
        "hides": torch.where(draw(40, 45) > 0, draw(40, 45), -torch.inf),
    }[kind]
    inputs = [draw(2, 4, 40, 8), draw(2, 2, 45, 8), draw(2, 2, 45, 8)]
    options = {"mask": masks.Window(9, 9), "bias": bias, "enable_gqa": True}
    assert_equal_to_reference(inputs, normalizer=normalizers.Entmax(), **options)


@pytest.mark.usefixtures("no_blocks")
@pytest.mark.parametrize("threads", [1, 3])
def test_weights_do_not_change_the_output_and_parts_agree(threads: int) -> None:
    before = torch.get_num_threads()
    inputs = [draw(1, 2, 2000, 32, dtype=torch.float32) for _ in range(3)]
    options: dict[str, Any] = {"mask": masks.Window(9, 60), "normalizer": normalizers.Sparsemax()}
    one = both(inputs, "band", **options)
    try:
        torch.set_num_threads(threads)
        for got, wanted in zip(both(inputs, "band", **options), one, strict=True):
            assert_same(got, wanted)
        output, weights = attend(*inputs, **options, return_weights=True)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(output, one[0])
    assert weights is not None
    assert_same(weights @ inputs[2], output)
    assert_same(weights.sum(-1), torch.ones(1, 2, 2000))


@pytest.mark.parametrize("spoilt", [torch.nan, torch.inf, 1e30])
@pytest.mark.parametrize("seen", [True, False])
def test_what_is_not_finite_reaches_those_rows_alone_that_see_it(spoilt: float, seen: bool) -> None:
    inputs = [draw(2, 40, 32, dtype=torch.float32) for _ in range(3)]
    inputs[1][:, 39] = spoilt
    keep = torch.ones(40, dtype=torch.bool)
    keep[39] = seen
    options: dict[str, Any] = {
        "mask": masks.Window(6, 6) & masks.Dense(keep[None]),
        "normalizer": normalizers.Sparsemax(),
    }
    got = both(inputs, "band", **options)
    wanted = both(inputs, "reference", **options)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, equal_nan=True)
    assert bool(got[0][:, :33].isfinite().all())


def test_second_derivatives_and_gradients_of_weights() -> None:
    found = []
    for backend in ("band", "reference"):
        leaves = [draw(40, 8).requires_grad_() for _ in range(3)]
        output, weights = attend(
            *leaves, mask=masks.Window(5, 5), normalizer=normalizers.Entmax(), return_weights=True,
            backend=backend,
        )  # fmt: skip
        assert weights is not None
        loss = output.sin().sum() + weights.square().sum()
        first = torch.autograd.grad(loss, leaves, create_graph=True)
        second = torch.autograd.grad(sum(one.square().sum() for one in first), leaves)
        found.append((*first, *second))
    for got, wanted in zip(*found, strict=True):
        assert_same(got.detach(), wanted.detach())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    inputs = [draw(2, 60, 20, dtype=torch.float32).to(dtype) for _ in range(3)]
    options: dict[str, Any] = {"mask": masks.Window(9, 9), "normalizer": normalizers.Sparsemax()}
    assert_equal_to_reference(inputs, **options)


def test_no_value_features() -> None:
    x = draw(2, 40, 8).requires_grad_()
    options: dict[str, Any] = {"mask": masks.Window(2, 2), "normalizer": normalizers.Sparsemax()}
    output = attend(x, x, x[..., :0], backend="band", **options).output
    (gradient,) = torch.autograd.grad(output.sum(), x)
    assert output.shape == (2, 40, 0)
    assert not bool(gradient.any())


@pytest.mark.parametrize(
    "normalizer", [*SPARSE, normalizers.Entmax(torch.full((4,), 1.5))], ids=str
)
def test_the_plan_takes_the_band(normalizer: Normalizer) -> None:
    x = torch.empty(1, 4, 4096, 64, requires_grad=True)
    for mask in (masks.Window(128, 128), masks.Window(256, 0), masks.Causal()):
        planned = plan(x, x, x, mask=mask, normalizer=normalizer)
        assert planned.backend == "band"
        options: dict[str, Any] = {"mask": mask, "normalizer": normalizer, "dropout_p": 0.1}
        assert plan(x, x, x, score=scores.SoftCapped(30.0), **options).backend == "band"
        assert planned.bytes_for_backward < 6 * x.numel() * x.element_size()


def test_memory_grows_with_the_window_and_not_with_the_length() -> None:
    assert row_keys(128, 128, 4096) == row_keys(128, 128, 131_072) == 288
    assert row_keys(300, 300, 70) == 80
    assert part_bytes(288, torch.float32) == 288 * (32 * 4 + 28)


@pytest.mark.usefixtures("no_blocks")
@pytest.mark.parametrize("normalizer", SPARSE[:3], ids=str)
@pytest.mark.parametrize("mask", ["both sides", "padding", "hidden rows"])
def test_soft_caps(mask: str, normalizer: Normalizer) -> None:
    inputs = [draw(2, 2, 70, 16), draw(2, 2, 70, 16, large=2.0), draw(2, 2, 70, 24)]
    options: dict[str, Any] = {"mask": MASKS[mask], "normalizer": normalizer}
    assert_equal_to_reference(inputs, score=scores.SoftCapped(1.5), **options)
    bias = draw(2, 1, 70, 70)
    assert_equal_to_reference(inputs, score=scores.SoftCapped(1.5), bias=bias, **options)


@pytest.mark.usefixtures("no_blocks")
@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("mask", ["both sides", "hidden rows", "open"])
@pytest.mark.parametrize("normalizer", [SPARSE[1], SPARSE[4]], ids=str)
def test_dropout_comes_again_in_the_backward_pass(
    normalizer: Normalizer, mask: str, cap: float | None
) -> None:
    inputs = [draw(2, 3, 70, 16).requires_grad_() for _ in range(3)]
    options: dict[str, Any] = {"mask": MASKS[mask], "normalizer": normalizer}
    options["score"] = scores.ScaledDot() if cap is None else scores.SoftCapped(cap)
    weights = attend(*inputs, backend="reference", return_weights=True, **options).weights
    assert weights is not None
    wanted = (weights * explicit(70, 70, (2, 3), 0.4, seed=5)) @ inputs[2]
    torch.manual_seed(5)
    got = attend(*inputs, dropout_p=0.4, backend="band", **options).output
    assert_same(got, wanted)
    direction = draw(*got.shape)
    for one, other in zip(
        torch.autograd.grad(got, inputs, direction),
        torch.autograd.grad(wanted, inputs, direction),
        strict=True,
    ):
        assert_same(one, other)
    torch.manual_seed(5)
    output, undropped = attend(
        *inputs, dropout_p=0.4, backend="band", return_weights=True, **options
    )
    assert_same(output, wanted)
    assert undropped is not None
    assert_same(undropped, weights)


ALPHAS = {
    "one": (torch.tensor(1.3, dtype=DOUBLE), 0.0),
    "a head": (torch.tensor([1.1, 1.5, 2.5], dtype=DOUBLE), 0.0),
    "a head, in dropout": (torch.tensor([1.05, 2.0, 3.5], dtype=DOUBLE), 0.4),
    "a head of each example": (1.2 + draw(2, 3).abs(), 0.0),
}


@pytest.mark.usefixtures("no_blocks")
@pytest.mark.parametrize("kind", ALPHAS)
@pytest.mark.parametrize("mask", ["both sides", "segments", "open"])
def test_a_learned_alpha(mask: str, kind: str) -> None:
    alpha, dropout = ALPHAS[kind][0].clone().requires_grad_(), ALPHAS[kind][1]
    inputs = [draw(2, 3, 70, 16).requires_grad_() for _ in range(3)]
    options: dict[str, Any] = {"mask": MASKS[mask], "normalizer": normalizers.Entmax(alpha)}
    weights = attend(*inputs, backend="reference", return_weights=True, **options).weights
    assert weights is not None
    factors = explicit(70, 70, (2, 3), dropout, seed=5) if dropout else 1
    wanted = (weights * factors) @ inputs[2]
    torch.manual_seed(5)
    got = attend(*inputs, dropout_p=dropout, backend="band", **options).output
    assert_same(got, wanted)
    direction, leaves = draw(*got.shape), [*inputs, alpha]
    for one, other in zip(
        torch.autograd.grad(got, leaves, direction),
        torch.autograd.grad(wanted, leaves, direction),
        strict=True,
    ):
        assert_same(one, other)


def test_second_derivatives_with_respect_to_alpha() -> None:
    found = []
    for backend in ("band", "reference"):
        alpha = torch.tensor([1.3, 1.7], dtype=DOUBLE, requires_grad=True)
        leaves = [*(draw(2, 40, 8).requires_grad_() for _ in range(3)), alpha]
        options: dict[str, Any] = {
            "mask": masks.Window(5, 5),
            "normalizer": normalizers.Entmax(alpha),
        }
        output = attend(*leaves[:3], backend=backend, **options).output
        first = torch.autograd.grad(output.sin().sum(), leaves, create_graph=True)
        found.append((*first, *torch.autograd.grad(sum(g.square().sum() for g in first), leaves)))
    for got, wanted in zip(*found, strict=True):
        assert_same(got.detach(), wanted.detach())


def test_a_learned_alpha_of_1_is_refused() -> None:
    x, alpha = draw(1, 40, 8), torch.tensor([1.0], requires_grad=True)
    with pytest.raises(OptionError, match="a learned alpha is above 1"):
        attend(x, x, x, mask=masks.Window(5, 5), normalizer=normalizers.Entmax(alpha))
