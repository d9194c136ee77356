"""The lines of docs/clusters.md on Ray Serve run, and the endpoints are those of `heedful serve`."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import heedful
from heedful.errors import OptionError, RunError
from tests.docs.blocks import ROOT, blocks

pytest.importorskip("starlette", reason="the extra serve is not installed")


def test_what_is_no_run_is_refused_before_anything_starts(tmp_path: Path) -> None:
    pytest.importorskip("ray.serve", reason="the extra cluster is not installed")
    from heedful.serve.on_ray import application

    with pytest.raises(RunError, match="does not exist"):
        application([tmp_path / "missing"])
    with pytest.raises(OptionError, match="same name"):
        application([tmp_path / "a" / "run", tmp_path / "b" / "run"])


@pytest.mark.long
def test_the_documented_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster_of_two: Any
) -> None:
    pytest.importorskip("ray.serve", reason="the extra cluster is not installed")
    from ray import serve

    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    start, ask = blocks(page, "python ray")
    names: dict[str, Any] = {}
    try:
        exec(compile(start.code, "clusters.md", "exec"), names)
        model = heedful.load("runs/mood")
        texts = ["what a good film", "a bad one", "good bad"]
        [found] = _answers(texts[:1])
        for text in texts * 5:
            [answer] = _answers([text])
            [wanted] = model.predict([text])
            assert answer["labels"] == list(wanted.labels)
        assert sorted(found) == sorted(_answers(["a"])[0])
        for path, wanted in (("/ready", "ready"), ("/openapi.json", "openapi")):
            with urllib.request.urlopen(f"http://127.0.0.1:8000{path}") as response:
                assert wanted in response.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen("http://127.0.0.1:8000/models/none/predict", b"{}")
        exec(compile(ask.code, "clusters.md", "exec"), names)
        assert names["found"]["labels"] == list(model.predict(["what a good film"])[0].labels)
    finally:
        serve.shutdown()


def _answers(texts: list[str]) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        "http://127.0.0.1:8000/models/mood/predict",
        json.dumps({"inputs": texts}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        found: list[dict[str, Any]] = json.loads(response.read())["predictions"]
    return found
