"""Soft caps and attention sinks: by the formulas of Gemma 2 and gpt-oss, and the kernels against them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from heedful import attend, masks, nn, normalizers, plan, positions, scores
from heedful.ops.scores import SCORES
from heedful.ops.scores.rotated import rotated
from tests.ops.compare import assert_all_same, assert_same, gradients
from tests.ops.examples import Example, example

PRODUCTS = [name for name, score in SCORES.items() if score.pair_kind == "dot"]
WIDE = torch.float64


def operands(*lengths: int, dtype: torch.dtype = WIDE, learned: bool = True) -> list[Tensor]:
    made = (torch.randn(2, 3, n, 16, dtype=WIDE).to(dtype) for n in (lengths[0], *lengths[-1:] * 2))
    return [one.requires_grad_(learned) for one in made]


def slopes(output: Tensor, *leaves: Tensor) -> list[Tensor]:
    direction = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view(output.shape)
    return [output.detach(), *torch.autograd.grad(output, leaves, direction)]


def assert_each_same(got: list[Tensor], wanted: list[Tensor]) -> None:
    for one, other in zip(got, wanted, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("backend", ["auto", "reference", "chunked"])
def test_a_soft_cap_is_gemmas(backend: str) -> None:
    """`eager_attention_forward` of Hugging Face's Gemma 2: scale, cap, mask, softmax."""
    query, key, value = operands(6, 6)
    keep = torch.ones(6, 6).tril().bool()
    products = query @ key.mT * 0.3
    products = torch.tanh(products / 1.5) * 1.5
    products = products.masked_fill(~keep, torch.finfo(WIDE).min)
    wanted = torch.softmax(products, -1) @ value
    score = scores.SoftCapped(1.5, scores.ScaledDot(0.3))
    got = attend(query, key, value, score=score, mask=keep, backend=backend).output
    assert_each_same(slopes(got, query, key, value), slopes(wanted, query, key, value))


@pytest.mark.parametrize("backend", ["auto", "reference", "chunked"])
def test_sinks_are_those_of_gpt_oss(backend: str) -> None:
    """One more logit a head, a softmax over all, and its probability dropped."""
    query, key, value = operands(6, 6)
    sinks = torch.randn(3, dtype=WIDE).requires_grad_()
    keep = torch.ones(6, 6).tril().bool()
    products = (query @ key.mT / 4).masked_fill(~keep, -torch.inf)
    joined = torch.cat([products, sinks.reshape(1, -1, 1, 1).expand(2, 3, 6, 1)], -1)
    wanted = torch.softmax(joined, -1)[..., :-1] @ value
    got = attend(
        query, key, value, mask=keep, normalizer=normalizers.SinkSoftmax(sinks), backend=backend
    ).output
    leaves = (query, key, value, sinks)
    assert_each_same(slopes(got, *leaves), slopes(wanted, *leaves))


def test_a_sink_is_a_key_of_value_zero() -> None:
    query, key, value = operands(4, 5, learned=False)
    more = torch.cat([torch.zeros(2, 3, 1, 16), value], -2).double()
    keys = torch.cat([torch.zeros(2, 3, 1, 16), key], -2).double()
    wanted = attend(query, keys, more, backend="reference").output
    got = attend(query, key, value, normalizer=normalizers.SinkSoftmax(0.0)).output
    assert_same(got, wanted)
    plain = attend(query, key, value, normalizer=normalizers.SinkSoftmax(float("-inf"))).output
    assert_same(plain, attend(query, key, value).output)
    by_place = normalizers.SinkSoftmax(torch.randn(2, 3).double())
    assert_same(
        attend(query, key, value, normalizer=by_place).output,
        attend(query, key, value, normalizer=by_place, backend="reference").output,
    )


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("inner", PRODUCTS)
@pytest.mark.parametrize("backend", ["auto", "band", "chunked"])
def test_a_cap_of_every_inner_product(inner: str, backend: str, rotary: bool) -> None:
    call = example(inner, queries=5, keys=7)
    query, key, value = call.query, call.key, call.value
    score = call.score
    if rotary:
        score = rotated(score, positions.Rotary(2, layout="half"), 3, 1)
    options: dict[str, Any] = {"mask": masks.Window(9, 2)}
    prepared = score.prepare_key(key)
    products = score.pair(score.prepare_query(query), prepared.features)
    keep = options["mask"].dense(5, 7)
    wanted = (2.0 * (products / 2.0).tanh()).masked_fill(~keep, -torch.inf).softmax(-1) @ value
    capped = scores.SoftCapped(2.0, score)
    for keys in (key, prepared):
        got = attend(query, keys, value, score=capped, backend=backend, **options).output
        assert_same(got, wanted)


