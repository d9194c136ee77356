"""Digit error rates on connected digits: CTC, attention, and both.

    python -m benchmarks.connected_digits PATH [MODEL ...] [--seeds 0 1 2] [--out FILE]

PATH is the folder or zip file of the Free Spoken Digit Dataset's recordings. Strings of 3 to 7 digits are made of its
training takes, see `benchmarks.digit_strings`. Each model is trained for each seed; the strings of the test takes are
recognized once, when training has ended: 3 to 7 digits, 8 to 15, which are longer than any in training, and with CTC
alone one recording of about ten minutes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.digit_strings import RATE, make_strings, of_part, read_takes
from heedful.compare.plan import merge
from heedful.data.audio.clips import Recordings
from heedful.tasks.predictor import Predictor
from heedful.tasks.transcribe import TASK, TranscribeConfig
from heedful.training.events import Validated
from heedful.training.loop import train_model

COMMON: Final[dict[str, Any]] = {
    "data": {"rate": RATE},
    "features": {"bands": 40, "variance": True},
    "inputs": {"width": 96, "kernels": [5, 3], "strides": [2, 2]},
    "vocabulary": {"kind": "word"},
    "encoder": {"kind": "lstm", "hidden": 96, "layers": 2, "dropout": 0.2},
    "augment": {"time_share": 0.04, "warp": 0.08, "tempo": [0.85, 1.15]},
    "training": {"threads": 1, "epochs": 15, "batch_tokens": 8192, "learning_rate": 3e-3},
}
DECODER: Final = {"kind": "gru", "embedding": 64, "hidden": 128, "dropout": 0.2}
TRANSFORMER: Final = {
    "kind": "transformer", "width": 96, "heads": 4, "feed_forward": 192, "layers": 3, "dropout": 0.1,
    "positions": "rotary",
}  # fmt: skip


def _attending(**mask: Any) -> dict[str, Any]:
    """Return the settings of CTC over a Transformer's encoder with a mask."""
    return {"decoder": {"kind": "none"}, "encoder": {**TRANSFORMER, **mask}}


MODELS: Final[dict[str, dict[str, Any]]] = {
    "ctc": {"decoder": {"kind": "none"}},
    "attention": {"ctc": {"weight": 0.0}, "decoder": DECODER},
    "joint": {"ctc": {"weight": 0.3}, "decoder": DECODER},
    "full": _attending(mask="full"),
    "window-8": _attending(mask="window", window=8),
    "window-8-global": _attending(mask="window", window=8, global_positions=4),
    "window-32": _attending(mask="window", window=32),
    "causal-16": _attending(mask="window", window=16, window_after=0),
}
"""Name on the command line -> settings."""
TEN_MINUTES: Final = 1050
"""Digits of a recording of about ten minutes."""
STRINGS: Final = {"train": 3000, "valid": 200, "test": 500}


def data_of(path: Path) -> dict[str, Recordings]:
    """Make all strings."""
    takes = read_takes(path)
    made = {
        part: make_strings(
            of_part(takes, part), STRINGS[part], shortest=3, longest=7, seed=number, name=part
        )
        for number, part in enumerate(STRINGS)
    }
    long = of_part(takes, "test")
    made["long"] = make_strings(long, 200, shortest=8, longest=15, seed=10, name="long")
    made["ten_minutes"] = make_strings(
        long, 1, shortest=TEN_MINUTES, longest=TEN_MINUTES, seed=11, name="ten_minutes"
    )
    return made


def chosen_search(trained: Predictor, valid: Recordings) -> dict[str, float]:
    """Return the weight of CTC with the fewest errors on the validation strings; nothing without two writers."""
    if trained.model.decoder is None or not trained.model.has_ctc:
        return {}
    errors = {
        weight: trained.evaluate(valid, ctc_weight=weight).wer for weight in (0.1, 0.3, 0.5, 0.7)
    }
    return {"ctc_weight": min(errors, key=lambda weight: (errors[weight], weight))}


def measure(name: str, seed: int, data: Mapping[str, Recordings], change: Any) -> dict[str, Any]:
    """Train one model and return its error rates and speeds."""
    values = reduce(merge, (COMMON, MODELS[name], change, {"training": {"seed": seed}}))
    config = TranscribeConfig.model_validate(values)
    torch.set_num_threads(1)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        for event in train_model(TASK, config, data["train"], data["valid"], run):
            if isinstance(event, Validated):
                shown = {key: round(value, 4) for key, value in event.scores.items()}
                print(f"  epoch {event.epoch}: {shown}", flush=True)
        trained = TASK.load(run)
    found: dict[str, Any] = {"model": name, "seed": seed}
    found["training_seconds"] = time.perf_counter() - start
    found["valid"] = trained.evaluate(data["valid"]).wer
    search = chosen_search(trained, data["valid"])
    found.update(search)
    parts = ("test", "long", "ten_minutes") if config.decoder.kind == "none" else ("test", "long")
    return {**found, **{part: recognized(trained, data[part], search) for part in parts}}


def recognized(
    trained: Predictor, strings: Recordings, search: Mapping[str, float]
) -> dict[str, Any]:
    """Return error rates and speed on one part, and those of the decoder alone if it was not."""
    start = time.perf_counter()
    scores = trained.evaluate(strings, **search)
    seconds = time.perf_counter() - start
    spoken = sum(clip.seconds for clip in strings.inputs)
    found = {
        "digit_error_rate": scores.wer,
        "errors": scores.words.errors,
        "digits": scores.words.length,
        "strings_correct": scores.exact_match,
        "seconds": spoken,
        "times_real_time": spoken / seconds,
    }
    if search:
        found["decoder_alone"] = trained.evaluate(strings, ctc_weight=0.0).wer
    return found


def main() -> None:
    """Train and print a line of JSON for each model and seed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.connected_digits")
    parser.add_argument("path", type=Path, help="folder or zip file of DIGIT_SPEAKER_TAKE.wav")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", type=json.loads, default={}, help="further settings as JSON")
    parser.add_argument("--out", type=Path, help="also append the lines to this file")
    options = parser.parse_args()
    data = data_of(options.path)
    for name in options.models or list(MODELS):
        for seed in options.seeds:
            line = json.dumps(measure(name, seed, data, options.set))
            print(line, flush=True)
            if options.out:
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    main()
