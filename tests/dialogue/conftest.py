"""A generator and a ranker, tiny, trained on files of dialogues."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import heedful
from heedful.data.builtin import answers
from heedful.data.dialogue.turns import Dialogue

TRAINING = {"epochs": 2, "batch_tokens": 400, "threads": 1, "keep_freed_memory": False}
SMALL: dict[str, dict[str, Any]] = {
    "reply": {
        "model": {"kind": "gru", "embedding": 8, "hidden": 8},
        "vocabulary": {"kind": "word", "min_frequency": 1},
        "training": TRAINING,
    },
    "rank-replies": {
        "towers": {"embedding": 32, "width": 32, "dropout": 0.0},
        "encoder": {"kind": "none", "hidden": 32, "layers": 1, "dropout": 0.0},
        "pooling": {"dropout": 0.0},
        "vocabulary": {"kind": "word", "min_frequency": 1},
        "data": {"candidates": 4},
        "training": {**TRAINING, "epochs": 20, "batch_tokens": 1500, "learning_rate": 0.02},
    },
}


def write_messages(path: Path, dialogues: list[Dialogue]) -> None:
    """Write dialogues as JSON lines; the topic is the second word of the first turn."""
    lines = [
        json.dumps(
            {
                "messages": [{"role": said.name, "content": said.text} for said in each.turns],
                "topic": "odd" if number % 2 else "even",
            }
        )
        for number, each in enumerate(dialogues)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.jsonl, test.jsonl, and the runs `reply` and `rank-replies`."""
    folder = tmp_path_factory.mktemp("talks")
    corpus = answers.build(train_size=60, valid_size=1, test_size=20)
    write_messages(folder / "train.jsonl", corpus.train)
    write_messages(folder / "test.jsonl", corpus.test)
    for task, settings in SMALL.items():
        data = {"group": "topic", **settings.get("data", {})}
        heedful.train(
            task,
            train=str(folder / "train.jsonl"),
            out=folder / task,
            **{**settings, "data": data},
        )
    return folder
