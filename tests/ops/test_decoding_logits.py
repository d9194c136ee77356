"""The kernels over rows of logits, against PyTorch's operators."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.decode.extensions import MOST_INSERTED, Extensions, logsumexp, top_k
from heedful.ops.jit.kernel import unavailable

pytestmark = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
INF, NAN = math.inf, math.nan


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 5), st.integers(1, 200), st.integers(1, MOST_INSERTED + 2), st.integers(0, 10**6)
)
def test_rows_of_any_size(rows: int, columns: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 8 * torch.randn(rows, columns, generator=generator)
    logits[torch.rand(rows, columns, generator=generator) < 0.2] = -INF
    wanted = torch.logsumexp(logits.double(), dim=1)
    torch.testing.assert_close(logsumexp(logits).double(), wanted, atol=2e-6, rtol=1e-6)
    width = min(width, columns)
    values, places = top_k(logits, width)
    assert torch.equal(values, logits.topk(width, dim=1).values)
    assert torch.equal(logits.gather(1, places), values)
    assert all(len(set(row)) == width for row in places.tolist())


def test_of_equal_numbers_the_first_is_first() -> None:
    logits = torch.zeros(1, 300)
    logits[0, [70, 200]] = 1.0
    _, places = top_k(logits, 4)
    assert places.tolist() == [[70, 200, 0, 1]]


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ([-INF] * 20, -INF),
        ([0.0] * 19 + [INF], INF),
        ([-INF] * 19 + [INF], INF),
        ([0.0] * 19 + [NAN], NAN),
        ([NAN] * 20, NAN),
        ([-INF] * 3 + [NAN] * 17, NAN),
        ([INF] + [NAN] * 17, NAN),
        ([-INF] * 19 + [3.0], 3.0),
        ([1e38, 1e38], 1e38),
        ([-200.0, 0.0], 0.0),
    ],
)
def test_sums_of_what_is_not_finite(row: list[float], wanted: float) -> None:
    found = logsumexp(torch.tensor([row]))
    assert torch.equal(found, torch.tensor([wanted])) or (
        math.isnan(wanted) and bool(found.isnan())
    )


def test_a_row_with_nan_has_no_finite_extension() -> None:
    logits = torch.randn(2, 100)
    logits[1, 60] = NAN
    values, _ = Extensions.of(logits).best(3)
    assert values[0].isfinite().all()
    assert not values[1].isfinite().any()
    assert top_k(logits, MOST_INSERTED)[0].isfinite().all()
    few = torch.tensor([[1.0, NAN, 2.0]])
    assert [each.tolist() for each in top_k(few, 3)] == [[[2.0, 1.0, -INF]], [[2, 0, 0]]]


def test_no_rows() -> None:
    assert logsumexp(torch.zeros(0, 5)).shape == (0,)
    assert top_k(torch.zeros(0, 5), 2)[0].shape == (0, 2)


def test_other_numbers_and_strides_are_the_operators() -> None:
    logits = torch.randn(80, 6).t()
    for each in (logits, logits.double(), logits.contiguous()):
        torch.testing.assert_close(logsumexp(each), torch.logsumexp(each, dim=1))
        assert torch.equal(top_k(each, 3)[1], each.topk(3, dim=1).indices)
