"""Axe-core finds nothing serious on the pages that Heedful writes: report, comparison, difference, live, drawings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from heedful.data.audio.spectrogram import Spectrogram
from heedful.explore import (
    AttentionRecord,
    Chart,
    Code,
    KeyFigures,
    Maps,
    MetricTable,
    Paragraph,
    Series,
    draw_html,
    report_page,
)
from heedful.explore.explanation import Explanation
from heedful.explore.graph_view import GraphView
from heedful.explore.intervals import Interval
from heedful.explore.live_session import LiveSession, Shown
from heedful.explore.page_data import page_data
from heedful.explore.report import Intervals
from heedful.explore.side_by_side import comparison_page
from heedful.explore.spectrogram import player, recording_drawing
from tests.explore.browser import AXE, BROWSER, browsing, open_details, serious_findings

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no browser is installed (chromium)"),
    pytest.mark.skipif(not AXE.exists(), reason="axe-core is not there: npm ci in explorer/"),
]

LONG = "Dots are means. " + "Lines are their intervals, which are too narrow with two seeds. " * 4


def report(cross: AttentionRecord) -> str:
    rows = [["a", "1,000", "40"], ["b", "30", "7"]]
    return report_page(
        "A run",
        [
            Paragraph("", "What it is."),
            KeyFigures("", [("91.0 %", "accuracy"), ("0.5", "loss")], "On 100 texts."),
            MetricTable("Confusions", ["true", "a", "b"], rows, is_matrix=True),
            Maps("What it looked at", [("one", [cross]), ("two", [cross])], unfolded=1),
            Intervals("Quality", [Interval("a", 0.5, 0.4, 0.6)], "accuracy", note=LONG),
            Chart("Loss", [Series("a", [(0, 1), (1, 2)]), Series("b", [(0, 2)])], "x", "y"),
            Code("What next", [("heedful explain RUN", "See a sentence:")]),
        ],
    )


def difference(cross: AttentionRecord) -> str:
    other = AttentionRecord(
        "d", "cross", 0, ("ein", "Hund"), ("a", "big", "dog"), np.full((2, 2, 3), 1 / 3)
    )
    first, second = (
        (name, Explanation(name, "", None, None, [record], ""))
        for name, record in (("one", cross), ("two", other))
    )
    return comparison_page("Two texts", first, second)


def live(cross: AttentionRecord) -> str:
    """The page of `heedful view`, with its layers in it, since there is no server here."""
    data = page_data([cross], name="records-1")
    text = LiveSession(lambda _: None, title="A run", figures=[Shown("one", data)]).page()  # type: ignore[arg-type,return-value]
    parts = "".join(
        f'<script type="application/octet-stream" id="{name}">{part}</script>'
        for name, part in data.parts.items()
    )
    return text.replace("</main>", f"{parts}</main>")


def graph(cross: AttentionRecord) -> str:
    names = ("a", "b", "c")
    view = GraphView.of_neighbourhood(names, np.array([[1, 2, 0], [0, 0, 1]]), 1)
    record = AttentionRecord("m", "edges", 0, names, names, [np.eye(3)])
    return draw_html([record], drawing=view.drawing)


def sound(cross: AttentionRecord) -> str:
    middle = [0.1, 0.3, 0.5, 0.7]
    shown = Spectrogram(
        np.zeros(800, np.float32), 1000, np.eye(4, dtype=np.float32), middle, middle, 20.0, 500.0
    )
    record = AttentionRecord("m", "pooling", 0, ("yes",), tuple("abcd"), [[[0.1, 0.2, 0.3, 0.4]]])
    return draw_html([record], picture=player(shown), drawing=recording_drawing(shown))


PAGES: dict[str, Callable[[AttentionRecord], str]] = {
    each.__name__: each for each in (report, difference, live, graph, sound)
}


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(
    cross: AttentionRecord, tmp_path: Path, name: str, width: int, scheme: str
) -> None:
    with browsing(PAGES[name](cross), tmp_path, width=width, scheme=scheme) as (page, failures):
        open_details(page)
        found = serious_findings(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert failures == []
    assert found == []
