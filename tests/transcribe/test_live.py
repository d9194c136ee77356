"""A recording transcribed while it comes in: equal to the whole, within the stated latency."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from heedful.cli import stream as command
from heedful.cli.output import Output
from heedful.decode.ctc_beam import prefix_beam_search
from heedful.errors import OptionError
from heedful.tasks.live import LiveTranscriber
from heedful.tasks.predictor import Predictor
from tests.transcribe.conftest import tones, untrained

WINDOW = {"width": 8, "heads": 2, "feed_forward": 8, "mask": "window", "positions": "rotary"}
ENCODERS: dict[str, dict[str, Any]] = {
    "none": {"kind": "none", "hidden": 8},
    "window": {"kind": "window", "size": 2, "hidden": 8},
    "convolution": {"kind": "convolution", "size": 1, "hidden": 8, "layers": 2},
    "ngrams": {"kind": "ngrams", "hidden": 8, "widths": [2, 4]},
    "transformer": {"kind": "transformer", **WINDOW, "window": 3, "window_after": 0, "layers": 2},
    "attention": {"kind": "attention", **WINDOW, "window": 2, "window_after": 1, "layers": 2},
}
STEADY = {"bands": 10, "normalize": "global"}
STRIDES: list[dict[str, Any]] = [
    {"width": 8, "kernels": [5, 3], "strides": [2, 2]},
    {"width": 8, "kernels": [3], "strides": [3]},
    {"width": 8, "kernels": [], "strides": []},
]


def live_model(encoder: dict[str, Any], **sections: Any) -> Predictor:
    return untrained("ctc", **{"encoder": encoder, "features": STEADY, **sections})


def whole(predictor: Predictor, samples: np.ndarray[Any, Any], beam: int) -> str:
    """The transcript of a whole recording by CTC."""
    clip = tones(rows=1).inputs[0].of(samples, 8000, predictor.config.data.framing())
    [encoded] = predictor.input.encode([clip])
    with torch.no_grad():
        scores = predictor.model(predictor.input.collate([encoded]))[0].double().numpy()
    scores[:, [2, 3]] = -np.inf
    [best] = prefix_beam_search(scores, beam=beam, blank=0)
    text: str = predictor.answer.vocabulary.decode(best.labels)
    return text


@pytest.mark.parametrize("inputs", STRIDES, ids=["4", "3", "1"])
@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_the_last_text_is_that_of_the_whole(
    encoder: dict[str, Any], inputs: dict[str, Any]
) -> None:
    predictor = live_model(encoder, inputs=inputs)
    samples = np.concatenate([clip.read() for clip in tones(rows=2).inputs])
    expected = whole(predictor, samples, beam=4)
    assert expected
    for size in (333, 4000, len(samples)):
        live = LiveTranscriber(predictor, beam=4)
        for start in range(0, len(samples), size):
            live.feed(samples[start : start + size])
        assert live.finish() == expected
        assert live.seconds == pytest.approx(len(samples) / 8000)


def test_what_is_kept_does_not_grow() -> None:
    predictor = live_model(ENCODERS["transformer"])
    samples = np.tile(tones(rows=1).inputs[0].read(), 10)
    live, kept = LiveTranscriber(predictor, beam=2), []
    for start in range(0, len(samples), 800):
        live.feed(samples[start : start + 800])
        kept.append((len(live.frames), len(live.samples)))
    reach = live.reach
    most = (sum(reach.context) + 3) * reach.stride + reach.before + reach.after + 10
    assert max(frames for frames, _ in kept) <= most
    assert max(rest for _, rest in kept) < 800 + live.framing.window_samples


@pytest.mark.parametrize("encoder", ["transformer", "attention", "convolution"])
def test_a_position_is_read_within_the_latency(encoder: str) -> None:
    live = LiveTranscriber(live_model(ENCODERS[encoder]), beam=2)
    samples = np.tile(tones(rows=1).inputs[0].read(), 3)
    frame = live.framing.shift_samples / live.framing.rate
    for start in range(0, len(samples), 100):
        live.feed(samples[start : start + 100])
        certain = (live.seconds - live.latency) / (live.reach.stride * frame)
        assert live.done >= int(certain)


def test_nothing_heard_is_an_empty_text() -> None:
    live = LiveTranscriber(live_model(ENCODERS["none"]))
    assert live.finish() == ""
    assert live.feed(np.zeros(3, np.float32)) == ""
    assert live.finish() == ""


@pytest.mark.parametrize(
    ("writer", "sections", "message"),
    [
        ("bahdanau", {}, "a stream is transcribed by CTC"),
        ("ctc", {"features": {"bands": 10}}, "features.normalize is 'utterance'"),
        ("ctc", {"features": {**STEADY, "trim": 20.0}}, "features.trim 20"),
        ("ctc", {"features": STEADY}, "the encoder 'gru' sees the whole recording"),
        (
            "ctc",
            {"features": STEADY, "encoder": {**ENCODERS["transformer"], "positions": "sinusoidal"}},
            "the encoder 'transformer' sees the whole recording",
        ),
        (
            "ctc",
            {"features": STEADY, "encoder": {**ENCODERS["transformer"], "global_positions": 1}},
            "the encoder 'transformer' sees the whole recording",
        ),
        (
            "ctc",
            {
                "features": STEADY,
                "encoder": ENCODERS["none"],
                "data": {"rate": 8000, "snip_edges": False},
            },
            "data.snip_edges is false",
        ),
    ],
)
def test_models_that_need_the_whole_recording_are_refused(
    writer: str, sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        LiveTranscriber(untrained(writer, **sections))


class Pipe:
    """Standard input that gives what has come in, in odd pieces."""

    def __init__(self, content: bytes):
        self.buffer = io.BytesIO(content)
        self.read1 = lambda size: self.buffer.read(min(size, 777))


def streamed(
    predictor: Predictor,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: Any,
    *,
    json: bool,
) -> list[str]:
    pipe = Pipe(content)
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": pipe})())
    output = Output(json=json, quiet=True, data=True)
    command.predict_stream(predictor, "-", {"beam": 4}, output)
    return capsysbinary.readouterr().out.decode().splitlines()


def test_the_command_writes_partial_and_final_texts(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: Any
) -> None:
    predictor = live_model(ENCODERS["convolution"])
    samples = tones(rows=1).inputs[0].read()
    rounded = np.round(samples * 32767).astype("<i2")
    lines = streamed(predictor, rounded.tobytes(), monkeypatch, capsysbinary, json=False)
    rows = [line.split("\t") for line in lines]
    assert [row[1] for row in rows] == ["partial"] * (len(rows) - 1) + ["final"]
    assert [float(row[0]) for row in rows] == sorted(float(row[0]) for row in rows)
    assert rows[-1][2] == whole(predictor, (rounded / 32768).astype(np.float32), beam=4)
    values = streamed(predictor, rounded.tobytes(), monkeypatch, capsysbinary, json=True)
    assert [json.loads(line)["text"] for line in values] == [row[2] for row in rows]
    with pytest.raises(OptionError, match="ended inside a sample"):
        streamed(predictor, rounded.tobytes()[:-1], monkeypatch, capsysbinary, json=False)


def test_a_file_is_no_stream(tmp_path: Path) -> None:
    predictor, output = live_model(ENCODERS["none"]), Output(json=False, quiet=True)
    with pytest.raises(OptionError, match="reads standard input; write - instead of"):
        command.predict_stream(predictor, str(tmp_path), {}, output)
    with pytest.raises(OptionError, match="--length-penalty has no effect with --stream"):
        command.predict_stream(predictor, "-", {"length_penalty": 1.0}, output)
