"""Half precision in the banded kernels: read as it is, computed in float32, in memory of no wider copy."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from heedful import attend, masks, normalizers, scores
from heedful.ops.masks import Mask
from tests.ops.compare import assert_same

HALVES = [torch.bfloat16, torch.float16]
MASKS: dict[str, Mask | None] = {
    "none": None,
    "causal": masks.Causal(),
    "window": masks.Window(20, 9),
    "padding": masks.Padding(torch.tensor([40, 100])),
    "dense": masks.Dense(torch.rand(100, 100) > 0.5),
}


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


@pytest.mark.parametrize("dtype", HALVES)
def test_gradients_are_those_of_float32(dtype: torch.dtype) -> None:
    halves = [one.requires_grad_() for one in inputs(dtype)]
    wide = [one.detach().float().requires_grad_() for one in halves]
    slopes = []
    for one in (halves, wide):
        output = attend(*one, mask=masks.Causal(), enable_gqa=True, backend="band").output
        slopes.append(torch.autograd.grad(output.float().square().sum(), one))
    for got, wanted in zip(*slopes, strict=True):
        assert_same(got, wanted.to(dtype))


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
def test_no_input_is_widened_whole(dtype: torch.dtype) -> None:
    query, key, value = (torch.randn(1, 2, 4096, 64).to(dtype) for _ in "qkv")
    run = lambda: attend(query, key, value, mask=masks.Window(16, 16), backend="band")  # noqa: E731
    run()
    with torch.profiler.profile(profile_memory=True) as profile:
        run()
    made = [event.self_cpu_memory_usage for event in profile.events()]
    # The output in float32 and in half precision, and nothing else of that size.
    assert (
        sum(size for size in made if size > 0)
        < 4.5 * key.numel() + 8 * key.numel() / 64 + 2 * key.numel() + 2**18
    )
