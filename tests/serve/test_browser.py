"""The page in a real browser, where one is installed, under the policy that it is served with."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from heedful.serve import page
from heedful.serve.limits import Limits
from heedful.tasks.predictor import Predictor
from heedful.tasks.table import TASKS
from tests.explore.browser import AXE, open_details, serious_findings, visiting
from tests.images.pictures import SIDES, picture
from tests.serve.conftest import run_server

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1200,1000",
    "--virtual-time-budget=30000",
)  # fmt: skip


def image_predictor() -> Predictor:
    torch.manual_seed(0)
    task = TASKS["classify-images"]
    rows = [{"image": picture(side, n), "label": side} for side in SIDES for n in range(4)]
    encoder = {"kind": "transformer", "width": 8, "heads": 2}
    config = task.configuration.model_validate({"encoder": encoder})
    return task.learn(config, task.reader.from_rows(rows, config.data, "train"))


def browse(address: str, folder: Path, *flags: str) -> str:
    command = [str(BROWSER), *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", address]
    result = subprocess.run(
        command, capture_output=True, check=False, encoding="utf-8", timeout=120
    )
    return result.stdout


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed (chromium)")
def test_a_person_tries_the_models(
    predictors: dict[str, Predictor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person does is a script of the same origin, so that the policy stays as it is."""
    served = page.parts()
    script = (Path(__file__).parent / "play.js").read_text(encoding="utf-8")
    played = served[page.PAGE].text.replace(
        "<svg", '<script src="/static/play.js"></script>\n<svg', 1
    )
    changed = {
        **served,
        page.PAGE: served[page.PAGE]._replace(text=played),
        "play.js": page.Part(page.SCRIPT, script),
    }
    monkeypatch.setattr(page, "parts", lambda: changed)
    with run_server({**predictors, "images": image_predictor()}, Limits()) as server:
        shown = browse(f"http://127.0.0.1:{server.port}/", tmp_path, "--dump-dom")
    found = re.search(r'<pre id="seen">(.*?)</pre>', shown, re.DOTALL)
    assert found, shown[-2000:]
    seen: dict[str, Any] = json.loads(html.unescape(found[1]))
    assert seen["failures"] == []
    assert (seen["alerts"], seen["images_loaded"]) == (0, 0)
    assert seen["models"] == [
        "de-en (translate)", "mood (classify)", "stars (regress)", "words (tag)", "images (classify-images)",
    ]  # fmt: skip
    assert seen["token"] == "none"
    assert len(seen["words"]) == 2
    assert seen["words"][0].startswith("<img/")
    assert [row.split("/")[0] for row in seen["rows"]] == ["I", "saw"]
    assert seen["cells"] == 2
    assert "threshold" in seen["error"]
    assert seen["fields"] == [True, False]
    assert seen["file"] == "drawn.png"
    assert seen["images"][0].split(" ")[0] in SIDES


@pytest.mark.skipif(
    BROWSER is None or not AXE.exists(), reason="no browser is installed (chromium), or no axe-core"
)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_weights_are_drawn_on_an_image_and_the_page_is_accessible(
    predictors: dict[str, Predictor], tmp_path: Path, width: int, scheme: str
) -> None:
    Image.fromarray(picture(SIDES[0], 1)).save(tmp_path / "left.png")
    served = {"images": image_predictor(), "words": predictors["words"]}
    with run_server(served, Limits()) as server:
        address = f"http://127.0.0.1:{server.port}/"
        with visiting(address, width=width, scheme=scheme) as (page, failures):
            page.wait_for_selector("#model option", state="attached")
            page.set_input_files("#file", tmp_path / "left.png")
            page.click("#send")
            page.wait_for_selector(".answer svg.drawing image")
            shown = page.evaluate(
                "document.querySelector('svg.drawing image').getAttribute('href').slice(0, 15)"
            )
            assert shown == "data:image/png;"
            found = serious_findings(page)
            page.select_option("#model", "words")
            page.fill("#text", "I saw")
            page.click("#send")
            page.wait_for_selector('.answer [data-state="all"]')
            open_details(page)
            found += serious_findings(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert failures == []
    assert found == []


def test_the_page_forbids_what_it_does_not_need() -> None:
    assert "unsafe" not in page.POLICY
    text = page.parts()[page.PAGE].text
    assert not re.search(r"\son\w+=|style=|<script>|javascript:|https?://", text)
    code = page.parts()["try.js"].text
    for name in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
    ):
        assert name not in code
