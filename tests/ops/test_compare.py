"""The comparison fails on planted faults: else all that it compares would pass unseen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from heedful import masks, scores
from tests.ops.compare import TOLERANCE, assert_all_same, assert_same, gradients
from tests.ops.examples import example


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_differences_above_the_tolerance_fail(dtype: torch.dtype) -> None:
    wanted = torch.ones(3, dtype=torch.float64)
    got = wanted.clone()
    got[1] += 2.1 * TOLERANCE[dtype]
    with pytest.raises(AssertionError, match="1 of 3 differ"):
        assert_same(got, wanted, dtype=dtype)
    got[1] = 1 + 1.9 * TOLERANCE[dtype]
    assert_same(got, wanted, dtype=dtype)


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_fails(poison: float) -> None:
    good, bad = torch.ones(3), torch.tensor([1.0, poison, 1.0])
    with pytest.raises(AssertionError, match="differ"):
        assert_same(bad, good)
    with pytest.raises(AssertionError, match="not finite"):
        assert_same(good, bad)
    with pytest.raises(AssertionError, match="not finite"):
        assert_same(bad, bad)


def test_other_shapes_and_dtypes_fail() -> None:
    with pytest.raises(AssertionError, match="shape"):
        assert_same(torch.ones(3), torch.ones(1, 3))
    with pytest.raises(AssertionError, match=r"torch\.float64, wanted torch\.float32"):
        assert_same(torch.ones(3).double(), torch.ones(3))


def test_a_missing_gradient_fails() -> None:
    with pytest.raises(AssertionError):
        assert_all_same({"query": torch.ones(1)}, {"query": torch.ones(1), "key": torch.ones(1)})


def test_planted_faults_fail() -> None:
    call = replace(example("scaled_dot"), mask=masks.Window(1, 1))
    wanted = gradients(call)
    dense = masks.Window(1, 1).dense(6, 4)
    faults = {
        "window off by one": replace(call, mask=masks.Window(1, 0)),
        "mask inverted": replace(call, mask=masks.Dense(~dense)),
        "mask forgotten": replace(call, mask=None),
        "scale forgotten": replace(call, score=scores.Dot()),
        "scale a little off": replace(call, score=scores.ScaledDot(0.5001)),
        "keys in another order": replace(call, key=call.key.flip(-2)),
        "heads exchanged": replace(call, value=call.value.flip(1)),
    }
    for broken in faults.values():
        got = gradients(broken)
        with pytest.raises(AssertionError, match="differ"):
            assert_all_same(got, wanted)
    assert_all_same(gradients(replace(call, mask=dense)), wanted)
