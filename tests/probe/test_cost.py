"""Times: exponents that are known, and thread counts that are put back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from heedful.models.encoders import ENCODERS
from heedful.models.encoders.local import NoContextConfig, NoContextEncoder
from heedful.probe import cost
from heedful.probe.encoders import Spec
from heedful.probe.results import Line
from heedful.probe.show import exponent
from heedful.probe.workshop import Workshop


def line(power: float) -> Line:
    lengths = (8.0, 16.0, 32.0, 64.0, 128.0)
    return Line("planted", "", {n: (3e-6 * n**power, 0.0, 0.0) for n in lengths})


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_known_exponents(power: float) -> None:
    assert exponent(line(power)) == pytest.approx(power, abs=1e-3)


def test_two_lengths_have_no_exponent() -> None:
    assert exponent(Line("planted", "", {8.0: (1.0, 1.0, 1.0), 16.0: (2.0, 2.0, 2.0)})) is None


@pytest.mark.parametrize("power", [1, 2])
def test_what_waits_for_each_token_grows_with_their_number(
    power: int, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    class Waiting(NoContextEncoder):
        def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
            now[0] += 1e-3 * inputs.shape[1] ** power
            return super().encode(inputs, lengths)

    monkeypatch.setattr(cost, "process_time", lambda: now[0])
    monkeypatch.setitem(ENCODERS, "none", lambda _, width: Waiting(NoContextConfig(), width))
    forward, both = cost.time([Spec.parse("none")], shop)
    assert (forward.variant, both.variant) == ("forward", "forward+backward")
    expected = [(length, 1e-3 * length**power) for length in (8.0, 16.0, 32.0)]
    for curve in (forward, both):
        assert list(curve.points) == [(x, pytest.approx(value)) for x, value in expected]
        found = exponent(Line("", "", {x: (value, value, value) for x, value in curve.points}))
        assert found == pytest.approx(power)


def test_what_takes_too_long_is_left_out_further_on(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "CALL_SECONDS", 0.0)
    assert {len(curve.points) for curve in cost.time([Spec.parse("none")], shop)} == {1}


def test_cores_and_threads_put_back(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    before = torch.get_num_threads()
    (curve,) = cost.cores([Spec.parse("window")], shop)
    assert torch.get_num_threads() == before
    assert [x for x, _ in curve.points] == [1.0, 2.0]
    assert curve.points[0][1] == 1.0
    assert curve.points[1][1] > 0
