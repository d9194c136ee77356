"""The pages that commands write, in a real browser: nothing fails, nothing is cut off, and axe-core finds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from heedful.cli import compare_run
from tests.cli.conftest import in_this_process, run_command
from tests.cli.test_tag import SENTENCES, SETS
from tests.explore.browser import AXE, BROWSER, browsing, open_details, serious_findings

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no browser is installed (chromium)"),
    pytest.mark.skipif(not AXE.exists(), reason="axe-core is not there: npm ci in explorer/"),
]

DATA = ("--train", "train.conllu", "--valid", "dev.conllu", *SETS)
PAGES = {
    "demo": ("heedful-demo/report.html", ("demo",)),
    "train": ("run/report.html", ("train", "tag", *DATA, "--out", "run")),
    "compare": (
        "report/comparison.html",
        ("compare", "tag", *DATA, "--encoders", "none,window", "--seeds", "2", "--budget", "steps=2",
         "--lengths", "2,4", "--out", "report"),
    ),
}  # fmt: skip
"""What is written by which command."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_a_command_is_accessible(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_defaults: None
) -> None:
    (tmp_path / "train.conllu").write_text("".join(SENTENCES) * 6, encoding="utf-8")
    (tmp_path / "dev.conllu").write_text("".join(SENTENCES), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare_run, "subprocess_runner", in_this_process)
    file, command = PAGES[name]
    ran = run_command(*command)
    assert ran.status == 0, ran.stderr
    text = Path(file).read_text(encoding="utf-8")
    for width, scheme in ((1280, "light"), (390, "dark")):
        with browsing(text, tmp_path, width=width, scheme=scheme) as (page, failures):
            open_details(page)
            assert serious_findings(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            charts = page.locator("svg.chart:visible")
            assert charts.count() > 0
            for number in range(charts.count()):
                box = charts.nth(number).bounding_box()
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width
        assert failures == []
