"""Line charts: which style a curve has, and which curves the legend names."""

from __future__ import annotations

import re

from heedful.explore.chart import Series, line_chart


def test_curves_keep_their_style_and_those_without_points_stand_in_no_legend() -> None:
    def styles(svg: str) -> list[str]:
        return re.findall(r'<path d="[^"]*" (style="[^"]*" stroke-dasharray="[^"]*")', svg)

    series = [Series(f"model {n}", [(0, n + 1.0), (1, n + 2.0)]) for n in range(6)]
    every = styles(line_chart(series, "x", "y"))
    assert len(set(every)) == 6
    assert every[0].split(" ")[-1] != every[4].split(" ")[-1], (
        "blue and teal are told apart by their dashes"
    )
    some = line_chart([*series[:2], Series("model 2", []), *series[3:]], "x", "y")
    assert styles(some) == [style for n, style in enumerate(every) if n != 2]
    assert "model 1<" in some
    assert "model 2<" not in some