CALLS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "causal": {"mask": masks.Causal("bottom_right")},
    "window": {"mask": masks.Window(9, 3)},
    "padding": {"mask": masks.Padding(torch.tensor([0, 50])) & masks.Causal("top_left")},
    "left padding": {"mask": masks.LeftPadding(torch.tensor([20, 69]))},
    "ragged": {"mask": masks.Ragged(torch.tensor([40, 9]), torch.tensor([70, 11]))},
    "tensor": {"mask": torch.arange(40 * 70).view(40, 70) % 3 > 0},
    "window and tensor": {"mask": masks.Window(9, 3) & (torch.arange(40 * 70).view(40, 70) % 3 > 0)},
    "bias": {"bias": torch.linspace(-1, 1, 40 * 70, dtype=WIDE).view(40, 70)},
    "alibi": {"bias": positions.ALiBi(torch.tensor([0.1, 0.2, 0.4], dtype=WIDE))},
}  # fmt: skip


def both(cap: float | None, sink: Tensor | None, **options: Any) -> Example:
    return replace(
        example("scaled_dot", batch=(2, 3), parameters=(3,), queries=40, keys=70),
        score=scores.ScaledDot() if cap is None else scores.SoftCapped(cap),
        normalizer=normalizers.Softmax() if sink is None else normalizers.SinkSoftmax(sink),
        mask=masks.as_mask(options["mask"]) if "mask" in options else None,
        bias=options.get("bias"),
    )


@pytest.mark.parametrize("cap", [None, 0.4, 30.0])
@pytest.mark.parametrize("sunk", [False, True])
@pytest.mark.parametrize("kind", CALLS)
def test_the_kernels_equal_reference(kind: str, sunk: bool, cap: float | None) -> None:
    if cap is None and not sunk:
        return
    sink = torch.tensor([0.5, -3.0, 4.0], dtype=WIDE) if sunk else None
    call = both(cap, sink, **CALLS[kind])
    if isinstance(call.bias, positions.PositionBias):
        bias = call.bias
        call = replace(call, bias=None)
        results = [
            attend(**{**call.arguments(), "bias": bias}, backend=name, return_weights=True)  # type: ignore[arg-type]
            for name in ("band", "reference")
        ]
        for one, other in zip(*results, strict=True):
            assert one is not None
            assert other is not None
            assert_same(one, other)
        return
    learned = {n: t for n, t in call.tensors().items() if n != "bias"}
    leaves = {n: t.clone().requires_grad_() for n, t in learned.items()}
    given = call.with_tensors(leaves)
    found = []
    for name in ("band", "reference"):
        output, weights = attend(**given.arguments(), backend=name, return_weights=True)  # type: ignore[arg-type]
        plain = attend(**given.arguments(), backend=name).output  # type: ignore[arg-type]
        assert torch.equal(plain, output)
        assert weights is not None
        through_weights = torch.autograd.grad(
            weights.square().sum(), list(leaves.values()), retain_graph=True, allow_unused=True
        )
        found.append(
            [
                *slopes(output, *leaves.values()),
                weights.detach(),
                *(
                    torch.zeros_like(leaf) if one is None else one
                    for one, leaf in zip(through_weights, leaves.values(), strict=True)
                ),
            ]
        )
    assert_each_same(*found)


@pytest.mark.parametrize("cap", [1.0, 50.0])
def test_rounding_of_the_cap_in_float32(cap: float) -> None:
    query, key, value = operands(33, 70, dtype=torch.float32, learned=False)
    value = torch.eye(70).expand(2, 3, 70, 70)
    for factor in (1e-3, 1.0, 30.0):
        got, wanted = (
            attend(
                query.to(dtype) * factor, key.to(dtype), value.to(dtype),
                score=scores.SoftCapped(cap), backend="band",
            ).output.double()
            for dtype in (torch.float32, WIDE)
        )  # fmt: skip
        assert bool(((got - wanted).abs() <= 4e-6 * wanted.abs().max()).all())


