"""The requests that docs/serving.md prints are answered as it says."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from heedful.serve.limits import Limits
from tests.docs.blocks import ROOT, blocks
from tests.images.pictures import picture
from tests.serve.conftest import Running, run_server, small_predictor
from tests.serve.test_browser import image_predictor

PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in blocks(PAGE, "sh")
    for line in block.code.splitlines()
    if line.startswith("curl ")
]


@pytest.fixture(scope="module")
def documented() -> Iterator[Running]:
    models = {
        "mood": small_predictor("classify"),
        "en-de": small_predictor("translate"),
        "animals": image_predictor(),
    }
    with run_server(models, Limits()) as running:
        yield running


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 4


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("command", COMMANDS)
def test_printed_requests_are_answered(documented: Running, tmp_path: Path, command: str) -> None:
    for name, side in (("cat", "left"), ("dog", "right")):
        Image.fromarray(picture(side, 1)).save(tmp_path / f"{name}.png")
    here = command.replace("localhost:8000", f"127.0.0.1:{documented.port}")
    shown = subprocess.run(["bash", "-c", here], cwd=tmp_path, capture_output=True, check=True)
    answer = json.loads(shown.stdout)
    assert answer.keys() & {"predictions", "translatedText", "outputs"}, answer


def test_the_options_of_the_page_are_those_of_the_server() -> None:
    from heedful.serve.options import OPTIONS

    table = PAGE.partition("| option | tasks |")[2].partition("\n\n")[0]
    named = {
        name.strip(" `") for row in table.splitlines()[2:] for name in row.split("|")[1].split(",")
    }
    assert named == set(OPTIONS)
