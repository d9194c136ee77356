"""The code of each README runs in a process without Heedful, and prints what Heedful answers."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.data.audio.clips import Clip
from heedful.data.dialogue.turns import USER, Exchange, Turn
from heedful.data.images.picture import Picture
from heedful.export.run import export
from heedful.tasks.predictor import Predictor
from tests.export.test_export import GRU, SMALL, TRANSFORMER, text_predictor, translator
from tests.export.test_tasks import GRAPH, predictor_of

BLOCKED = "import sys; sys.modules['heedful'] = None\n"


def output_of(predictor: Predictor, folder: Path, format_name: str = "onnx") -> str:
    """Export a model, run the code of its README, and return what it prints."""
    export(predictor, format_name, folder)
    text = (folder / "README.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "heedful" not in code
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BLOCKED + code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{code}\n{done.stderr}"
    return done.stdout


def long(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.long)


def check_shares(predictor: Predictor, printed: str, example: Any) -> None:
    [wanted] = predictor.predict([example])
    assert ast.literal_eval(printed) == pytest.approx(wanted.all_probabilities, abs=1e-5)


def check_labels(predictor: Predictor, printed: str, example: Any) -> None:
    [wanted] = predictor.predict([example])
    assert ast.literal_eval(printed) == list(wanted.labels)


def check_numbers(predictor: Predictor, printed: str, example: Any) -> None:
    [wanted] = predictor.predict([example])
    found = np.array(ast.literal_eval(printed))
    np.testing.assert_allclose(found, wanted.values, rtol=1e-4, atol=1e-5)


def check_text(predictor: Predictor, printed: str, example: Any) -> None:
    [wanted] = predictor.predict([example], beam=1)
    best, found = wanted.candidates[0], printed.strip()
    # Models of random weights repeat themselves, which Heedful's search ends earlier than the lines of a README.
    assert found == best.text or (len(best.tokens) > 10 and found.startswith(best.text))


def check_best_reply(predictor: Predictor, printed: str, example: Any) -> None:
    [wanted] = predictor.predict([example])
    assert printed.startswith(wanted.text)
    assert float(printed.split()[-1]) == pytest.approx(wanted.score, abs=1e-5)


SERIES = np.sin(np.arange(40)).reshape(20, 2)
FILM = "a good film"


def orange(predictor: Predictor) -> Picture:
    return Picture.of(np.full((60, 90, 3), (255, 165, 0), np.uint8), "orange")


def second(predictor: Predictor) -> Clip:
    samples = np.sin(np.arange(8000) / 5).astype(np.float32)
    return Clip.of(samples, 8000, predictor.config.data.framing())


HISTORY = Exchange((Turn(USER, "are you free now"),))


def test_series(tmp_path: Path) -> None:
    predictor = predictor_of("classify-series", encoder={"kind": "none", "hidden": 4})
    check_shares(predictor, output_of(predictor, tmp_path / "out"), SERIES)


@pytest.mark.long
@pytest.mark.parametrize("format_name", ["onnx", "torch"])
@pytest.mark.parametrize(
    ("task", "sections", "example", "check"),
    [
        ("classify-audio", {}, second, check_shares),
        ("tag-series", {"encoder": SMALL}, lambda _: SERIES, check_labels),
        ("tag-series", {"labels": {"chain": True}}, lambda _: SERIES, check_labels),
        ("forecast", {}, lambda _: SERIES[:6], check_numbers),
        ("tag-audio", {}, second, check_labels),
        ("classify-images", {"data": {"colour": "rgb"}}, orange, check_shares),
        ("classify-molecules", {"encoder": GRAPH}, lambda _: "CCO", check_shares),
        ("classify-molecules", {"inputs": {"view": "characters"}}, lambda _: "CCO", check_shares),
        (
            "regress-molecules",
            {"inputs": {"view": "both", "descriptors": True, "contributions": True}},
            lambda _: "CCO",
            check_numbers,
        ),
        ("rank-replies", {}, lambda _: HISTORY, check_best_reply),
        ("reply", {"model": GRU}, lambda _: HISTORY, check_text),
        ("transcribe", {"decoder": {"kind": "none"}}, second, check_text),
        (
            "transcribe",
            {
                "decoder": {"kind": "gru", "embedding": 4, "hidden": 4},
                "decoding": {"ctc_weight": 0},
            },
            second,
            check_text,
        ),
    ],
)
def test_the_readme_of_a_task_runs(
    tmp_path: Path, task: str, sections: Any, example: Any, check: Any, format_name: str
) -> None:
    predictor = predictor_of(task, **sections)
    printed = output_of(predictor, tmp_path / "out", format_name)
    check(predictor, printed, example(predictor))


@pytest.mark.long
@pytest.mark.parametrize(
    "task", ["detect", "classify-nodes", "regress-nodes", "links", "classify-graphs"]
)
def test_the_readme_runs_on_made_up_arrays(tmp_path: Path, task: str) -> None:
    predictor = predictor_of(
        task, encoder=GRAPH, **({"prediction": {"threshold": 0.01}} if task == "detect" else {})
    )
    assert output_of(predictor, tmp_path / "out").strip()


@pytest.mark.long
@pytest.mark.parametrize(
    ("make", "format_name", "check"),
    [
        (
            lambda: text_predictor("classify", SMALL, inputs={"characters": "convolution"}),
            "onnx",
            check_shares,
        ),
        (
            lambda: text_predictor("regress", SMALL, vocabulary={"kind": "bpe", "size": 40}),
            "onnx",
            check_numbers,
        ),
        (lambda: text_predictor("classify", {"kind": "none", "hidden": 4}), "torch", check_shares),
    ],
)
def test_texts(tmp_path: Path, make: Any, format_name: str, check: Any) -> None:
    predictor = make()
    check(predictor, output_of(predictor, tmp_path / "out", format_name), FILM)


@pytest.mark.long
@pytest.mark.parametrize(("labels", "format_name"), [({}, "torch"), ({"chain": True}, "onnx")])
def test_taggers(tmp_path: Path, labels: Any, format_name: str) -> None:
    predictor = text_predictor("tag", {"kind": "window", "hidden": 4}, labels=labels)
    check_labels(predictor, output_of(predictor, tmp_path / "out", format_name), FILM.split())


@pytest.mark.long
@pytest.mark.parametrize(("model", "format_name"), [(GRU, "torch"), (TRANSFORMER, "onnx")])
def test_translators(tmp_path: Path, model: dict[str, Any], format_name: str) -> None:
    predictor = translator(model)
    check_text(predictor, output_of(predictor, tmp_path / "out", format_name), "a man sleeps")


@pytest.mark.long
def test_the_folder_has_what_is_needed(tmp_path: Path) -> None:
    predictor = predictor_of("rank-replies")
    export(predictor, "torch", tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "README.md",
        "history.pt2",
        "reply.pt2",
        "replies.json",
        "replies.npy",
        "source.json",
    }
    bank = json.loads((tmp_path / "out" / "replies.json").read_text(encoding="utf-8"))["replies"]
    vectors = np.load(tmp_path / "out" / "replies.npy")
    assert vectors.shape == (len(bank), 8)
