"""Tables and plots of curves."""

from __future__ import annotations

from pathlib import Path

import pytest

from heedful.errors import OptionError
from heedful.probe.measures import MEASURES, check_names
from heedful.probe.plot import draw
from heedful.probe.results import Curve
from heedful.probe.show import table

TIMES = [Curve("time", "rnn", "forward", 0, ((8, 1e-3), (16, 2e-3), (32, 4e-3)))]
ORDER = [
    Curve("order", "lstm", "", seed, ((0.0, 0.1 * seed), (1.0, 0.5), (2.0, 0.5))) for seed in (0, 1)
]


def test_times_have_units_and_an_exponent() -> None:
    assert table(TIMES) == [
        ["encoder", "variant", "8", "16", "32", "grows as"],
        ["rnn", "forward", "1.00 ms", "2.00 ms", "4.00 ms", "n^1.00"],
    ]


def test_seeds_have_a_spread_and_changes_of_order_a_name() -> None:
    assert table(ORDER) == [
        ["encoder", "swap", "reverse", "shuffle"],
        ["lstm", "5.0e-02 ±5.0e-02", "5.0e-01", "5.0e-01"],
    ]


def test_what_was_not_measured_has_a_dash() -> None:
    curves = [
        Curve("recall", "rnn", "", 0, ((7, 1.0), (15, 0.5))),
        Curve("recall", "gru", "", 0, ((7, 1.0),)),
    ]
    assert [row[-1] for row in table(curves)] == ["15", "0.500", "–"]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_panel_a_measure(suffix: str, tmp_path: Path) -> None:
    zero = [Curve("gradient", "none", "fresh", 0, ((1, 0.0), (2, 0.0)))]
    file = tmp_path / f"plot{suffix}"
    draw([*TIMES, *ORDER, *zero], file, "What came out")
    content = file.read_bytes()
    assert len(content) > 1000
    if suffix == ".svg":
        for measure in ("time", "order", "gradient"):
            assert MEASURES[measure].title in content.decode()
        again = tmp_path / "again.svg"
        draw([*TIMES, *ORDER, *zero], again, "What came out")
        assert again.read_bytes() == content


def test_wrong_measures() -> None:
    with pytest.raises(OptionError, match=r"unknown measure 'recal'; did you mean 'recall'\?"):
        check_names(["recal"])
    with pytest.raises(OptionError, match="name a measure: recall, copy"):
        check_names([])
