"""No contender gets a speed for a result that is wrong: each way to be wrong is planted, and found."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from heedful.bench import check
from heedful.bench.measure import Pace, measure_case
from heedful.bench.operations import OPERATIONS
from heedful.bench.results import Result
from heedful.bench.settings import GIB, Settings
from heedful.bench.values import Contender, Inputs, Run, Sizes

ADDITIVE = OPERATIONS["additive"]
SIZES = {"queries": 6, "keys": 5, "hidden": 4}
FAST = Settings(seconds=0.001)
RIGHT = next(one for one in ADDITIVE.contenders if one.name == "textbook")


class TimesInBackward(torch.autograd.Function):
    """The right value, its gradient multiplied."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, times: float) -> Tensor:
        ctx.times = times
        return x.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return upstream * ctx.times, None


def planted(how: Callable[[Tensor], Tensor]) -> Contender:
    """The textbook formula, spoilt."""

    def build(sizes: Sizes, inputs: Inputs) -> Run:
        run = RIGHT.build(sizes, inputs)
        return lambda: how(run())

    return Contender("planted", build)


def measured(contender: Contender, settings: Settings = FAST, **sizes: int) -> Result:
    operation = replace(ADDITIVE, contenders=(contender,))
    case = operation.case({**SIZES, **sizes})
    [result] = measure_case(operation, case, settings, Pace(), lambda text, share: None)
    return result


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda x: x + 0.01, r"wrong: the output differs by \d\.\de-0[123]"),
        (
            lambda x: TimesInBackward.apply(x, 0.5),
            r"wrong: the gradient of \w+ differs by 5\.0e-01",
        ),
        (
            lambda x: TimesInBackward.apply(x, torch.nan),
            r"wrong: the gradient of \w+ is not finite$",
        ),
        (lambda x: x.detach() + 0 * x, r"wrong: the gradient of \w+ differs by 1\.0e\+00"),
        (lambda x: x * torch.nan, "wrong: the output is not finite$"),
        (lambda x: x[:, :-1], r"wrong: the output has shape \(1, 5, 4\)$"),
    ],
    ids=["output", "gradient", "NaN gradient", "no gradient", "NaN", "shape"],
)
def test_a_planted_error_is_refused(how: Callable[[Tensor], Tensor], reason: str) -> None:
    result = measured(planted(how))
    assert result.status == "refused"
    assert re.match(reason, result.reason)
    assert (result.forward, result.both, result.memory, result.ratios) == (None, None, None, {})


def test_the_right_one_is_measured() -> None:
    result = measured(RIGHT)
    assert result.status == "measured"
    assert result.error is not None
    assert result.error < 1e-5
    assert result.forward is not None
    assert result.both is not None
    assert result.forward.low <= result.forward.median <= result.forward.high


def test_some_rows_of_a_long_operation_are_checked_with_whole_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check, "NUMBERS", 1)
    case = ADDITIVE.case({**SIZES, "queries": 50})
    inputs = {name: torch.nn.Parameter(x) for name, x in ADDITIVE.inputs(case).items()}
    expected = check.expect(ADDITIVE, case, inputs)
    assert expected.output.shape == (1, 4, 4)
    assert expected.gradients["memory"].shape == inputs["memory"].shape
    run = RIGHT.build(case, inputs)
    error, _ = check.difference(expected, run, inputs, backward=True)
    assert error < 1e-5
    error, place = check.difference(expected, lambda: run() + 1e-2, inputs, backward=True)
    assert (error > 1e-3, place) == (True, "the output")
    assert measured(planted(lambda x: x * 1.001), queries=50).status == "refused"


def test_what_cannot_run_says_why() -> None:
    needed = Contender("other", RIGHT.build, needs="no_such_package")
    assert measured(needed).status == "not installed"
    slow = Contender("other", RIGHT.build, compiles=True)
    assert "compiling takes tens of seconds" in measured(slow).reason
    large = Contender("other", RIGHT.build, memory=lambda sizes: 9 * GIB)
    assert measured(large).reason == "needs 9.0 GiB at least, and may use 4.0"

    def fails(sizes: Sizes, inputs: Inputs) -> Run:
        raise NotImplementedError("not on\nthis machine")

    assert measured(Contender("other", fails)).reason == (
        "failed: NotImplementedError: not on this machine"
    )


def test_what_would_take_too_long_is_left_out() -> None:
    pace = Pace()
    assert pace.expected("textbook", 100) == 0.0
    pace.note("textbook", 100, 1.0)
    assert pace.expected("textbook", 400) == 4.0  # in proportion to the pairs
    pace.note("textbook", 400, 2.0)
    assert pace.expected("textbook", 1600) == pytest.approx(4.0)  # it grew as their root
    operation = replace(ADDITIVE, contenders=(RIGHT,))
    case = operation.case({"queries": 400, "keys": 400, "hidden": 4})
    settings = replace(FAST, call_seconds=0.001)
    [result] = measure_case(operation, case, settings, pace, lambda text, share: None)
    assert "by what it took at smaller sizes" in result.reason


def test_without_backward() -> None:
    result = measured(replace(RIGHT, backward=False))
    assert result.both is None
    assert result.memory is not None
    assert (result.memory.kept, result.memory.peak_both) == (None, None)