@pytest.mark.parametrize("backend", ["band", "chunked", "reference"])
def test_second_derivatives(backend: str) -> None:
    query, key, value = operands(5, 6)
    sinks = torch.randn(3, dtype=WIDE).requires_grad_()
    options: dict[str, Any] = {"mask": masks.Window(2, 3), "score": scores.SoftCapped(1.0)}

    def attended(*given: Tensor) -> Tensor:
        normalizer = normalizers.SinkSoftmax(given[3])
        return attend(*given[:3], normalizer=normalizer, backend=backend, **options).output

    leaves = (query, key, value, sinks)
    assert torch.autograd.gradcheck(attended, leaves)
    assert torch.autograd.gradgradcheck(attended, leaves)


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, 1e300])
def test_what_is_not_finite_is_told_from_what_is_capped(poison: float) -> None:
    """The tanh of infinity is finite, but a row that sees an infinite key is NaN, as under every score."""
    query, key, value = operands(40, 70, learned=False)
    bad = key.clone()
    bad[..., 7, 3] = poison
    mask = masks.Causal("top_left")
    options: dict[str, Any] = {"mask": mask, "score": scores.SoftCapped(3.0)}
    got, wanted = (
        attend(query, bad, value, backend=name, **options).output for name in ("band", "reference")
    )
    assert torch.equal(got.isnan(), wanted.isnan())
    assert_same(got[..., :7, :], attend(query, key, value, **options).output[..., :7, :])
    assert_same(got.nan_to_num(), wanted.nan_to_num())
    without = {"score": scores.SoftCapped(3.0)}
    got, wanted = (
        attend(query, bad, value, backend=name, **without).output  # type: ignore[arg-type]
        for name in ("band", "reference")
    )
    assert torch.equal(got.isnan(), wanted.isnan())
    assert_same(got.nan_to_num(), wanted.nan_to_num())


@pytest.mark.parametrize("length", [64, 512])
@pytest.mark.parametrize("learned", [False, True])
def test_neither_falls_to_plain_mathematics_at_ordinary_sizes(length: int, learned: bool) -> None:
    x = torch.randn(4, 8, length, 64, requires_grad=learned)
    sink = normalizers.SinkSoftmax(torch.zeros(8, requires_grad=learned))
    for mask in (None, masks.Causal(), masks.LeftPadding(torch.tensor([0, 1, 2, 3]))):
        for options in ({"score": scores.SoftCapped()}, {"normalizer": sink}):
            planned = plan(x, x, x, mask=mask, **options)  # type: ignore[arg-type]
            assert planned.backend == "band", planned
            assert "sdpa" in planned.rejected


def test_an_additive_score_with_a_sink_keeps_its_kernel() -> None:
    score = scores.Additive(torch.randn(16, 32), torch.randn(16, 32), torch.randn(32))
    x = torch.randn(2, 4, 200, 16)
    assert plan(x, x, x, score=score, normalizer=normalizers.SinkSoftmax()).backend == "chunked"


def test_a_route_is_remembered_for_other_sinks() -> None:
    query, key, value = operands(5, 6, learned=False)
    for sink in (0.5, 2.0, torch.tensor(1.0).double(), torch.randn(3).double()):
        normalizer = normalizers.SinkSoftmax(sink)
        got, wanted = (
            attend(query, key, value, normalizer=normalizer, backend=name).output
            for name in ("auto", "reference")
        )
        assert_same(got, wanted)


def test_modules_with_both() -> None:
    module = nn.MultiHeadAttention(
        16, 2, score="soft_capped", normalizer=nn.build_normalizer("learned_sink_softmax", num_heads=2),
        rotary=positions.Rotary(8, layout="half"),
    )  # fmt: skip
    x = torch.randn(2, 70, 16)
    module(x, mask=masks.Causal()).output.square().sum().backward()
    (sink,) = (p for name, p in module.named_parameters() if "sink" in name)
    assert sink.shape == (2,)
    assert bool(sink.grad.any())  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["nothing", "window", "padding"])
def test_a_learned_sink_among_several_pieces(kind: str) -> None:
    """Gradients with and without a whole number of blocks, and where some rows see nothing."""
    sink = torch.tensor([90.0, -90.0, 0.0], dtype=WIDE)
    call = both(2.0, sink, **CALLS[kind])
    assert_all_same(gradients(call, backend="band"), gradients(call, backend="reference"))
