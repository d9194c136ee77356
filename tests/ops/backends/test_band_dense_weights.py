"""Weights (*lead, query, key) of the run that computes the output: the reference's, and the output unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from heedful import attend, masks, positions, scores
from heedful.ops.backends.band import backend, passes
from heedful.ops.backends.band.plain import PlainBlock
from heedful.ops.masks import Mask
from tests.ops.compare import assert_same

B, H, D = 2, 2, 20
LEADS = [(), (3,), (B, H), (2, B, H)]
MASKS: dict[str, Callable[[int, int], Mask | None]] = {
    "none": lambda queries, keys: None,
    "causal": lambda queries, keys: masks.Causal(align="top_left"),
    "causal to the last": lambda queries, keys: masks.Causal(align="bottom_right"),
    "window": lambda queries, keys: masks.Window(5, 9),
    "window behind": lambda queries, keys: masks.Window(40, 0) & ~masks.Window(5, 0),
    "long window": lambda queries, keys: masks.Window(300, 400),
    "hole": lambda queries, keys: masks.Window(7, 9) & ~masks.Window(1, 1),
}
LENGTHS = [(1, 1), (40, 33), (33, 95), (1, 40), (70, 700)]


def padding(lead: tuple[int, ...], keys: int) -> Mask:
    """Lengths from beyond the keys to below 1, one for each sequence or head."""
    lengths = torch.linspace(keys + 2, -1, max(1, torch.Size(lead).numel())).long()
    return masks.Padding(lengths.reshape(lead))


def segments(queries: int, keys: int) -> Mask:
    ids = torch.arange(max(queries, keys)) // 30
    return masks.Segments(ids[:queries], ids[:keys])


def operands(
    *lead: int, queries: int = 70, keys: int = 70, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    return [
        torch.randn(*lead, length, D, dtype=torch.float64).to(dtype).requires_grad_()
        for length in (queries, keys, keys)
    ]


def assert_weights(inputs: list[Tensor], **options: Any) -> None:
    """Weights and gradients are the reference's; output and its gradients have the same bits without weights."""
    unasked = attend(*inputs, backend="band", **options)
    asked = attend(*inputs, backend="band", return_weights=True, **options)
    wanted = attend(*inputs, backend="reference", return_weights=True, **options)
    assert unasked.weights is None
    assert asked.weights is not None
    assert wanted.weights is not None
    assert torch.equal(unasked.output, asked.output)
    assert_same(asked.output, wanted.output.detach())
    assert_same(asked.weights, wanted.weights.detach())
    assert not bool(asked.weights[wanted.weights == 0].any())
    slopes = torch.randn_like(asked.output)
    for one, other in zip(
        torch.autograd.grad(unasked.output, inputs, slopes),
        torch.autograd.grad(asked.output, inputs, slopes, retain_graph=True),
        strict=True,
    ):
        assert torch.equal(one, other)
    pair_slopes = torch.randn_like(asked.weights)
    for through_output in (False, True):
        found = [
            torch.autograd.grad(
                [weights, output] if through_output else [weights],
                inputs,
                [pair_slopes, slopes] if through_output else [pair_slopes],
                retain_graph=True,
                materialize_grads=True,
            )
            for output, weights in (asked, wanted)
        ]
        for got, expected in zip(*found, strict=True):
            assert_same(got, expected)


@pytest.mark.parametrize("name", [*MASKS, "padding"])
@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
def test_masks_of_distance_and_lengths(name: str, queries: int, keys: int) -> None:
    mask = padding((B,), keys) if name == "padding" else MASKS[name](queries, keys)
    assert_weights(operands(B, H, queries=queries, keys=keys), mask=mask)


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("name", ["none", "window", "padding", "padded window", "segments"])
def test_leading_axes(lead: tuple[int, ...], name: str) -> None:
    mask = {
        "none": None,
        "window": masks.Window(5, 9),
        "padding": padding(lead, 70),
        "padded window": masks.Window(5, 9) & padding(lead, 70),
        "segments": masks.Window(12, 9) & segments(70, 70),
    }[name]
    assert_weights(operands(*lead), mask=mask)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["none", "window", "segments"])
