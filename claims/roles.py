"""Claim 12: heads learn syntactic relations; which ones those of trained taggers find, beside the best offset."""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path
from typing import Any

from claims.common import SMALL_TAGGER, is_done, quiet, resumed, save
from heedful.config import build
from heedful.data.trees import read_trees
from heedful.explore.roles.measure import Roles, chosen_trees, measure_roles
from heedful.explore.roles.words import predictor_reader
from heedful.tasks.predictor import Predictor
from heedful.tasks.tag import TASK, TaggingConfig
from heedful.training.loop import train_model

TASKS = ("deprel", "upos")
TRAININGS: dict[str, dict[str, Any]] = {
    "untrained": {"epochs": 1, "max_steps": 1, "learning_rate": 1e-12},
    "trained": {"epochs": 8, "learning_rate": 2e-3},
}
SEEDS = (0, 1)
SENTENCES, MINIMUM = 1_500, 200
ENCODER: dict[str, Any] = {
    "kind": "transformer", "width": 64, "feed_forward": 128, "heads": 4, "layers": 2, "positions": "relative",
}  # fmt: skip


FIELDS = ("pairs", "layer", "head", "found", "offset", "baseline", "gain", "low", "high")
"""What is kept of each role; `low` and `high` are the 95 % interval of the gain."""


def shares(roles: Roles) -> dict[str, list[float]]:
    """Return role -> the numbers of `FIELDS`."""
    return {
        each.role: [
            each.pairs,
            each.best[0] + 1,
            each.best[1] + 1,
            round(each.found.value, 3),
            each.offset,
            round(each.baseline.value, 3),
            *(round(value, 3) for value in (each.gain.value, each.gain.low, each.gain.high)),
        ]
        for each in roles.scores
    }


def train(column: str, training: str, seed: int, train: Path, trees: Path) -> Predictor:
    """Train a tagger of a CoNLL-U column."""
    values = {
        **SMALL_TAGGER,
        "data": {"train": [str(train)], "valid": [str(trees)], "column": column},
        "vocabulary": {"min_frequency": 2},
        "inputs": {**SMALL_TAGGER["inputs"], "word_width": 64, "word_dropout": 0.1, "dropout": 0.1},
        "encoder": {**ENCODER, "dropout": 0.1},
    }
    values["training"] = {
        **SMALL_TAGGER["training"], "batch_tokens": 1_500, "seed": seed, **TRAININGS[training]
    }  # fmt: skip
    config = build(TaggingConfig, values)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        for _ in train_model(TASK, config, *TASK.reader.read_training(config.data), run):
            pass
        return TASK.load(run)


def main() -> None:
    """Train a tagger for each column, and measure the roles of its heads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--trees", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    quiet()
    trees = chosen_trees(read_trees(options.trees), sentences=SENTENCES, longest=60)
    runs = resumed("roles")
    for seed, column, training in itertools.product(SEEDS, TASKS, TRAININGS):
        if is_done(runs, column=column, training=training, seed=seed):
            continue
        began = time.process_time()
        tagger = train(column, training, seed, options.train, options.trees)
        data = TASK.reader.read([str(options.trees)], tagger.config.data, "valid")
        accuracy = tagger.evaluate(data).accuracy
        roles = measure_roles(predictor_reader(tagger), trees, minimum=MINIMUM)
        run = {
            "column": column, "training": training, "seed": seed, "accuracy": accuracy, "sentences": roles.sentences,
            "roles": shares(roles),
        }  # fmt: skip
        runs.append(run)
        print(column, training, seed, accuracy, f"{time.process_time() - began:.0f} s", flush=True)
        save("roles", {"runs": runs})


if __name__ == "__main__":
    main()
