"""What is done about frequent words, first part: accuracy of classifiers, and where their attention rests.

    python -m claims.frequency --train sst2/train.tsv --text sentence --label label

cuts the training file in three: what is learned from, what the best epoch is chosen by, and what is told here. The
second part, translation and alignment, is `python -m claims.gold`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from claims.common import quiet, save
from heedful.config import build
from heedful.data.texts import TextColumns, Texts, read_texts, split_validation
from heedful.models.frequency import attention_to_frequent
from heedful.tasks.classify import TASK as CLASSIFY
from heedful.tasks.classify import ClassifyConfig
from heedful.tasks.predictor import Predictor
from heedful.training.loop import train_model

SEEDS = (0, 1, 2)
TRAINED, SMOOTHING = 3_000, 1e-3
"""Texts learned from; a of the share that frequent words get."""
ENCODERS: dict[str, dict[str, Any]] = {
    "none": {"kind": "none", "hidden": 64},
    "lstm": {"kind": "lstm", "hidden": 32, "layers": 1},
}
SETTINGS: dict[str, dict[str, float]] = {
    "nothing": {},
    "down_weight 1e-2": {"down_weight": 1e-2},
    "down_weight 1e-3": {"down_weight": 1e-3},
    "down_weight 1e-4": {"down_weight": 1e-4},
    "subsample 1e-2": {"subsample": 1e-2},
    "subsample 1e-3": {"subsample": 1e-3},
    "penalty 0.1": {"penalty": 0.1},
    "penalty 1": {"penalty": 1.0},
}
TRAINING = {
    "epochs": 5, "batch_tokens": 1000, "learning_rate": 2e-3, "warmup_steps": 30, "threads": 1,
    "keep_freed_memory": False,
}  # fmt: skip


def on_frequent(trained: Predictor, texts: list[str]) -> float:
    """The share of the pooling's attention that frequent words get, each counted as p / (a + p), a text on average."""
    [model] = trained.model.members
    found = []
    for text in texts:
        batch = trained.input.collate(trained.input.encode([text]))
        shares = model.frequency.shares[batch.words]
        with torch.no_grad():
            states = model.encoder(model.inputs(batch), batch.lengths)
            assert model.head.pooling is not None
            key_bias = model.frequency.key_bias(batch)
            pooled = model.head(states, key_bias=key_bias, return_weights=True)
        assert pooled.weights is not None
        found.append(float(attention_to_frequent(pooled.weights, shares, SMOOTHING)))
    return sum(found) / len(found)


def parts(train: Texts) -> tuple[Texts, Texts, Texts]:
    """Cut texts: learned from, chosen by, told of."""
    rest, told = split_validation(train, 0.2, 0, by_answer=True)
    learned, chosen = split_validation(rest, 0.1, 0, by_answer=True)
    return replace(learned, rows=learned.rows[:TRAINED]), chosen, told


def run(encoder: str, setting: str, seed: int, data: tuple[Texts, Texts, Texts]) -> dict[str, Any]:
    """Train one classifier."""
    values = {
        "inputs": {"word_width": 64}, "encoder": ENCODERS[encoder], "frequency": SETTINGS[setting],
        "pooling": {"heads": 1}, "training": {**TRAINING, "seed": seed},
    }  # fmt: skip
    learned, chosen, told = data
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        for _ in train_model(CLASSIFY, build(ClassifyConfig, values), learned, chosen, path):
            pass
        trained = CLASSIFY.load(path)
    texts = told.inputs
    return {
        "encoder": encoder, "setting": setting, "seed": seed,
        "accuracy": trained.score(told, list(trained.predict(texts))).accuracy,
        "on_frequent": on_frequent(trained, texts[:300]),
    }  # fmt: skip


def main() -> None:
    """Train each encoder with each setting, and write accuracy and attention."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", required=True)
    parser.add_argument("--text", default="text")
    parser.add_argument("--label", default="label")
    options = parser.parse_args()
    quiet()
    data = parts(read_texts([options.train], TextColumns(options.text, options.label)))
    runs: list[dict[str, Any]] = []
    for encoder in ENCODERS:
        for setting in SETTINGS:
            for seed in SEEDS:
                began = time.process_time()
                runs.append(run(encoder, setting, seed, data))
                print(runs[-1], f"{time.process_time() - began:.0f} s", flush=True)
        save("frequency", {"texts": [len(each) for each in data], "runs": runs})


if __name__ == "__main__":
    main()
