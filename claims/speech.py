"""Claim 11: recognition of tones by CTC over full and truncated attention and recurrence, by attention, by both."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from claims.common import is_done, quiet, resumed, save
from heedful.config import build
from heedful.data.audio.clips import Clip, Recording, Recordings
from heedful.data.audio.fbank import Framing
from heedful.data.builtin import tones
from heedful.tasks.predictor import Predictor
from heedful.tasks.transcribe import TASK, TranscribeConfig
from heedful.training.loop import train_model

SEEDS = (0, 1)
JOINED = 4
"""Recordings that are joined to a longer one than any in training."""
FRAMING = Framing(rate=8000)
LSTM: dict[str, Any] = {"kind": "lstm", "hidden": 32, "layers": 1, "dropout": 0.0}
TRANSFORMER: dict[str, Any] = {
    "kind": "transformer", "width": 64, "heads": 4, "feed_forward": 64, "layers": 2, "dropout": 0.0,
    "positions": "rotary",
}  # fmt: skip
DECODER: dict[str, Any] = {"kind": "gru", "embedding": 32, "hidden": 64, "dropout": 0.0}
CTC: dict[str, Any] = {"decoder": {"kind": "none"}}
MODELS: dict[str, dict[str, Any]] = {
    "full attention, CTC": {**CTC, "encoder": TRANSFORMER},
    "window ±16, CTC": {**CTC, "encoder": {**TRANSFORMER, "mask": "window", "window": 16}},
    "window ±4, CTC": {**CTC, "encoder": {**TRANSFORMER, "mask": "window", "window": 4}},
    "window ±1, CTC": {**CTC, "encoder": {**TRANSFORMER, "mask": "window", "window": 1}},
    "LSTM, CTC": {**CTC, "encoder": LSTM},
    "LSTM, attention": {"ctc": {"weight": 0.0}, "decoder": DECODER, "encoder": LSTM},
    "LSTM, both": {"ctc": {"weight": 0.3}, "decoder": DECODER, "encoder": LSTM},
}
SETTINGS: dict[str, Any] = {
    "data": {"rate": 8000},
    "features": {"bands": 24},
    "inputs": {"width": 48, "kernels": [5, 3], "strides": [2, 1], "dropout": 0.0},
    "vocabulary": {"kind": "word"},
    "training": {
        "epochs": 20, "batch_tokens": 1000, "learning_rate": 3e-3, "average_epochs": 1, "label_smoothing": 0.0,
        "threads": 1, "keep_freed_memory": False,
    },
    "decoding": {"beam": 1},
}  # fmt: skip


def joined(recordings: Recordings, number: int) -> Recordings:
    """Return recordings that are each `number` of these, one after the other."""
    rows = []
    for first in range(0, len(recordings) - number + 1, number):
        part = recordings.take(range(first, first + number))
        samples = np.concatenate([clip.read() for clip in part.inputs])
        clip = Clip.of(samples, FRAMING.rate, FRAMING, f"joined-{first}")
        rows.append(Recording(clip, " ".join(part.answers)))
    return Recordings(rows, f"{recordings.name}, {number} joined")


def trained(name: str, seed: int, parts: Sequence[Recordings]) -> Predictor:
    """Train a model on the first part, with the second for validation."""
    values = {**SETTINGS, **MODELS[name], "training": {**SETTINGS["training"], "seed": seed}}
    config = build(TranscribeConfig, values)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        for _ in train_model(TASK, config, parts[0], parts[1], run):
            pass
        return TASK.load(run)


def main() -> None:
    """Train each model and write its error rates."""
    quiet()
    corpus = tones.build(0, train_size=1000, valid_size=100, test_size=400)
    train, valid, test = (
        corpus.recordings(part, "text", FRAMING) for part in ("train", "valid", "test")
    )
    longer = joined(test, JOINED)
    runs = resumed("speech")
    for name in MODELS:
        for seed in SEEDS:
            if is_done(runs, model=name, seed=seed):
                continue
            began = time.process_time()
            model = trained(name, seed, (train, valid))
            spent = time.process_time() - began
            run = {
                "model": name,
                "seed": seed,
                "parameters": sum(each.numel() for each in model.model.parameters()),
                "wer": model.evaluate(test).wer,
                "wer_joined": model.evaluate(longer).wer,
                "training_seconds": round(spent, 1),
            }
            runs.append(run)
            print(run, flush=True)
            save("speech", {"joined": JOINED, "test": len(test), "runs": runs})


if __name__ == "__main__":
    main()
