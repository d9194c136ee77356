"""The kernel of few queries over many keys: equal to the reference, without copies, and chosen where it is ahead."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from heedful import BackendError, attend, masks, normalizers, plan, positions, scores
from heedful.ops.masks import Mask
from heedful.ops.masks.intervals import is_interval, key_interval
from heedful.ops.rows import Rows
from tests.ops.compare import assert_same

B, HEADS, KEYS = 2, 6, 150
# (queries, key heads, features, values): one row and many, shared heads, features that fill no vector
SHAPES = [
    (1, 6, 16, 16),
    (1, 3, 64, 80),
    (1, 2, 40, 17),
    (3, 1, 72, 130),
    (16, 6, 24, 32),
    (5, 1, 31, 33),
]
MASKS: dict[str, Callable[[int], Mask | None]] = {
    "none": lambda queries: None,
    "causal": lambda queries: masks.Causal(align="bottom_right"),
    "causal from the first": lambda queries: masks.Causal(align="top_left"),
    "window": lambda queries: masks.Window(40, 2, align="bottom_right"),
    "padding": lambda queries: masks.Padding(torch.tensor([70, 150])),
    "padding a head": lambda queries: masks.Padding(torch.arange(12).reshape(2, 6) * 14),
    "left padding": lambda queries: masks.LeftPadding(torch.tensor([140, 3])),
    "everything padding": lambda queries: masks.Padding(torch.tensor([0, -2])),
    "causal and left padding": lambda queries: (
        masks.Causal(align="bottom_right") & masks.LeftPadding(torch.tensor([149, 66]))
    ),
    "ragged": lambda queries: masks.Ragged(
        torch.tensor([1, queries]), torch.tensor([20, 101]), left=30, right=1
    ),
    "dense": lambda queries: masks.Dense(torch.rand(B, 1, queries, KEYS) > 0.4),
    "segments": lambda queries: masks.Segments(torch.arange(queries) % 3, torch.arange(KEYS) // 60),
    "dense and padding": lambda queries: (
        masks.Dense(torch.rand(queries, KEYS) > 0.4) & masks.Padding(torch.tensor([9, 101]))
    ),
}


def operands(
    queries: int, key_heads: int, features: int, values: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    query = torch.randn(B, HEADS, queries, features, dtype=torch.float64)
    key = torch.randn(B, key_heads, KEYS, features, dtype=torch.float64)
    value = torch.randn(B, key_heads, KEYS, values, dtype=torch.float64)
    return query.to(dtype), key.to(dtype), value.to(dtype)


def assert_equals_reference(inputs: tuple[Tensor, ...], **options: object) -> None:
    got = attend(*inputs, enable_gqa=True, backend="decode", return_weights=True, **options)  # type: ignore[arg-type, call-overload]
    plain = attend(*inputs, enable_gqa=True, backend="decode", **options)  # type: ignore[arg-type, call-overload]
    wide = [one if one.dtype == torch.float64 else one.float() for one in inputs]
    wanted = attend(*wide, enable_gqa=True, backend="reference", return_weights=True, **options)  # type: ignore[arg-type, call-overload]
    assert torch.equal(plain.output, got.output), "asking for weights changes nothing"
    dtype = inputs[0].dtype
    assert_same(got.output, wanted.output.to(dtype), "output")
    assert wanted.weights is not None
    assert_same(got.weights, wanted.weights.to(dtype), "weights")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", MASKS)
def test_any_mask_equals_reference(name: str, shape: tuple[int, int, int, int]) -> None:
    assert_equals_reference(operands(*shape), mask=MASKS[name](shape[0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_other_numbers(dtype: torch.dtype, shape: tuple[int, int, int, int]) -> None:
    assert_equals_reference(operands(*shape, dtype=dtype), mask=MASKS["padding"](shape[0]))


@pytest.mark.parametrize("keys", [1, 2, 7, 15, 16, 17, 63, 64, 65, 129])
@pytest.mark.parametrize("queries", [1, 2, 3, 4, 7, 8, 9])
def test_any_number_of_keys_and_rows(keys: int, queries: int) -> None:
    query = torch.randn(queries, 20, dtype=torch.float64)
    key, value = torch.randn(keys, 20).double(), torch.randn(keys, 48).double()
    got = attend(query, key, value, backend="decode").output
    assert_same(got, attend(query, key, value, backend="reference").output)


@pytest.mark.parametrize(
    "score",
    [
        scores.Dot(),
        scores.ScaledDot(0.3),
        scores.Cosine(2.0),
        scores.Gaussian(2.0),
        scores.SoftCapped(1.5, scores.ScaledDot()),
        scores.Bilinear(torch.randn(24, 24, dtype=torch.float64) / 24),
    ],
    ids=lambda score: score.name,
)
def test_every_score_of_inner_products(score: scores.Score) -> None:
    assert_equals_reference(operands(3, 6, 24, 32), score=score, mask=MASKS["causal"](3))


@pytest.mark.parametrize("sink", [0.5, torch.randn(HEADS, dtype=torch.float64), -torch.inf])
def test_sinks(sink: float | Tensor) -> None:
    normalizer = normalizers.SinkSoftmax(sink)
    assert_equals_reference(operands(3, 2, 24, 32), normalizer=normalizer)
    empty = masks.Padding(torch.tensor([0, 60]))
    assert_equals_reference(operands(3, 2, 24, 32), normalizer=normalizer, mask=empty)


def test_biases() -> None:
    bias = torch.randn(1, HEADS, 3, KEYS, dtype=torch.float64)
    bias[..., 5] = -torch.inf
    for mask in (None, MASKS["padding"](3), MASKS["dense"](3)):
        assert_equals_reference(operands(3, 2, 24, 32), bias=bias, mask=mask)
    assert_equals_reference(operands(3, 2, 24, 32), bias=positions.ALiBi.for_heads(HEADS))


@pytest.mark.parametrize("lead", [(), (3,), (2, 2, 3)])
def test_any_leading_axes(lead: tuple[int, ...]) -> None:
    query, key, value = (torch.randn(*lead, n, 24, dtype=torch.float64) for n in (2, 70, 70))
    lengths = torch.arange(20, 80)[: torch.Size(lead).numel() or 1].reshape(lead)
    for mask in (None, masks.Padding(lengths)):
        got = attend(query, key, value, mask=mask, backend="decode", return_weights=True)
        wanted = attend(query, key, value, mask=mask, backend="reference", return_weights=True)
        assert_same(got.output, wanted.output)
        assert got.weights is not None
        assert wanted.weights is not None
        assert_same(got.weights, wanted.weights)


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", ["none", "causal", "padding", "dense", "left padding"])
@pytest.mark.parametrize("index", range(3))
def test_what_is_not_finite_reaches_what_it_reaches_by_the_definition(
    index: int, name: str, poison: float
) -> None:
    inputs = list(operands(2, 3, 24, 32))
    inputs[index][:, 0, min(100, inputs[index].shape[2] - 1), 3] = poison
    mask = MASKS[name](2)
    got, wanted = (
        attend(*inputs, mask=mask, enable_gqa=True, backend=one).output
        for one in ("decode", "reference")
    )
    assert torch.equal(got.isnan(), wanted.isnan())
    assert_same(got.nan_to_num(), wanted.nan_to_num())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_strided_cache_is_read_where_it_lies(dtype: torch.dtype) -> None:
    room = torch.randn(B, 200, 3, 64).to(dtype)  # (batch, length, heads, features), half full
    key = value = room[:, :KEYS].transpose(1, 2)
    query = torch.randn(B, HEADS, 1, 64).to(dtype)
    run = lambda: attend(query, key, value, enable_gqa=True, backend="decode").output  # noqa: E731
    wanted = attend(query, key.contiguous(), value.contiguous(), enable_gqa=True, backend="decode")
    assert torch.equal(run(), wanted.output)
    with torch.profiler.profile(profile_memory=True) as profile:
        run()
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert largest < key.numel() * key.element_size() // 8, "no copy of keys or values"


def test_splits_of_the_keys_are_joined() -> None:
    threads = torch.get_num_threads()
    query, key, value = (
        torch.randn(1, n, 4000, 64)[:, :, :m] for n, m in ((4, 2), (1, 4000), (1, 4000))
    )
    mask = masks.Padding(torch.tensor([3000]))
    options = {"mask": mask, "enable_gqa": True, "return_weights": True}
    wanted = attend(query, key, value, backend="reference", **options)  # type: ignore[arg-type]
    torch.set_num_threads(2)
    try:
        got = attend(query, key, value, backend="decode", **options)  # type: ignore[arg-type]
        empty = attend(
            query,
            key,
            value,
            mask=masks.Padding(torch.tensor([0])),
            enable_gqa=True,
            backend="decode",
        )
    finally:
        torch.set_num_threads(threads)
    assert_same(got.output, wanted.output)
    assert got.weights is not None
    assert wanted.weights is not None
    assert_same(got.weights, wanted.weights)
    assert not bool(empty.output.any())


def test_the_planner_takes_it_for_a_long_cache_without_gradients() -> None:
    query, key = torch.randn(1, 32, 1, 128), torch.randn(1, 8, 4096, 128)
    assert plan(query, key, key, enable_gqa=True).backend == "decode"
    assert plan(query, key[:, :, :16], key[:, :, :16], enable_gqa=True).backend != "decode"
    learned = plan(query.requires_grad_(), key, key, enable_gqa=True)
    assert learned.backend != "decode"
    assert learned.rejected["decode"] == "it has no backward pass"


def test_refusals() -> None:
    x = torch.randn(2, 17, 32)
    refused = {
        "at most 16 queries": (x, {}),
        "vectors hold 16 features": (torch.randn(2, 3, 8), {}),
        "no dropout": (x[:, :2], {"dropout_p": 0.1}),
        "not by sparsemax": (x[:, :2], {"normalizer": normalizers.Sparsemax()}),
    }
    for reason, (one, options) in refused.items():
        with pytest.raises(BackendError, match=reason):
            attend(one, one, one, backend="decode", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MASKS)
def test_intervals_are_what_the_mask_keeps(name: str) -> None:
    mask = MASKS[name](5)
    rows = Rows.all(5, KEYS, (B, HEADS), torch.device("cpu"))
    interval = key_interval(mask, rows)
    assert (interval is not None) == is_interval(mask)
    if interval is None or mask is None:
        return
    keys = torch.arange(KEYS)
    keep = (keys >= interval.start[..., None]) & (keys < interval.stop[..., None])
    assert torch.equal(keep.expand(rows.shape), mask.tile(rows).expand(rows.shape))
