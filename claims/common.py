"""What the claims share: results as small JSON, and taggers trained on the built-in corpus `saw`."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from heedful.config import build
from heedful.data.builtin.corpus import TaggedCorpus
from heedful.data.files import Pairs
from heedful.tasks.predictor import Predictor
from heedful.tasks.tag import TASK as TAG
from heedful.tasks.tag import TaggingConfig
from heedful.tasks.translate import TASK as TRANSLATE
from heedful.tasks.translate import TranslationConfig
from heedful.training.loop import train_model

RESULTS = Path(__file__).parent / "results"

SMALL_TAGGER: dict[str, Any] = {
    "vocabulary": {"min_frequency": 1},
    "inputs": {"characters": "none", "word_width": 32, "word_dropout": 0.0, "dropout": 0.0},
    "labels": {"dropout": 0.0},
    "training": {
        "epochs": 8, "batch_tokens": 1000, "learning_rate": 4e-3, "label_smoothing": 0.0,
        "average_epochs": 1, "patience": 0, "threads": 1, "keep_freed_memory": False,
    },
}  # fmt: skip
"""Words alone, 32 features, 8 epochs: a quarter of a minute on one core."""


SMALL_TRANSLATOR: dict[str, Any] = {
    "training": {
        "epochs": 6, "batch_tokens": 600, "learning_rate": 3e-3, "warmup_steps": 100,
        "schedule": "cosine", "label_smoothing": 0.0, "average_epochs": 1, "patience": 0, "metric": "loss",
        "threads": 1, "keep_freed_memory": False,
    },
    "decoding": {"beam": 1},
}  # fmt: skip


def quiet() -> None:
    """One thread, and nothing said by libraries."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name in ("lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


def save(name: str, values: Mapping[str, Any]) -> None:
    """Write results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(values, indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(f"written: claims/results/{name}.json", flush=True)


def resumed(name: str) -> list[dict[str, Any]]:
    """The runs of results/NAME.json with `--resume` on the command line, and otherwise none."""
    file = RESULTS / f"{name}.json"
    if "--resume" not in sys.argv or not file.exists():
        return []
    runs: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["runs"]
    return runs


def is_done(runs: Sequence[Mapping[str, Any]], **wanted: Any) -> bool:
    """Whether one of the runs has these values."""
    return any(all(run[key] == value for key, value in wanted.items()) for run in runs)


def train_tagger(
    corpus: TaggedCorpus, encoder: Mapping[str, Any], seed: int, **training: Any
) -> Predictor:
    """Train a small tagger on `saw`."""
    values = {**SMALL_TAGGER, "encoder": {"dropout": 0.0, **encoder}}
    values["training"] = {**SMALL_TAGGER["training"], "seed": seed, **training}
    config = build(TaggingConfig, values)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        for _ in train_model(TAG, config, corpus.train, corpus.valid, run):
            pass
        return TAG.load(run)


def parameters(tagger: Predictor) -> int:
    """Count the parameters of the encoder alone."""
    return sum(each.numel() for each in tagger.model.encoder.parameters())


def train_translator(
    train: Pairs,
    valid: Pairs,
    model: Mapping[str, Any],
    seed: int,
    *,
    vocabulary: str,
    frequency: Mapping[str, float] | None = None,
    guidance: float = 0.0,
    **training: Any,
) -> Predictor:
    """Train a small translator; `guidance` is the weight of given alignments in the loss."""
    values = {
        **SMALL_TRANSLATOR,
        "model": {"dropout": 0.0, **model},
        "frequency": dict(frequency or {}),
        "alignment": {"weight": guidance},
    }
    values["vocabulary"] = {"kind": vocabulary, "min_frequency": 1}
    values["training"] = {**SMALL_TRANSLATOR["training"], "seed": seed, **training}
    config = build(TranslationConfig, values)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        for _ in train_model(TRANSLATE, config, train, valid, run):
            pass
        return TRANSLATE.load(run)
