"""Half precision in the banded kernels: read as it is, computed in float32, in memory of no wider copy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from heedful import attend, masks, normalizers, positions, scores
from heedful.bench.memory import kept, peak
from heedful.ops.backends.band import passes
from heedful.ops.masks import Mask
from heedful.ops.normalizers import Normalizer
from heedful.ops.positions import PositionBias
from heedful.ops.scores import Score
from tests.ops.compare import assert_same

HALVES = [torch.bfloat16, torch.float16]
MASKS: dict[str, Mask | None] = {
    "none": None,
    "causal": masks.Causal(),
    "window": masks.Window(20, 9),
    "padding": masks.Padding(torch.tensor([40, 100])),
    "dense": masks.Dense(torch.rand(100, 100) > 0.5),
}


def segments(length: int, size: int) -> Mask:
    ids = torch.arange(length)[None] // size
    return masks.Segments(ids, ids)


def inputs(dtype: torch.dtype, features: int = 64, length: int = 100) -> tuple[Tensor, ...]:
    return tuple(torch.randn(2, heads, length, features).to(dtype) for heads in (4, 2, 2))


@pytest.mark.parametrize("features", [32, 64, 40])
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", MASKS)
def test_it_is_what_widened_inputs_give(name: str, dtype: torch.dtype, features: int) -> None:
    halves = inputs(dtype, features)
    options = {"mask": MASKS[name], "enable_gqa": True, "backend": "band", "return_weights": True}
    got = attend(*halves, **options)  # type: ignore[arg-type]
    wanted = attend(*(one.float() for one in halves), **options)  # type: ignore[arg-type]
    assert got.output.dtype == dtype
    assert torch.equal(got.output, wanted.output.to(dtype))
    assert got.weights is not None
    assert wanted.weights is not None
    assert torch.equal(got.weights, wanted.weights.to(dtype))


LENGTH = 100
SCORES: dict[str, Callable[[], Score]] = {
    "scaled": scores.ScaledDot,
    "capped": lambda: scores.SoftCapped(2.0),
    "cosine": lambda: scores.Cosine(2.0),
    "gaussian": lambda: scores.Gaussian(4.0),
}
BACKWARD_MASKS: dict[str, Callable[[], Mask | None]] = {
    **{name: (lambda mask=mask: mask) for name, mask in MASKS.items()},
    "causal and padding": lambda: masks.Causal() & masks.Padding(torch.tensor([0, 70])),
    "padding a head": lambda: masks.Padding(torch.arange(1, 9).view(2, 4) * 12),
    "segments": lambda: segments(LENGTH, 30),
    "keys behind": lambda: masks.Causal(align="bottom_right") & masks.Window(3, 9),
    "nothing": lambda: masks.Dense(torch.zeros(LENGTH, LENGTH).bool()) & masks.Window(9, 9),
    "global": lambda: masks.Window(9, 9) | masks.Global(5),
}
BIASES: dict[str, Callable[[], Tensor | PositionBias | None]] = {
    "none": lambda: None,
    "distance": lambda: positions.ALiBi(torch.tensor([0.5, 0.25, 0.1, 0.0])),
    "pairs": lambda: torch.randn(1, 4, LENGTH, LENGTH),
    "evaluated": lambda: torch.randn(1, 4, LENGTH, LENGTH, dtype=torch.float64).mT,
}
NORMALIZERS: dict[str, Callable[[], Normalizer]] = {
    "softmax": normalizers.Softmax,
    "sinks": lambda: normalizers.SinkSoftmax(torch.linspace(-1, 1, 4, requires_grad=True)),
}
COMBINED = [
    *((score, "window", "none", "softmax") for score in SCORES),
    *(("scaled", mask, "none", "softmax") for mask in BACKWARD_MASKS),
    *(("capped", mask, "none", "sinks") for mask in BACKWARD_MASKS if mask != "global"),
    *(
        ("scaled", mask, bias, "softmax")
        for mask in ("window", "causal", "dense")
        for bias in BIASES
    ),
    ("cosine", "causal and padding", "pairs", "sinks"),
]


@pytest.mark.parametrize("small_pieces", [False, True])
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(("score", "mask", "bias", "normalizer"), COMBINED)
def test_gradients_are_those_of_widened_inputs(
    score: str, mask: str, bias: str, normalizer: str, dtype: torch.dtype, small_pieces: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if small_pieces:
        monkeypatch.setattr(passes, "SUM_BYTES", 0)
    halves = [one.requires_grad_() for one in inputs(dtype)]
    wide = [one.detach().double().requires_grad_() for one in halves]
    normalizing = NORMALIZERS[normalizer]()
    tensors = normalizing.tensors()
    options = {
        "score": SCORES[score](), "mask": BACKWARD_MASKS[mask](), "bias": BIASES[bias](),
        "normalizer": normalizing, "enable_gqa": True,
    }  # fmt: skip
    direction = torch.randn(2, 4, LENGTH, 64).to(dtype)
    outputs, slopes = [], []
    for operands, backend in ((halves, "band"), (wide, "reference")):
        output = attend(*operands, backend=backend, **options).output  # type: ignore[arg-type]
        outputs.append(output)
        found = torch.autograd.grad(output, [*operands, *tensors], direction.to(output.dtype))
        slopes.append(found)
    assert_same(outputs[0], outputs[1].to(dtype))
    for got, wanted, operand in zip(*slopes, [*halves, *tensors], strict=True):
        assert_same(got, wanted.to(operand.dtype), dtype=dtype)


@pytest.mark.parametrize("dtype", HALVES)
def test_gradients_of_dropped_weights(dtype: torch.dtype) -> None:
    halves = [one.requires_grad_() for one in inputs(dtype)]
    wide = [one.detach().float().requires_grad_() for one in halves]
    direction, slopes = torch.randn(2, 4, LENGTH, 64).to(dtype), []
    for one in (halves, wide):
        torch.manual_seed(1)
        output = attend(*one, dropout_p=0.4, enable_gqa=True, backend="band").output
        slopes.append((output, *torch.autograd.grad(output, one, direction.to(output.dtype))))
    for got, wanted in zip(*slopes, strict=True):
        assert_same(got, wanted.to(dtype))


@pytest.mark.parametrize("mask", [None, masks.Window(40, 40)])
@pytest.mark.parametrize("dtype", HALVES)
def test_long_sums_are_not_rounded(dtype: torch.dtype, mask: Mask | None) -> None:
    # In bfloat16 a sum of numbers below 1 stops at 256, in float16 at 2,048.
    query = torch.zeros(1, 1, 8192, 32, dtype=dtype)
    key, value = (torch.zeros(1, 1, 8192 if mask else 2, 32, dtype=dtype) for _ in "kv")
    value.requires_grad_()
    output = attend(query, key, value, mask=mask, backend="band").output
    (slope,) = torch.autograd.grad(output.float().sum(), value)
    wanted = torch.ones(1, 1, 8192, 32) if mask else torch.full((1, 1, 2, 32), 4096.0)
    inside = slice(80, -80) if mask else slice(None)
    assert_same(slope[:, :, inside], wanted[:, :, inside].to(dtype))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("heads", [1, 2, 5])
def test_parts_of_the_work(heads: int, threads: int) -> None:
    before = torch.get_num_threads()
    halves = [torch.randn(1, heads, 700, 32).bfloat16().requires_grad_() for _ in "qkv"]
    wide = [one.detach().double().requires_grad_() for one in halves]
    torch.set_num_threads(threads)
    try:
        slopes = [
            torch.autograd.grad(
                attend(*one, mask=masks.Causal(), backend=backend).output.sum(), one
            )
            for one, backend in ((halves, "band"), (wide, "reference"))
        ]
    finally:
        torch.set_num_threads(before)
    for got, wanted in zip(*slopes, strict=True):
        assert_same(got, wanted.bfloat16())


@pytest.mark.parametrize("dtype", HALVES)
def test_second_derivatives_and_gradients_of_weights(dtype: torch.dtype) -> None:
    halves = [one.requires_grad_() for one in inputs(dtype, 32, 40)]
    wide = [one.detach().double().requires_grad_() for one in halves]
    found = []
    for one, backend in ((halves, "band"), (wide, "reference")):
        output, weights = attend(
            *one, mask=masks.Causal(), enable_gqa=True, backend=backend, return_weights=True
        )
        assert weights is not None
        first = torch.autograd.grad(
            output.double().sin().sum() + weights.double().cos().sum(), one, create_graph=True
        )
        second = torch.autograd.grad(sum(each.double().sin().sum() for each in first), one)
        found.append([*first, *second])
    for got, wanted in zip(*found, strict=True):
        assert_same(got, wanted.to(dtype))


def test_a_gradient_that_overflows_is_infinite_and_hidden_contents_reach_none() -> None:
    query, key, value = (one.requires_grad_() for one in inputs(torch.float16, 32))
    with torch.no_grad():
        key[0, :, 60], value[0, :, 70] = torch.nan, torch.inf
    hidden = masks.Padding(torch.tensor([40, 100]))
    output = attend(query, key, value, mask=hidden, enable_gqa=True, backend="band").output
    slopes = torch.autograd.grad(output, (query, key, value), torch.full_like(output, 6e4))
    assert not any(bool(one.isnan().any()) for one in slopes)
    assert bool(slopes[2].isinf().any())
    assert not bool(slopes[1][0, :, 40:].any())
    assert not bool(slopes[2][0, :, 40:].any())


@pytest.mark.parametrize("dtype", HALVES)
def test_caps_sinks_and_what_is_not_finite(dtype: torch.dtype) -> None:
    query, key, value = inputs(dtype)
    options = {
        "score": scores.SoftCapped(2.0),
        "normalizer": normalizers.SinkSoftmax(0.5),
        "mask": masks.Padding(torch.tensor([40, 100])),
        "enable_gqa": True,
        "backend": "band",
    }
    key[0, :, 60] = torch.nan
    value[1, 0, 7, 3] = torch.inf
    got = attend(query, key, value, **options).output  # type: ignore[arg-type]
    wanted = attend(query.float(), key.float(), value.float(), **options).output  # type: ignore[arg-type]
    assert torch.equal(got.isnan(), wanted.isnan())
    assert bool(got[0].isfinite().all())
    assert_same(got.nan_to_num(), wanted.to(dtype).nan_to_num())


@pytest.mark.parametrize("dtype", HALVES)
def test_no_input_is_widened_whole_forward(dtype: torch.dtype) -> None:
    query, key, value = (torch.randn(1, 2, 4096, 64).to(dtype) for _ in "qkv")

    def run() -> None:
        attend(query, key, value, mask=masks.Window(16, 16), backend="band")

    run()
    # The output in half precision, and nothing else of that size.
    # each thread has room for a block; float32 copies would be four times the tensor of keys
    assert peak(run) < 2 * key.numel() + 4 * key.numel() / 64 + 2**19


@pytest.mark.parametrize(
    "mask",
    [masks.Window(16, 16), masks.Window(16, 16) & segments(4096, 50)],
)
@pytest.mark.parametrize("dtype", HALVES)
def test_no_gradient_is_widened_whole(dtype: torch.dtype, mask: Mask) -> None:
    operands = [torch.randn(1, 2, 4096, 64).to(dtype).requires_grad_() for _ in "qkv"]
    run = lambda: attend(*operands, mask=mask, backend="band").output  # noqa: E731
    number = operands[0].numel()
    output = run()
    assert kept(run, dict(zip("qkv", operands, strict=True))) < 2 * number + 4 * number / 64 + 2**17

    def both() -> None:
        torch.autograd.grad(run(), operands, torch.ones_like(output))

    both()
    # The output, its gradient and those of the inputs in half precision.
    assert peak(both) < 10 * number + 4 * number / 64 + 2**19