def test_dtypes(dtype: torch.dtype, name: str) -> None:
    mask = masks.Window(12, 9) & segments(70, 70) if name == "segments" else MASKS[name](70, 70)
    inputs = [one.detach() for one in operands(B, H, dtype=dtype)]
    unasked = attend(*inputs, mask=mask, backend="band").output
    output, weights = attend(*inputs, mask=mask, backend="band", return_weights=True)
    wanted = attend(*inputs, mask=mask, backend="reference", return_weights=True).weights
    assert weights is not None
    assert wanted is not None
    assert torch.equal(output, unasked)
    assert_same(weights, wanted)


@pytest.mark.parametrize("mask", [None, masks.Window(5, 9), masks.Window(12, 9) & segments(50, 50)])
def test_grouped_heads(mask: Mask | None) -> None:
    query, _, _ = operands(B, 6, queries=50)
    _, key, value = operands(B, 2, keys=50)
    assert_weights([query, key, value], mask=mask, enable_gqa=True)


@pytest.mark.parametrize("kind", ["alibi", "buckets", "pairs", "minus infinity"])
def test_biases(kind: str) -> None:
    pairs = torch.randn(1, H, 70, 70, dtype=torch.float64)
    bias: dict[str, Tensor | positions.PositionBias] = {
        "alibi": positions.ALiBi(torch.tensor([0.5, 0.25], dtype=torch.float64)),
        "buckets": positions.RelativeBuckets(torch.randn(H, 8).double(), max_distance=9),
        "pairs": pairs,
        "minus infinity": pairs.masked_fill(torch.rand(70, 70) > 0.5, -torch.inf),
    }
    assert_weights(operands(B, H), mask=masks.Window(9, 12), bias=bias[kind])


@pytest.mark.parametrize("score", ["dot", "cosine", "bilinear"])
def test_scores_of_inner_products(score: str) -> None:
    made: dict[str, scores.Score] = {
        "dot": scores.Dot(),
        "cosine": scores.Cosine(2.0),
        "bilinear": scores.Bilinear(torch.randn(D, D, dtype=torch.float64) / D),
    }
    assert_weights(operands(B, H), mask=masks.Window(9, 12), score=made[score])


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("name", ["padding", "window", "padded window", "segments"])
def test_masked_contents_reach_no_weight(name: str, index: int, poison: float) -> None:
    short = masks.Padding(torch.tensor([30, 60]))
    mask: Mask = {
        "padding": short,
        "window": masks.Window(5, 9),
        "padded window": masks.Window(5, 9) & short,
        "segments": masks.Window(12, 9) & segments(70, 70),
    }[name]
    inputs = operands(B, H)
    with torch.no_grad():
        inputs[index][:, :, 40] = poison
    found = []
    for chosen in ("band", "reference"):
        output, weights = attend(*inputs, mask=mask, backend=chosen, return_weights=True)
        assert weights is not None
        finite = output.isfinite().all(-1, keepdim=True)
        assert bool(finite.any())
        seen = torch.where(finite, weights, 0.0).square().sum()
        gradients = torch.autograd.grad(seen, inputs, materialize_grads=True)
        # Of what is not finite itself no gradient is asked.
        kept = [
            torch.where(one.isfinite(), slope, 0.0)
            for one, slope in zip(inputs, gradients, strict=True)
        ]
        found.append((output, weights, *kept))
    for got, wanted in zip(*found, strict=True):
        torch.testing.assert_close(got, wanted, equal_nan=True)


def test_masked_contents_reach_no_weight_where_values_have_no_features() -> None:
    query, key, value = (one.detach() for one in operands(B, H))
    key[:, :, 50] = torch.nan
    mask = masks.Padding(torch.tensor([30, 50]))
    found = [
        attend(query, key, value[..., :0], mask=mask, backend=name, return_weights=True).weights
        for name in ("band", "reference")
    ]
    assert found[0] is not None
    assert found[1] is not None
    assert_same(found[0], found[1])


