"""Which of two kernels a call without a window goes to: PyTorch's or the compiled one."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from heedful import attend, masks, plan, scores
from heedful.ops.backends.band import backend as band
from heedful.ops.masks import Mask
from heedful.ops.observe import observing
from tests.ops.backends.test_band_whole import MASKS, D


@pytest.fixture(autouse=True)
def _wide_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(band.Banded, "cost", band.WIDE_COST)


def test_narrow_vectors_take_the_kernels_for_long_calls_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(band.Banded, "cost", band.NARROW_COST)
    operands = sizes(1000)
    for mask in (None, masks.Causal(), masks.Padding(torch.tensor([9])), masks.Window(5, 5)):
        assert plan(*operands, mask=mask).backend == "band"


def sizes(length: int) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = (torch.randn(1, 2, length, D, requires_grad=True) for _ in range(3))
    return query, key, value


def boundary() -> int:
    """The first length at which a call of `sizes` is not short."""
    return next(n for n in range(1, 10_000) if not band.is_short(n, 2 * n * n, D, D))


@pytest.mark.parametrize("name", ["none", "causal", "padding", "both"])
@pytest.mark.parametrize("learned", [False, True])
def test_short_calls_go_to_pytorch_and_others_to_the_compiled_kernels(
    name: str, learned: bool
) -> None:
    for length, wanted in ((boundary() - 1, "sdpa"), (boundary(), "band")):
        operands = tuple(one.detach().requires_grad_(learned) for one in sizes(length))
        mask: Mask | None = {
            "none": None,
            "causal": masks.Causal(),
            "padding": masks.Padding(torch.tensor([length // 2])),
            "both": masks.Padding(torch.tensor([length // 2])) & masks.Causal(),
        }[name]
        told = plan(*operands, mask=mask)
        assert told.backend == wanted
        unseen = attend(*operands, mask=mask).output
        asked = attend(*operands, mask=mask, return_weights=True).output
        with observing(lambda seen: None):
            observed = attend(*operands, mask=mask).output
        named = attend(*operands, mask=mask, backend=wanted).output
        for other in (asked, observed, named):
            assert torch.equal(unseen, other)


@pytest.mark.parametrize("features", [8, 32, 40, 64, 256])
@pytest.mark.parametrize("length", [64, 100, 1000])
@pytest.mark.parametrize("threads", [1, 2, 16])
def test_from_where_a_call_is_not_short_it_is_planned_for_the_kernels(
    features: int, length: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heedful.ops.backends.band.backend.threads", lambda: threads)
    monkeypatch.setattr("heedful.ops.backends.base.threads", lambda: threads)
    heads = 1
    while band.is_short(length, heads * length * length, features, features):
        heads += 1
    for learned in (False, True):
        # Of tensors that are never read one number stands for all.
        row = torch.zeros(1).expand(1, heads, length, features).detach().requires_grad_(learned)
        for mask in (None, masks.Causal(), masks.Window(None, 5)):
            assert plan(row, row, row, mask=mask, score=scores.Dot()).backend == "band"


def test_few_queries_are_left_to_pytorch() -> None:
    key = torch.randn(1, 4, 20_000, 64)
    for queries, chosen in ((8, False), (31, True), (32, True)):
        query = torch.randn(1, 4, queries, 64, requires_grad=True)
        assert (plan(query, key, key).backend == "band") == chosen


@pytest.mark.parametrize("mask", [masks.Causal(), masks.Padding(torch.arange(1, 257) % 14 + 1)])
def test_many_short_sentences_are_for_the_kernels(mask: Mask) -> None:
    query = torch.randn(256, 4, 14, 32, requires_grad=True)
    assert plan(query, query, query, mask=mask).backend == "band"
    few = query[:2]
    one = masks.Padding(torch.tensor([3, 14])) if isinstance(mask, masks.Padding) else mask
    assert plan(few, few, few, mask=one).backend == "sdpa"


@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.parametrize("name", ["none", "causal", "padding", "window and padding"])
def test_training_after_predicting(inference: bool, name: str) -> None:
    length = 1000 + len(name)  # one that no other test has prepared anything for
    operands = sizes(length)
    mask = None if name == "none" else MASKS[name](length, length)
    if isinstance(mask, masks.Padding):
        mask = masks.Padding(torch.tensor([length // 2]))
    elif name == "window and padding":
        mask = masks.Window(5, 5) & masks.Padding(torch.tensor([length // 2]))
    with torch.inference_mode() if inference else nullcontext():
        seen = attend(*operands, mask=mask, backend="band").output
    output = attend(*operands, mask=mask, backend="band").output
    assert torch.equal(output, seen)
    output.sum().backward()
    assert operands[0].grad is not None


def test_lengths_may_change_between_the_passes() -> None:
    for backend in ("auto", "band"):
        operands = sizes(1000)
        padding = masks.Padding(torch.tensor([700]))
        output = attend(*operands, mask=padding, backend=backend).output
        padding.key_lengths[0] = 5
        output.sum().backward()
        slopes = operands[2].grad
        assert slopes is not None
        assert bool(slopes[:, :, 699].any())
        assert not bool(slopes[:, :, 700:].any())
