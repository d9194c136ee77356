"""The static part of a call to the compiled kernels: reused for other tensors, cheap on every call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from heedful import attend, masks, normalizers, positions, scores
from heedful.ops.arguments import validated
from heedful.ops.backends.band.backend import prepare_static
from heedful.ops.backends.band.fused import fused_attention
from heedful.ops.backends.band.layout import BandLayout
from heedful.ops.backends.band.window import Band
from heedful.ops.call import Call
from heedful.ops.masks import Mask
from heedful.ops.positions import PositionBias
from tests.ops.compare import assert_same

LENGTH, D = 40, 32
WINDOW = masks.Window(5, 9)
LEADS = [(), (3,), (2, 3), (2, 2, 3)]


def lengths(lead: tuple[int, ...]) -> Mask:
    return masks.Padding(torch.randint(1, LENGTH + 1, lead))


def segments() -> Mask:
    ids = torch.randint(2, (LENGTH,))
    return masks.Segments(ids, ids.roll(1))


# name -> a mask of equal static part and other tensors on every call
MASKS: dict[str, Callable[[tuple[int, ...]], Mask]] = {
    "window": lambda lead: WINDOW,
    "hole": lambda lead: WINDOW & ~masks.Window(1, 1),
    "padding": lengths,
    "window and padding": lambda lead: WINDOW & lengths(lead),
    "two paddings": lambda lead: lengths(lead) & (WINDOW & lengths(lead)),
    "segments": lambda lead: segments() & WINDOW,
    "all": lambda lead: (lengths(lead) & segments()) & (WINDOW & segments()),
}


def call_of(
    lead: tuple[int, ...],
    mask: Mask,
    bias: Tensor | PositionBias | None = None,
    normalizer: normalizers.Normalizer = normalizers.Softmax(),
) -> Call:
    query, key, value = (torch.randn(*lead, LENGTH, D, dtype=torch.float64) for _ in range(3))
    return validated(
        query, key, value, scores.ScaledDot(), mask, bias, normalizer, 0.0, False, True
    )


def assert_serves(layout: BandLayout | Band, call: Call) -> None:
    assert isinstance(layout, BandLayout)
    got = fused_attention(call, layout)
    assert isinstance(call.key, Tensor)
    wanted = attend(
        call.query, call.key, call.value, mask=call.mask, bias=call.bias, return_weights=True,
        backend="reference",
    )  # fmt: skip
    assert got.weights is not None
    assert wanted.weights is not None
    assert_same(got.output, wanted.output)
    assert_same(got.weights, wanted.weights)


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("name", MASKS)
def test_one_layout_serves_calls_whose_masks_hold_other_tensors(
    name: str, lead: tuple[int, ...]
) -> None:
    layout = prepare_static(call_of(lead, MASKS[name](lead)))
    for _ in range(2):
        assert_serves(layout, call_of(lead, MASKS[name](lead)))


@pytest.mark.parametrize("kind", ["alibi", "pairs"])
def test_one_layout_serves_calls_of_other_biases(kind: str) -> None:
    def bias() -> Any:
        if kind == "alibi":
            return positions.ALiBi(torch.rand(3, dtype=torch.float64))
        return torch.randn(1, 3, LENGTH, LENGTH, dtype=torch.float64)

    layout = prepare_static(call_of((2, 3), WINDOW, bias()))
    for _ in range(2):
        assert_serves(layout, call_of((2, 3), WINDOW, bias()))


def test_a_layout_made_while_predicting_serves_training() -> None:
    mask = WINDOW & ~masks.Window(1, 1)
    with torch.inference_mode():
        layout = prepare_static(call_of((2, 3), mask))
    assert isinstance(layout, BandLayout)
    call = call_of((2, 3), mask)
    call.query.requires_grad_()
    fused_attention(call, layout).output.sum().backward()
    assert call.query.grad is not None


def test_calls_that_no_kernel_serves_have_a_band() -> None:
    other = call_of((2, 3), WINDOW, normalizer=normalizers.ReLU())
    assert prepare_static(other) == Band(5, 9, LENGTH, LENGTH)
    nothing = call_of((2, 3), WINDOW & ~masks.Window(None, 20))
    assert isinstance(prepare_static(nothing), Band)


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("name", ["window", "padding", "window and padding"])
def test_few_functions_run_on_every_call(name: str, lead: tuple[int, ...]) -> None:
    call = call_of(lead, MASKS[name](lead))
    layout = prepare_static(call)
    assert isinstance(layout, BandLayout)
    fused_attention(call, layout)  # compiles, and fills the caches
    called: list[str] = []

    def count(frame: Any, event: str, _: object) -> None:
        if event == "call" and "heedful" in frame.f_code.co_filename:
            called.append(frame.f_code.co_qualname)

    sys.setprofile(count)
    try:
        fused_attention(call, layout)
    finally:
        sys.setprofile(None)
    assert 10 < len(called) <= 36, called