def test_rows_without_keys_give_zero() -> None:
    mask = masks.Window(5, 5) & masks.Padding(torch.tensor([0, 20]))
    inputs = operands(B, H)
    output, weights = attend(*inputs, mask=mask, backend="band", return_weights=True)
    assert weights is not None
    for one in (output, weights):
        assert not bool(one[0].any())
        assert not bool(one[1, :, 25:].any())
    for gradient in torch.autograd.grad(weights.square().sum() + output.sum(), inputs):
        assert bool(gradient.isfinite().all())
        assert not bool(gradient[0].any())


@pytest.mark.parametrize("name", ["none", "window", "padding", "segments"])
def test_the_work_is_done_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[int] = []
    run_forward = passes.run_forward

    def counted(*arguments: Any) -> Tensor:
        launched.append(arguments[5].count)
        return run_forward(*arguments)

    def refused(*_: object, **options: object) -> None:
        raise AssertionError("computed beside the kernels")

    monkeypatch.setattr(passes, "run_forward", counted)
    monkeypatch.setattr(passes, "plain_blocks", refused)
    monkeypatch.setattr(backend, "attend_blocks", refused)
    mask: Mask | None = {
        "none": None,
        "window": masks.Window(5, 9),
        "padding": masks.Padding(torch.tensor([500])),
        "segments": masks.Window(12, 9) & segments(1000, 1000),
    }[name]
    inputs = operands(1, H, queries=1000, keys=1000)
    for return_weights in (False, True):
        launched.clear()
        attend(*inputs, mask=mask, backend="band", return_weights=return_weights)
        assert sum(launched) == 32  # 1,000 queries make 32 blocks


def test_gradients_of_weights_come_a_few_blocks_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    plain = passes.plain_blocks

    def counted(*arguments: Any, **options: Any) -> list[PlainBlock]:
        blocks = list(plain(*arguments, **options))
        rows.append(sum(block.stop - block.start for block in blocks))
        return blocks

    monkeypatch.setattr(passes, "plain_blocks", counted)
    monkeypatch.setattr(passes, "PLAIN_BYTES", 2 * B * H * 32 * (32 + 14) * 8)
    inputs = operands(B, H, queries=100, keys=100)
    weights = attend(*inputs, mask=masks.Window(5, 9), backend="band", return_weights=True).weights
    assert weights is not None
    weights.square().sum().backward()
    assert rows == [64, 36]


def test_vectorized_gradients_of_weights() -> None:
    inputs = operands(B, H)
    options: dict[str, Any] = {"mask": masks.Window(5, 9), "return_weights": True}
    found = []
    slopes = torch.randn(3, B, H, 70, 70, dtype=torch.float64)
    for name in ("band", "reference"):
        weights = attend(*inputs, backend=name, **options).weights
        assert weights is not None
        found.append(torch.autograd.grad(weights, inputs[:2], slopes, is_grads_batched=True))
    for got, wanted in zip(*found, strict=True):
        assert_same(got, wanted)


@pytest.mark.parametrize("dynamic", [False, True])
def test_one_operator_gives_output_and_weights_while_traced(dynamic: bool) -> None:
    def function(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        output, weights = attend(
            query, key, value, mask=masks.Window(5, 9), backend="band", return_weights=True
        )
        assert weights is not None
        return output, weights

    graphs: list[str] = []

    def keep(module: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        graphs.append(str(module.graph))
        return module.forward

    inputs = operands(B, H)
    torch._dynamo.reset()
    torch.compile(function, fullgraph=True, backend=keep, dynamic=dynamic)(*inputs)
    assert len(graphs) == 1
    assert graphs[0].count("heedful.windowed_attention.default") == 1
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    found = []
    for each in (function, compiled):
        output, weights = each(*inputs)
        loss = output.square().sum() + weights.square().sum()
        found.append((output, weights, *torch.autograd.grad(loss, inputs)))
    for got, wanted in zip(found[1], found[0], strict=True):
        assert_same(got.detach(), wanted.detach())
