"""Products of matrices rounded to 8 bits."""

from __future__ import annotations

import math

import pytest
import torch

from heedful.ops.decoding import rounded
from heedful.ops.decoding.rounded import RoundedMatrix, rounded_rows


@pytest.fixture(params=["compiled", "operators"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    chosen: str = request.param
    if chosen == "operators":
        monkeypatch.setattr(rounded, "unavailable", lambda: "for the test")
    elif rounded.unavailable() is not None:
        pytest.skip(str(rounded.unavailable()))
    return chosen


@pytest.mark.parametrize(("rows", "features"), [(1, 1), (3, 16), (5, 37), (2, 128)])
def test_each_number_is_within_half_a_step(way: str, rows: int, features: int) -> None:
    torch.manual_seed(0)
    given = torch.randn(rows, features) * torch.logspace(-3, 3, rows)[:, None]
    numbers, scales = rounded_rows(given)
    assert numbers.dtype == torch.int8
    torch.testing.assert_close(scales, given.abs().amax(dim=1) / 127)
    back = numbers.double() * scales.double()[:, None]
    assert ((back - given).abs() <= 0.5001 * scales[:, None]).all()


@pytest.mark.parametrize(("count", "features", "rows"), [(1, 1, 1), (4, 30, 37), (17, 129, 200)])
def test_products_are_those_of_the_rounded_numbers(
    way: str, count: int, features: int, rows: int
) -> None:
    torch.manual_seed(1)
    matrix, inputs = torch.randn(rows, features), torch.randn(count, features)
    numbers, scales = (each.double() for each in rounded_rows(matrix))
    own, own_scales = (each.double() for each in rounded_rows(inputs))
    wanted = (own * own_scales[:, None]) @ (numbers * scales[:, None]).t()
    found = RoundedMatrix(matrix).linear(inputs)
    torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=1e-5)


def test_rows_do_not_depend_on_each_other(way: str) -> None:
    torch.manual_seed(2)
    matrix, inputs = RoundedMatrix(torch.randn(50, 20)), torch.randn(6, 20)
    inputs[5] *= 1000
    assert torch.equal(matrix.linear(inputs)[:3], matrix.linear(inputs[:3]))


def test_a_row_of_zeros_and_numbers_that_are_not_finite(way: str) -> None:
    inputs = torch.ones(4, 20)
    inputs[0], inputs[1, 3], inputs[2, 18] = 0.0, math.nan, math.inf
    found = RoundedMatrix(torch.randn(5, 20)).linear(inputs)
    assert found[0].tolist() == [0.0] * 5
    assert found[1:3].isnan().all()
    assert found[3].isfinite().all()


def test_no_rows(way: str) -> None:
    assert RoundedMatrix(torch.randn(5, 20)).linear(torch.zeros(0, 20)).shape == (0, 5)
