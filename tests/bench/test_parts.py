"""The clock, the counts of bytes, and the values that go to JSON and back."""

from __future__ import annotations

import json
import time

import pytest
import torch

from heedful.bench import memory
from heedful.bench.clock import MOST, interleave
from heedful.bench.machine import describe
from heedful.bench.results import Memory, Ratio, Result, Timing, growth

MIB = 2**20


def test_each_round_has_each_once_and_the_slower_is_slower() -> None:
    calls: list[str] = []

    def quick() -> None:
        calls.append("quick")
        time.sleep(0.001)

    def slow() -> None:
        calls.append("slow")
        time.sleep(0.01)

    shares: list[float] = []
    samples = interleave({"quick": quick, "slow": slow}, 0.2, shares.append)
    rounds = len(samples.seconds["quick"])
    assert 3 <= rounds == len(samples.seconds["slow"]) <= MOST
    # Each twice in a row: once untimed, so that its data are in the caches, and once timed.
    pairs = list(zip(calls[2::2], calls[3::2], strict=True))
    assert all(first == second for first, second in pairs)
    timed = [first for first, _ in pairs]
    assert {frozenset(both) for both in zip(timed[::2], timed[1::2], strict=True)} == {
        frozenset({"quick", "slow"})
    }
    ratio = samples.ratio("slow", "quick")
    assert ratio is not None
    assert ratio.median > 1
    assert samples.ratio("slow", "absent") is None
    assert samples.timing("absent") is None
    assert shares == sorted(shares)


def test_bytes_kept_count_each_storage_once_and_no_input() -> None:
    x = torch.ones(MIB // 4, requires_grad=True)

    def run() -> torch.Tensor:
        y = x.exp()  # kept by exp, and by each of the two that follow
        return (y * x).sum() + (y * y).sum()

    assert memory.kept(run, {"x": x}) == MIB


def test_peak_is_the_most_at_once() -> None:
    x = torch.ones(MIB // 4)

    def run() -> None:
        y = x + 1
        z = y + 1
        del y
        z.add(1)

    assert 2 * MIB <= memory.peak(run) < 2 * MIB + 100  # the ones that are added are tensors too


def test_memory_of_a_pass() -> None:
    x = torch.ones(MIB // 4, requires_grad=True)
    found = memory.measure_memory(x.exp, {"x": x}, torch.ones(MIB // 4))
    assert found == Memory(kept=MIB, peak_forward=MIB, peak_both=2 * MIB)


def test_results_go_to_json_and_back() -> None:
    one = Result(
        "additive", "textbook", False, {"queries": 4}, 2, "measured",
        error=1e-7, first_seconds=0.5, forward=Timing.of([1.0, 2.0]), both=None,
        memory=Memory(None, 4, None), ratios={"forward heedful": Ratio(2.0, 1.0, 3.0)},
    )  # fmt: skip
    assert Result.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert one.ratio("forward") == one.ratio("forward", "heedful") == Ratio(2.0, 1.0, 3.0)
    assert one.ratio("both") is None


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_growth_is_found_over_the_larger_sizes(power: float) -> None:
    flat = [(2.0**n, 1000.0) for n in range(3)]
    points = [(2.0**n, 3 * 2.0 ** (power * n)) for n in range(3, 8)]
    assert growth(flat + points) == pytest.approx(power, abs=1e-3)
    assert growth(points[:2]) is None


def test_the_machine_tells_its_processor_and_versions() -> None:
    told = describe()
    # The build, as +cu132, is not in the version of every distribution.
    assert told["torch"] in (torch.__version__, torch.__version__.partition("+")[0])
    assert all(told.values())
