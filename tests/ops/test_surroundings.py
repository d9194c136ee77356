"""What surrounds a call changes nothing, and nothing of it stays: default devices and dtypes, tracers, NumPy."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from heedful import attend, masks, normalizers, scores
from heedful.ops.backends.sdpa.mask import additive_mask
from heedful.ops.masks import Mask
from tests.ops.compare import assert_same

LENGTHS = count(200)
"""Each of these tests takes lengths of its own, for which nothing has been prepared."""
MASKS = ("none", "causal", "padding", "both", "window")


def draw(length: int, *, learned: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = (torch.randn(2, 8, length, 64, requires_grad=learned) for _ in "qkv")
    return query, key, value


def mask_of(name: str, length: int) -> Mask | None:
    padding = masks.Padding(torch.tensor([length // 2, length]))
    made: dict[str, Mask | None] = {
        "none": None,
        "causal": masks.Causal(),
        "padding": padding,
        "both": masks.Causal() & padding,
        "window": masks.Window(3, 5),
    }
    return made[name]


@pytest.fixture(params=["long", "short"])
def length(request: pytest.FixtureRequest) -> int:
    return next(LENGTHS) if request.param == "long" else 12


@pytest.mark.parametrize("name", MASKS)
def test_a_default_device(name: str, length: int) -> None:
    operands, mask = draw(length), mask_of(name, length)
    with torch.device("meta"):
        inside = attend(*operands, mask=mask).output
    assert_same(inside, attend(*operands, mask=mask, backend="reference").output)
    assert torch.equal(inside, attend(*operands, mask=mask).output)


@pytest.mark.parametrize("what", ["additive", "sparse", "edges"])
def test_a_default_device_and_dtype_of_other_kernels(what: str, length: int) -> None:
    query, key, value = draw(length)
    maps = torch.randn(64, 8), torch.randn(64, 8), torch.randn(8)
    options: dict[str, dict[str, object]] = {
        "additive": {"score": scores.Additive(*maps)},
        "sparse": {"normalizer": normalizers.Sparsemax()},
        "edges": {"mask": masks.Edges(torch.randint(length, (2, 99)), length, length)},
    }
    wanted = attend(query, key, value, backend="reference", **options[what]).output  # type: ignore[arg-type]
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            inside = attend(query, key, value, **options[what]).output  # type: ignore[arg-type]
    finally:
        torch.set_default_dtype(torch.float32)
    assert_same(inside, wanted)


@pytest.mark.parametrize("name", MASKS)
def test_fake_tensors_leave_nothing_behind(name: str, length: int) -> None:
    operands, mask = draw(length), mask_of(name, length)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fakes = [mode.from_tensor(one) for one in operands]
        assert attend(*fakes, mask=mask).output.shape == operands[0].shape
    attend(*operands, mask=mask)


@pytest.mark.parametrize("scale", [np.float64(0.3), np.float32(0.3), torch.tensor(0.3), 1])
def test_a_scale_of_another_kind_is_a_number(scale: float, length: int) -> None:
    query, key, value = draw(length)
    score = scores.ScaledDot(scale)
    got = attend(query, key, value, score=score).output
    assert_same(got, attend(query, key, value, score=scores.ScaledDot(float(scale))).output)


@pytest.mark.parametrize("name", MASKS)
def test_many_gradients_at_once(name: str, length: int) -> None:
    query, key, value = draw(length, learned=True)
    output = attend(query, key, value, mask=mask_of(name, length)).output
    directions = torch.randn(3, *output.shape)
    (together,) = torch.autograd.grad(
        output, query, directions, is_grads_batched=True, retain_graph=True
    )
    for found, direction in zip(together, directions, strict=True):
        (wanted,) = torch.autograd.grad(output, query, direction, retain_graph=True)
        assert_same(found, wanted)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.torch.jit.trace. is")
@pytest.mark.parametrize("name", MASKS)
def test_the_older_tracer(name: str, length: int) -> None:
    operands, mask = draw(length), mask_of(name, length)
    traced = torch.jit.trace(
        lambda *given: attend(*given, mask=mask).output, operands, check_trace=False
    )
    others = draw(length)
    assert_same(traced(*others), attend(*others, mask=mask, backend="reference").output)


@pytest.mark.parametrize("name", MASKS)
def test_a_view_that_negates(name: str, length: int) -> None:
    query, key, value = draw(length)
    got = attend(torch._neg_view(query), key, value, mask=mask_of(name, length)).output
    wanted = attend(-query, key, value, mask=mask_of(name, length), backend="reference").output
    assert_same(got, wanted)


@pytest.mark.parametrize("name", MASKS)
def test_a_gradient_that_negates(name: str, length: int) -> None:
    operands, mask = draw(length, learned=True), mask_of(name, length)
    direction = torch.randn_like(operands[0])
    found = [
        torch.autograd.grad(attend(*operands, mask=mask).output, operands, given)
        for given in (torch._neg_view(direction), -direction)
    ]
    for got, wanted in zip(*found, strict=True):
        assert_same(got, wanted)


def test_fake_tensors_under_a_mask_that_comes_in_pieces() -> None:
    length = next(LENGTHS)
    ids = (torch.arange(length) // 60).expand(2, length)
    mask = masks.Window(7, 5) & masks.Segments(ids, ids)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fakes = [mode.from_tensor(one) for one in draw(length)]
        assert attend(*fakes, mask=mask).output.shape == fakes[0].shape
    assert attend(*fakes, mask=mask).output.shape == fakes[0].shape
    operands = draw(length)
    wanted = attend(*operands, mask=mask, backend="reference").output
    assert_same(attend(*operands, mask=mask).output, wanted)


def test_training_under_a_mask_and_bias_made_while_predicting() -> None:
    length = next(LENGTHS)
    with torch.inference_mode():
        ids, bias = torch.arange(length) // 9, torch.randn(length, length)
    mask = masks.Window(50, 50) & masks.Segments(ids, ids)
    for options in ({"mask": mask}, {"mask": masks.Window(50, 50), "bias": bias}):
        operands = draw(length, learned=True)
        attend(*operands, **options).output.sum().backward()  # type: ignore[arg-type]
        assert operands[0].grad is not None


def test_no_long_mask_of_the_future_is_kept() -> None:
    for length, is_kept in ((512, True), (513, False)):
        operands = draw(length)
        mask = masks.Causal() & masks.Padding(torch.tensor([length, 3]))
        additive_mask.cache_clear()
        got = attend(*operands, mask=mask, backend="sdpa").output
        assert (additive_mask.cache_info().currsize > 0) == is_kept
        assert_same(got, attend(*operands, mask=mask, backend="reference").output)


@pytest.mark.parametrize("changed", ["mask", "bias"])
def test_a_mask_or_bias_that_changes_before_the_backward_pass_is_seen(changed: str) -> None:
    length = next(LENGTHS)
    operands = draw(length, learned=True)
    ids, bias = torch.arange(length) // 9, torch.randn(length, length)
    mask = masks.Window(50, 50) & masks.Segments(ids, ids)
    options = {"mask": mask} if changed == "mask" else {"mask": masks.Window(50, 50), "bias": bias}
    output = attend(*operands, **options).output  # type: ignore[arg-type]
    (ids if changed == "mask" else bias).zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()
