"""Explanations of recordings: the spectrogram under the weights, a player, and how faithful the weights are."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

import heedful
from heedful.data.audio.clips import Clip
from heedful.data.audio.fbank import Framing
from heedful.data.audio.spectrogram import Spectrogram
from heedful.explore.faithfulness import SHARES, can_measure, measure_faithfulness
from heedful.explore.png import png
from heedful.explore.spectrogram import player, recording_drawing, wav_bytes
from tests.audio.sounds import RATE, tone, write
from tests.cli.conftest import run_command
from tests.explore.pages import Page

SMALL: dict[str, Any] = {
    "data": {"rate": RATE},
    "features": {"bands": 12},
    "inputs": {"width": 12, "dropout": 0.0},
    "encoder": {"kind": "none", "hidden": 16},
    "pooling": {"heads": 2, "dropout": 0.0},
    "augment": {"tempo": [1.0, 1.0], "time_masks": 0, "band_masks": 0},
    "training": {
        "epochs": 25, "batch_tokens": 1000, "threads": 1, "learning_rate": 0.02, "keep_freed_memory": False,
    },
}  # fmt: skip


def placed(frequency: float, at: float) -> Any:
    """Return a second of noise with a short tone."""
    rng = np.random.default_rng(int(frequency * 7 + at * 100))
    samples = rng.normal(0, 0.1, RATE).astype(np.float32)
    first = int(at * RATE)
    samples[first : first + 800] += tone(frequency, 0.1)
    return samples


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> heedful.TrainedModel:
    rows = [
        {
            "audio": placed(500 + 1500 * (n % 2), 0.1 + 0.7 * (n / 40)),
            "label": ("low", "high")[n % 2],
        }
        for n in range(40)
    ]
    out = tmp_path_factory.mktemp("runs") / "run"
    return heedful.train("classify-audio", train=rows, valid=rows, out=out, **SMALL)


def test_the_pooling_looks_at_the_tone_and_is_faithful(model: heedful.TrainedModel) -> None:
    framing = Framing(rate=RATE)
    clips = [Clip.of(placed(500 + 1500 * (n % 2), 0.3), RATE, framing) for n in range(12)]
    assert can_measure(model.predictor)
    measured = measure_faithfulness(model.predictor, clips, shares=SHARES)
    curves = {name: each.deletion.tolist() for name, each in measured.items()}
    assert {"pooling", "gradient", "random"} <= {*curves}
    assert curves["pooling"][0] == curves["random"][0] > 0.8
    # The tone takes a tenth of the second, and a fifth is hidden.
    assert curves["gradient"][3] < curves["random"][3] - 0.05
    assert curves["pooling"][3] < curves["random"][3]
    again = measure_faithfulness(model.predictor, clips, shares=SHARES)
    assert {name: each.deletion.tolist() for name, each in again.items()} == curves


def test_the_page_shows_and_plays_the_recording(
    model: heedful.TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    samples = placed(2000, 0.6)
    path = write(tmp_path / "a.wav", samples)
    explained = model.explain(path)
    [*_, record] = [each for each in explained.records if each.kind == "pooling"]
    assert record.key_tokens[0] == "0.01"
    for page in (explained.html(), _page(model, path)):
        assert page.count("<audio controls") == 1
        [data] = re.findall(r'src="data:audio/wav;base64,([^"]+)"', page)
        played, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
        assert rate == RATE
        np.testing.assert_allclose(played, samples, atol=1e-3)
        assert "img-src data:; media-src data:" in page
        drawing = Page(page).data()["drawing"]
        assert drawing["seconds"] == pytest.approx(1.0)
        middles = (np.array(drawing["edges"][1:]) + drawing["edges"][:-1]) / 2
        assert middles.tolist() == pytest.approx([float(t) for t in record.key_tokens], abs=0.011)
    assert "Are the weights faithful?" in (model.run / "report.html").read_text(encoding="utf-8")


def _page(model: heedful.TrainedModel, path: Path) -> str:
    ran = run_command("explain", str(model.run), str(path), "--out", "looked-at.html")
    assert ran.status == 0, ran.stderr
    return Path("looked-at.html").read_text(encoding="utf-8")


def test_hidden_positions_reach_nothing(model: heedful.TrainedModel) -> None:
    inputs = model.predictor.input
    [encoded] = inputs.encode([Clip.of(placed(500, 0.3), RATE, Framing(rate=RATE))])
    values = inputs.collate([inputs.hide(encoded, [0, 10])]).values[0]
    whole = inputs.collate([encoded]).values[0]
    for frame in range(len(whole)):
        is_hidden = frame in (0, 1, 20, 21)
        assert bool((values[frame] == 0).all()) is is_hidden
        assert is_hidden or bool((values[frame] == whole[frame]).all())


def test_a_picture_is_a_valid_png() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5)).astype(np.uint8)
    drawn = imread(io.BytesIO(png(pixels)))
    np.testing.assert_allclose(drawn * 255, pixels, atol=0.01)


def test_pictures_of_long_short_and_silent_recordings() -> None:
    for frames, seconds in ((1, 0.025), (3, 0.05), (2000, 20.0), (15_000, 150.0)):
        middle = list(np.linspace(0.0125, seconds - 0.0125, frames))
        samples = np.zeros(round(seconds * RATE), np.float32)
        shown = Spectrogram(
            samples, RATE, np.zeros((frames, 4), np.float32), middle, middle, 20.0, 4000.0
        )
        drawn = recording_drawing(shown)
        assert len(drawn["edges"]) == frames + 1
        assert np.isfinite([*drawn["edges"], *drawn["frames"]]).all()
        assert (np.diff(drawn["edges"]) >= 0).all()
        assert drawn["edges"][-1] <= drawn["seconds"]
        assert ("<audio" in player(shown)) == (seconds <= 120)
    assert wav_bytes(shown)[:4] == b"RIFF"


def test_what_trimming_cut_off_has_no_position() -> None:
    """The model attends to frames 10 to 19 of 30: the picture has all of them."""
    middle = [0.01 * (frame + 0.5) for frame in range(30)]
    samples = np.zeros(round(0.3 * RATE), np.float32)
    frames = np.zeros((30, 4), np.float32)
    shown = Spectrogram(samples, RATE, frames, middle, middle[10:20], 20.0, 4000.0)
    drawn = recording_drawing(shown)
    assert drawn["frames"] == [0.0, 0.3]
    assert drawn["edges"] == pytest.approx(np.linspace(0.1, 0.2, 11).tolist())
