"""Windowed attention by blocks, against the same call by plain mathematics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful import (
    BackendError,
    attend,
    masks,
    normalizers,
    plan,
    positions,
    scores,
)
from heedful.ops.backends.band import backend as band
from heedful.ops.backends.band import bias as band_added
from heedful.ops.backends.band import blocks as band_blocks
from heedful.ops.masks import Mask
from heedful.ops.rows import Rows
from tests.ops.compare import assert_all_same, assert_same, gradients, run
from tests.ops.examples import normal, windowed
from tests.ops.strategies import integers

DOUBLE = torch.float64


@st.composite
def windows(draw: st.DrawFn) -> tuple[Mask, int, int]:
    """A bounded window with others on top, and the lengths of a call with leading axes (2, 2)."""
    length = st.one_of(st.integers(1, 14), st.integers(30, 100))
    queries, keys = draw(length), draw(length)
    side = st.one_of(st.integers(0, 16), st.integers(20, 60))
    numbers = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    align = draw(st.sampled_from(["top_left", "bottom_right"]))
    mask: Mask = masks.Window(draw(side), draw(side), align=align)
    for _ in range(draw(st.integers(0, 2))):
        match draw(st.sampled_from(["causal", "padding", "segments", "dense", "or", "not"])):
            case "causal":
                mask = masks.Window(draw(side), None) & mask & masks.Causal(align="bottom_right")
            case "padding":
                mask = mask & masks.Padding(integers(draw, 2, 0, keys))
            case "segments":
                ids = torch.randint(2, (2, queries), generator=numbers)
                mask = mask & masks.Segments(ids, torch.randint(2, (keys,), generator=numbers))
            case "dense":
                shape = draw(
                    st.sampled_from([(queries, keys), (2, 1, queries, keys), (2, 2, 1, keys)])
                )
                keep = torch.randint(2, shape, generator=numbers).bool()
                mask = mask & masks.Dense(keep)
            case "or":
                mask = mask | masks.Window(draw(side), 0)
            case "not":
                mask = mask & ~masks.Window(0, 1)
    return mask, queries, keys


@settings(deadline=None)
@given(windows(), st.integers(1, 4), st.sampled_from([1, 2**22]))
def test_any_window_over_any_lengths_equals_reference(
    drawn: tuple[Mask, int, int], rows: int, piece: int
) -> None:
    mask, queries, keys = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(band_added, "PIECE_BYTES", piece)
        patch.setattr(band_blocks, "block_rows", lambda *_: rows)
        # What goes block by block shows all it does on few rows.
        kernels = ("softmax", "sparsemax")
        for normalizer in (*kernels, "relu") if queries + keys < 30 else kernels:
            call = windowed(mask, queries, keys, normalizer=normalizer)
            got = gradients(call, backend="band")
            assert_all_same(got, gradients(call, backend="reference"))
            output, weights = run(call, backend="band", return_weights=True)
            assert torch.equal(output, got["output"])
            wanted = run(call, backend="reference", return_weights=True).weights
            assert weights is not None
            assert wanted is not None
            assert_same(weights, wanted)


@given(windows())
def test_bounds_hold_all_that_is_kept(drawn: tuple[Mask, int, int]) -> None:
    mask, queries, keys = drawn
    rows = Rows.all(queries, keys, (2, 2), torch.device("cpu"))
    distance = rows.key_index() - rows.query_index()
    for each in (mask, ~mask, ~~mask):
        left, right = each.bounds(rows)
        kept = distance.expand(rows.shape)[each.tile(rows).expand(rows.shape)]
        assert left is None or bool((kept >= -left).all())
        assert right is None or bool((kept <= right).all())
    assert None not in mask.bounds(rows)


def test_bounds_of_what_is_not_kept() -> None:
    rows = Rows.all(5, 5, (), torch.device("cpu"))
    assert (~masks.Causal()).bounds(rows) == (-1, None)
    assert (~masks.Window(None, 2)).bounds(rows) == (-3, None)
    assert (~masks.Window(2, None)).bounds(rows) == (None, -3)
    assert (~masks.Window(2, None) | ~masks.Window(1, 1)).bounds(rows) == (None, None)
    assert (~(masks.Causal() | masks.Window(None, 3))).bounds(rows) == (-4, None)


@pytest.mark.parametrize("score", ["dot", "additive"])
@pytest.mark.parametrize(
    "bias",
    [
        lambda: normal(1, 2, 9, 9, dtype=DOUBLE),
        lambda: normal(9, 1, dtype=DOUBLE),
        lambda: positions.ALiBi(torch.tensor([0.5, 0.25]).double()),
        lambda: positions.RelativeBuckets(normal(2, 8, dtype=DOUBLE), max_distance=9),
        lambda: positions.RelativeBuckets(
            normal(1, 8, dtype=DOUBLE).requires_grad_(), max_distance=9
        ),
    ],
    ids=["heads", "shared", "alibi", "buckets", "learned"],
)
def test_biases(score: str, bias: Any) -> None:
    call = windowed(masks.Window(2, 1), 9, 9, score).leaves()
    held = bias()
    learned = [
        t
        for t in (held.tensors() if isinstance(held, positions.PositionBias) else ())
        if t.requires_grad
    ]
    found = []
    for backend in ("band", "reference"):
        output = run(replace(call, bias=held), backend=backend).output
        wanted = [*call.tensors().values(), *learned]
        found.append((output, torch.autograd.grad(output.square().sum(), wanted)))
    assert_same(found[0][0], found[1][0])
    for got, expected in zip(found[0][1], found[1][1], strict=True):
        assert_same(got, expected)


@pytest.mark.parametrize("normalizer", ["softmax", "entmax"])
def test_gradients_through_weights_and_second_derivatives(normalizer: str) -> None:
    call = windowed(masks.Window(2, 1), 9, 9, normalizer=normalizer).leaves()
    found = []
    for backend in ("band", "reference"):
        output, weights = run(call, backend=backend, return_weights=True)
        assert weights is not None
        tensors = list(call.tensors().values())
        loss = output.sin().sum() + (weights * torch.linspace(0, 1, 9).double()).square().sum()
        first = torch.autograd.grad(loss, tensors, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), tensors)
        found.append((*first, *second))
    for got, wanted in zip(*found, strict=True):
        assert_same(got.detach(), wanted.detach())


def test_second_derivatives_of_the_query_alone() -> None:
    query, key = normal(9, 4, dtype=DOUBLE).requires_grad_(), normal(9, 4, dtype=DOUBLE)
    found = []
    for backend in ("band", "reference"):
        output = attend(query, key, key, mask=masks.Window(2, 1), backend=backend).output
        (first,) = torch.autograd.grad(output.sin().sum(), query, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), query)[0])
    assert_same(*found)


def test_grouped_heads() -> None:
    query = normal(2, 4, 11, 6, dtype=DOUBLE).requires_grad_()
    key, value = (normal(2, 2, 11, 6, dtype=DOUBLE).requires_grad_() for _ in range(2))
    mask = masks.Window(3, 2) & masks.Padding(torch.tensor([11, 6]))
    for bias in (None, positions.ALiBi(torch.tensor([0.5, 0.3, 0.2, 0.1]).double())):
        found = []
        for backend in ("band", "reference"):
            output = attend(
                query, key, value, mask=mask, bias=bias, enable_gqa=True, backend=backend
            ).output
            found.append((output, *torch.autograd.grad(output.sin().sum(), (query, key, value))))
        for got, wanted in zip(*found, strict=True):
            assert_same(got.detach(), wanted.detach())


@pytest.mark.parametrize("score", ["dot", "additive"])
def test_what_is_outside_the_window_reaches_nothing(score: str) -> None:
    call = windowed(masks.Window(1, 1), 12, 12, score)
    call.key[..., 9, :] = torch.nan
    call.value[..., 9, :] = torch.inf
    got, wanted = gradients(call, backend="band"), gradients(call, backend="reference")
    sees = slice(8, 11)
    assert bool(got["output"][..., sees, :].isnan().all())
    for result in (got, wanted):
        for name in ("output", "query"):
            assert bool(result[name][..., :8, :].isfinite().all())
            result[name][..., sees, :] = 0
    for name in ("key", "value"):
        assert_same(got[name].nan_to_num(), wanted[name].nan_to_num())
    assert_same(got["output"], wanted["output"])


def test_products_that_overflow_go_by_plain_mathematics() -> None:
    call = windowed(masks.Window(1, 1) & ~masks.Window(0, 0), 6, 6, dtype=torch.float32)
    call.key[..., 2, :] = 1e30
    call.query[..., 2, :] = 1e30
    assert_same(run(call, backend="band").output, run(call, backend="reference").output)


@pytest.mark.parametrize("layout", ["transposed", "features apart"])
def test_any_layout_of_memory(layout: str) -> None:
    call = windowed(masks.Window(2, 2), 10, 10)
    order = (1, 2) if layout == "transposed" else (2, 3)
    apart = call.with_tensors(
        {
            name: tensor.transpose(*order).contiguous().transpose(*order)
            for name, tensor in call.tensors().items()
            if "." not in name
        }
    )
    assert not apart.query.is_contiguous()
    got = run(apart, backend="band").output
    assert_same(got, run(call, backend="reference").output)


def test_dropout_comes_again_in_the_backward_pass() -> None:
    value = torch.ones(64, 4, dtype=DOUBLE, requires_grad=True)
    x = torch.randn(64, 4, dtype=DOUBLE)
    torch.manual_seed(3)
    output = attend(x, x, value, mask=masks.Window(4, 4), dropout_p=0.5, backend="band").output
    before = torch.get_rng_state()
    (gradient,) = torch.autograd.grad(output.sum(), value)
    # Linear in the values: what went out comes back, if the same weights were dropped.
    assert_same((gradient * value).sum().detach(), output.sum().detach())
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.allclose(output, torch.ones_like(output))


def test_without_compiled_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    call = windowed(masks.Window(2, 1) & masks.Padding(torch.tensor([9, 3])), 9, 9)
    monkeypatch.setattr(band, "unavailable", lambda: "Numba is missing")
    assert_all_same(gradients(call, backend="band"), gradients(call, backend="reference"))


def test_what_leaves_a_side_open_is_refused_where_no_kernel_serves_it() -> None:
    x, other = torch.randn(4, 3), normalizers.ReLU()
    for mask in (None, masks.Causal(), masks.Window(3, None), masks.Window(1, 1) | masks.Causal()):
        with pytest.raises(BackendError, match="nothing in its mask bounds on both sides"):
            attend(x, x, x, mask=mask, backend="band", normalizer=other)
    for mask in (masks.Causal() & masks.Window(3, None), masks.Window(2, 1)):
        told = plan(x, x, x, mask=mask, backend="band", normalizer=other)
        assert told.backend == "band"


def test_the_plan_prefers_it_for_long_sequences_alone() -> None:
    mask = masks.Window(128, 128)
    short, long = (torch.randn(1, 4, n, 64) for n in (16, 4096))
    assert plan(short, short, short, mask=mask).backend == "sdpa"
    assert plan(long, long, long, mask=mask).backend == "band"
    sparse = normalizers.Sparsemax()
    assert plan(long, long, long, mask=mask, normalizer=sparse).backend == "band"


@pytest.mark.parametrize("length", [5, 33, 100])
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("mask", [masks.Window(5, 9), masks.Window(300, 0, "bottom_right")])
def test_windows_of_odd_lengths(length: int, dtype: torch.dtype, mask: masks.Window) -> None:
    inputs = [torch.randn(2, 3, length, 32, dtype=dtype) for _ in range(3)]
    inputs[1] = inputs[1].transpose(1, 2).contiguous().transpose(1, 2)
    found = []
    for backend in ("auto", "reference"):
        leaves = [one.clone().requires_grad_() for one in inputs]
        output = attend(*leaves, mask=mask, backend=backend).output
        found.append((output, *torch.autograd.grad(output.square().sum(), leaves)))
        found[-1] = (*found[-1], attend(*inputs, mask=mask, backend=backend).output)
    for got, wanted in zip(*found, strict=True):
        assert_same(got.detach(), wanted.detach())


@pytest.mark.parametrize("change", ["open", "prepared", "score", "shapes", "features", "dtype"])
def test_windows_of_odd_operands(change: str) -> None:
    query, key, value = (torch.randn(2, 3, 40, 32) for _ in range(3))
    mask, score = masks.Window(5, 9), scores.ScaledDot()
    match change:
        case "open":
            mask = masks.Window(None, 3)
        case "prepared":
            key = score.prepare_key(key)
        case "score":
            score = scores.Cosine(2.0)
        case "shapes":
            value = value[..., :16]
        case "features":
            query, key, value = query[..., :20], key[..., :20], value[..., :20]
        case "dtype":
            query, key, value = (one.bfloat16() for one in (query, key, value))
    got = attend(query, key, value, score=score, mask=mask).output
    wanted = attend(query, key, value, score=score, mask=mask, backend="reference").output
    assert_same(got, wanted)


def test_additive_over_a_long_sequence() -> None:
    score = scores.Additive(torch.randn(4, 8), torch.randn(4, 8), torch.randn(8))
    x = torch.randn(700, 4)
    mask = masks.Window(5, 9)
    got = attend(x, x, x, score=score, mask=mask, backend="band").output
    assert_same(got, attend(x, x, x, score=score, mask=mask, backend="reference").output)
