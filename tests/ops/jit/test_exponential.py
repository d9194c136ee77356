"""e^x of vectors in kernels, against e^x in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from heedful.ops.jit.kernel import exp_below_one, exp_or_zero, kernel, launch, load, store
from heedful.ops.jit.source import LANES

LOWEST = {torch.float32: -87.0, torch.float64: -708.0}
HIGHEST = {torch.float32: 88.0, torch.float64: 709.0}


@kernel(no_refcount=True)
def exponentials(part, parts, numbers, below, general):  # type: ignore[no-untyped-def]
    for i in range(0, len(numbers), LANES):
        store(below, i, exp_below_one(load(numbers, i)))
        store(general, i, exp_or_zero(load(numbers, i)))


def computed(numbers: Tensor) -> tuple[Tensor, Tensor]:
    padded = torch.cat([numbers, numbers.new_zeros(-len(numbers) % LANES)])
    below, general = torch.empty_like(padded), torch.empty_like(padded)
    launch(exponentials, padded, below, general, work=0.0)
    return below[: len(numbers)], general[: len(numbers)]


def error(found: Tensor, numbers: Tensor) -> Tensor:
    """The relative error, less what rounding log2 e and x come to, in units of the last place."""
    wanted = numbers.double().exp()
    size = torch.finfo(numbers.dtype).eps
    return ((found.double() - wanted).abs() / wanted / size - 0.25 * numbers.double().abs()).max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_up_to_one(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    lowest = LOWEST[dtype]
    evenly = torch.linspace(lowest, 0, 20_011, dtype=dtype)
    small = -torch.logspace(-30, 0, 999, dtype=dtype)
    numbers = torch.cat([evenly, -torch.rand(20_000, dtype=dtype), small])
    for found in computed(numbers):
        assert error(found, numbers) < 2
        assert (found <= 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_above_one(dtype: torch.dtype) -> None:
    numbers = torch.linspace(0, HIGHEST[dtype], 20_011, dtype=dtype)
    _, found = computed(numbers)
    assert error(found, numbers) < 2
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_hidden_weighs_nothing_and_nan_stays(dtype: torch.dtype) -> None:
    lowest, infinity = LOWEST[dtype], math.inf
    below = math.nextafter(lowest, -infinity) if dtype == torch.float64 else lowest - 1e-4
    numbers = torch.tensor(
        [-infinity, -1e30, 10 * lowest, below, lowest, 0.0, math.nan], dtype=dtype
    )
    for found in computed(numbers):
        assert found[:4].tolist() == [0.0] * 4
        assert found[4] >= torch.finfo(dtype).tiny
        assert found[5] == 1
        assert found[6].isnan()
    _, found = computed(torch.tensor([infinity, 1e30], dtype=dtype))
    assert torch.isfinite(found).all()
    assert (found > 1e38).all()
