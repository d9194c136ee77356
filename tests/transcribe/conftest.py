"""Small models that transcribe tones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from heedful.data.audio.clips import Recordings
from heedful.tasks.predictor import Predictor
from heedful.tasks.transcribe import TASK, TranscribeConfig
from heedful.training.loop import train_model

SMALL: dict[str, Any] = {
    "data": {"rate": 8000},
    "features": {"bands": 10},
    "inputs": {"width": 8},
    "encoder": {"kind": "gru", "hidden": 6, "layers": 1},
    "vocabulary": {"kind": "word"},
    "training": {"epochs": 1, "threads": 1, "batch_tokens": 2000},
}
GRU = {"kind": "gru", "embedding": 6, "hidden": 7}
WRITERS: dict[str, dict[str, Any]] = {
    "ctc": {"decoder": {"kind": "none"}},
    "bahdanau": {"ctc": {"weight": 0.0}, "decoder": GRU},
    "luong": {"decoder": {**GRU, "kind": "lstm", "order": "luong", "attention": "bilinear"}},
    "fixed": {"decoder": {**GRU, "attention": "none"}},
    "transformer": {
        "decoder": {
            "kind": "transformer", "width": 8, "heads": 2, "feed_forward": 8, "decoder_layers": 1
        }
    },
}  # fmt: skip
"""CTC alone, attention alone, and joint."""


def config_of(writer: str, **sections: Any) -> TranscribeConfig:
    return TranscribeConfig.model_validate({**SMALL, **WRITERS[writer], **sections})


def tones(part: str = "train", rows: int = 12) -> Recordings:
    data = config_of("ctc").data
    found: Recordings = TASK.reader.builtin("tones", data, part)  # type: ignore[arg-type]
    return found.take(range(rows))


def untrained(writer: str, **sections: Any) -> Predictor:
    """A model with random weights that are large enough to differ."""
    import torch

    torch.manual_seed(0)
    predictor = TASK.learn(config_of(writer, **sections), tones())
    for parameter in predictor.model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    predictor.model.eval()
    return predictor


@pytest.fixture(scope="session", params=["ctc", "bahdanau", "luong"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short training."""
    folder = tmp_path_factory.mktemp("transcribe") / request.param
    for _ in train_model(TASK, config_of(request.param), tones(), tones("valid"), folder):
        pass
    return folder
