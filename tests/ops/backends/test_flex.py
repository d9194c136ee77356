"""FlexAttention's backend without CUDA: its plain form on a processor computes what the kernel is asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import flex_attention

from heedful import BackendError, attend, masks, normalizers, plan, positions
from heedful.ops.backends.flex import Flex
from heedful.ops.masks import MASKS
from heedful.ops.scores import SCORES
from tests.ops.compare import assert_all_same, assert_same, gradients, run
from tests.ops.examples import HEADS, KEYS, QUERIES, Example, example

DOT_SCORES = [name for name, score in SCORES.items() if score.pair_kind in ("dot", "capped_dot")]
FLEXIBLE_MASKS = [name for name in MASKS if name != "edges"]
SINGLE = torch.float32

pytestmark = [
    pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile"),
    # Tracing it, PyTorch asks tensors that are no leaves for their gradients.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor"),
]


@pytest.fixture
def plain_form(monkeypatch: pytest.MonkeyPatch) -> None:
    # PyTorch refuses gradients on a processor for want of a fused kernel; its plain form has them.
    monkeypatch.setattr(flex_attention, "_validate_device", lambda *tensors: None)
    monkeypatch.setattr(Flex, "supports", Flex.refusal)


def agrees(call: Example) -> None:
    wanted = gradients(call, backend="reference")
    assert_all_same(gradients(call, backend="flex"), wanted)


@pytest.mark.usefixtures("plain_form")
@pytest.mark.parametrize("mask", FLEXIBLE_MASKS)
@pytest.mark.parametrize("score", DOT_SCORES)
def test_gradients_agree_with_reference(score: str, mask: str) -> None:
    agrees(example(score, mask, bias=True, dtype=SINGLE))


@pytest.mark.usefixtures("plain_form")
@pytest.mark.parametrize("mask", FLEXIBLE_MASKS)
def test_empty_rows_give_zero(mask: str) -> None:
    call = example("scaled_dot", mask, dtype=SINGLE)
    empty = ~call.keep().any(-1)
    assert bool(empty.any())
    assert bool((run(call, backend="flex").output[empty] == 0).all())


@pytest.mark.usefixtures("plain_form")
@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (2, 2, 3)])
def test_any_number_of_leading_axes(batch: tuple[int, ...]) -> None:
    call = example("scaled_dot", dtype=SINGLE, batch=batch, parameters=())
    keep = torch.rand(*batch, QUERIES, KEYS) < 0.7
    agrees(replace(call, mask=masks.Dense(keep) | masks.Window(0, 0)))


@pytest.mark.usefixtures("plain_form")
@pytest.mark.parametrize(
    "bias",
    [
        positions.ALiBi.for_heads(HEADS),
        positions.RelativeBuckets(torch.linspace(-1, 1, 8 * HEADS).view(HEADS, 8)),
        positions.RelativeBuckets(torch.linspace(-1, 1, 8)[None]),
    ],
)
def test_position_biases(bias: positions.PositionBias) -> None:
    call = example("dot", "segments", dtype=SINGLE)
    arguments = {**call.arguments(), "bias": bias}
    wanted = attend(**arguments, backend="reference", return_weights=True)
    got = attend(**arguments, backend="flex", return_weights=True)
    assert_same(got.output, wanted.output)
    assert got.weights is not None
    assert wanted.weights is not None
    assert_same(got.weights, wanted.weights)


@pytest.mark.usefixtures("plain_form")
def test_heads_that_share_a_key_head() -> None:
    query, key = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 7, 8)
    mask = masks.Dense(torch.rand(2, 4, 5, 7) < 0.5)
    got = attend(query, key, key, mask=mask, enable_gqa=True, backend="flex").output
    wanted = attend(query, key, key, mask=mask, enable_gqa=True, backend="reference").output
    assert_same(got, wanted)


def test_what_it_does_not_serve_it_says_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 3, 8)
    with pytest.raises(BackendError, match="for CUDA"):
        attend(x, x, x, backend="flex")
    monkeypatch.setattr(Flex, "supports", Flex.refusal)
    edges = masks.Edges(torch.tensor([[0], [1]]), 3, 3)
    told = {
        "no dropout": plan(x, x, x, dropout_p=0.1),
        "no float64": plan(x.double(), x.double(), x.double()),
        "list of edges": plan(x, x, x, mask=~(masks.Causal() & edges)),
        "not by sparsemax": plan(x, x, x, normalizer=normalizers.Sparsemax()),
    }
    for words, plans in told.items():
        assert words in plans.rejected["flex"]
    additive = example("additive", dtype=SINGLE)
    assert "pair is additive" in plan(**additive.arguments()).rejected["flex"]  # type: ignore[arg-type]


@pytest.mark.usefixtures("plain_form")
def test_what_is_not_finite_behind_a_mask_goes_to_plain_mathematics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Flex, "supports", Flex.refusal)
    x = torch.randn(2, 3, 8)
    bad = x.clone()
    bad[:, 2] = torch.nan
    padding = masks.Padding(torch.tensor([2, 1]))
    got = attend(x, bad, bad, mask=padding, backend="flex").output
    assert_same(got, attend(x, x, x, mask=padding, backend="reference").output)


@pytest.mark.usefixtures("plain_form")
def test_bytes_kept_do_not_grow_with_queries_times_keys() -> None:
    def kept(length: int) -> int:
        x = torch.randn(1, 2, length, 16, requires_grad=True)
        return plan(x, x, x, mask=masks.Causal(), backend="flex").bytes_for_backward

    assert kept(512) == 2 * kept(256)
    with torch.no_grad():
        assert kept(8) == 0
