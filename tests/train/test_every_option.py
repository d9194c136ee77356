"""Every field of the configuration does something, and so does each of its choices.

The fields are those of the configuration's classes: one that is added without values to try here
fails, as does one whose values change nothing of what training, vocabularies and decoding do.
The fields of the models are tried where the models are tested.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from heedful.answers import text
from heedful.answers.base import Scores
from heedful.config import build
from heedful.data.files import Pairs
from heedful.errors import DivergedError, OptionError
from heedful.inputs.pieces import Pieces
from heedful.tasks.translate import TASK as TRANSLATE
from heedful.tasks.translate import TranslationConfig
from heedful.training import loop, state
from heedful.training.checkpoint_manager import CheckpointManager
from heedful.training.events import Finished, Progress, Started, Validated
from heedful.training.validation import Validation
from tests.tasks.options import assert_all_differ, values_of

PAIRS = Pairs(
    ["Ein Hund rennt", "ein Hund", "Der Hund schläft", "Ein Mann und ein Hund", "ein Mann rennt"],
    ["A dog runs", "a dog", "The dog sleeps", "A man and a dog", "a man runs"],
    alignments=["0-0 1-1 2-2", "1-1", "", "0-0 1-1 4-4", "1-1"],
)
BASE: dict[str, dict[str, Any]] = {
    "data": {},
    "vocabulary": {"kind": "word", "size": 60, "min_frequency": 1},
    "model": {"kind": "gru", "embedding": 6, "hidden": 6},
    "training": {
        "epochs": 4,
        "batch_tokens": 12,
        "warmup_share": 0.3,
        "learning_rate": 0.05,
        "progress_steps": 1,
        "threads": 1,
        "keep_freed_memory": False,
    },
    "frequency": {"penalty": 0.5},
    "alignment": {},
    "decoding": {},
}
SCRIPT = [
    Scores(loss=4.0, bleu=1.0, chrf=1.0, exact_match=0.1),
    Scores(loss=5.0, bleu=1.0, chrf=9.0, exact_match=0.2),
    Scores(loss=6.0, bleu=1.0, chrf=2.0, exact_match=0.9),
    Scores(loss=7.0, bleu=3.0, chrf=3.0, exact_match=0.3),
    Scores(loss=3.0, bleu=9.0, chrf=9.9, exact_match=0.5),
]
"""What validation finds after each epoch and of the average: each figure has a best epoch of its own."""

VALUES: dict[str, list[Any]] = {
    "data.max_length": [5, 250],
    "vocabulary.size": [12, 60],
    "vocabulary.min_frequency": [1, 2],
    "vocabulary.sample": [4, 1000],
    "vocabulary.dropout": [0.0, 0.2, 0.9],
    "frequency.down_weight": [0.0, 0.01, 0.1],
    "frequency.subsample": [0.0, 0.01, 0.1],
    "frequency.penalty": [0.0, 0.5],
    "frequency.smoothing": [1e-3, 0.1],
    "training.epochs": [2, 4],
    "training.max_steps": [0, 3],
    "training.max_tokens": [0, 9],
    "training.max_seconds": [0.0, 1e-9],
    "training.batch_tokens": [12, 40],
    "training.learning_rate": [0.01, 0.05],
    "training.warmup_share": [0.0, 0.3, 0.8],
    "training.warmup_steps": [0, 2, 5],
    "training.adam_betas": [[0.9, 0.98], [0.8, 0.98], [0.9, 0.99]],
    "training.adam_epsilon": [1e-9, 1e-2],
    "training.accumulate": [1, 2],
    "training.ema_decay": [0.0, 0.1, 0.2],
    "training.weight_decay": [0.0, 0.1],
    "training.label_smoothing": [0.0, 0.1],
    "training.clip_norm": [0.0, 0.01, 0.1],
    "training.average_epochs": [1, 2, 3],
    "training.patience": [0, 1, 2],
    "training.skip_nonfinite": [0, 1, 2],
    "training.checkpoint_steps": [0, 1, 2],
    "training.checkpoint_minutes": [0.0, 1e-9],
    "training.progress_steps": [1, 2],
    "training.seed": [0, 1],
    "training.threads": [0, 1, 2],
    "training.r_drop": [0.0, 2.0],
    "alignment.weight": [0.0, 0.3],
    "decoding.beam": [1, 5],
    "decoding.length_penalty": [0.0, 1.0],
    "decoding.coverage_penalty": [0.0, 3.0],
    "decoding.no_repeat_ngram": [0, 1],
    "decoding.max_repetition": [0, 4],
    "decoding.max_length_ratio": [1e-9, 2.0],
    "decoding.min_length_ratio": [0.0, 1.5],
    "decoding.shortlist": [0, 1],
    "decoding.batch_tokens": [1, 8192],
    "decoding.chunk": [1, 2, 512],
}
"""Values to try of the fields that are neither a choice nor yes or no."""

ALSO: dict[str, dict[str, Any]] = {
    "vocabulary.dropout": {"kind": "bpe"},
    "training.skip_nonfinite": {"learning_rate": 1e30},
    "training.keep_average": {"metric": "exact_match"},
    "training.decoupled_decay": {"weight_decay": 0.1},
    "decoding.no_repeat_ngram": {"min_length_ratio": 1.9},
    "decoding.max_repetition": {"min_length_ratio": 1.9},
    "decoding.copy_unknown": {"min_length_ratio": 1.9, "no_repeat_ngram": 1},
}
"""Further settings of the section, without which a field has nothing to do."""

READ_BY_THE_COMMAND = {
    "data.train",
    "data.valid",
    "data.columns",
    "data.encoding",
    "data.max_line",
    "data.alignments",
}
READ_BY_SEVERAL_PROCESSES = {
    f"training.{name}" for name in ("devices", "nodes", "strategy", "peer_seconds")
}
"""Tried in `tests/train/test_processes.py`."""

FIELDS = {
    f"{section}.{name}": field
    for section in ("data", "vocabulary", "frequency", "training", "alignment", "decoding")
    for name, field in type(getattr(TranslationConfig(), section)).model_fields.items()
}


def configuration(name: str, value: Any) -> TranslationConfig:
    section, _, key = name.partition(".")
    return build(
        TranslationConfig, {**BASE, section: {**BASE[section], **ALSO.get(name, {}), key: value}}
    )


def vocabularies(config: TranslationConfig) -> object:
    """What a person sees of the vocabularies: the pieces, and whether there is one or two."""
    found = TRANSLATE.learn(config, PAIRS)
    source: Pieces = found.input
    encodings = [source.vocabulary.encode(text) for text in PAIRS.source]
    shared = source.vocabulary is found.answer.vocabulary
    return shared, [(each.pieces, each.ids) for each in encodings]


def decoding(config: TranslationConfig, patch: pytest.MonkeyPatch) -> object:
    """The translations, the batches searched and their limits, and what is read before the first."""
    torch.manual_seed(0)
    translator = TRANSLATE.learn(config, PAIRS)
    translator.model.eval()
    read: list[str] = []
    batches: list[object] = []
    search = text.beam_search

    def watched(model: Any, source: Any, lengths: Any, **options: Any) -> Any:
        batches.append((source.tolist(), options["max_length"].tolist()))
        return search(model, source, lengths, **options)

    patch.setattr(text, "beam_search", watched)
    found = translator.predict(read.append(each) or each for each in PAIRS.source)
    first = next(found)
    return len(read), first, list(found), batches


def training(config: TranslationConfig, patch: pytest.MonkeyPatch, run: Path) -> object:
    """Everything but the time that a training takes: its events, weights, checkpoints, settings."""
    seen: list[object] = []
    scripted = iter(SCRIPT if config.training.epochs == 4 else SCRIPT[:2] + SCRIPT[-1:])
    real_save, real_fabric = CheckpointManager.save_state, state.build_fabric
    patch.setattr(loop, "validate", lambda *_: Validation(next(scripted), []))
    patch.setattr(state, "set_threads", seen.append)
    patch.setattr(state, "keep_freed_memory", lambda: seen.append("memory"))
    patch.setattr(
        CheckpointManager, "save_state", lambda *all: seen.append("saved") or real_save(*all)
    )
    patch.setattr(
        state, "build_fabric", lambda all: seen.append(all.accelerator) or real_fabric(all)
    )
    for event in loop.train_model(TRANSLATE, config, PAIRS, PAIRS, run):
        match event:
            case Started():
                seen += [event.train_examples, event.steps_per_epoch]
            case Progress():
                seen.append(event.step)
            case Validated():
                seen.append(event.best)
            case Finished():
                seen += [event.chosen, event.stopped_early, event.epochs]
    return seen, hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture
def observe(monkeypatch, tmp_path):
    def observe(name: str, value: Any) -> object:
        config = configuration(name, value)
        if name.startswith("vocabulary.") and name != "vocabulary.dropout":
            return vocabularies(config)
        with monkeypatch.context() as patch:
            if name.startswith("decoding."):
                return decoding(config, patch)
            try:
                return training(config, patch, tmp_path / f"{len(list(tmp_path.iterdir()))}")
            except (OptionError, DivergedError) as error:
                # a device or a precision that is not there, and a step that is not finite, are said so
                return str(error)

    return observe


@pytest.mark.parametrize(
    "name", sorted(FIELDS.keys() - READ_BY_THE_COMMAND - READ_BY_SEVERAL_PROCESSES)
)
def test_every_value_does_something(name, observe):
    values = values_of(name, FIELDS, VALUES)
    assert_all_differ(name, [(value, observe(name, value)) for value in values])


@pytest.mark.parametrize("name", ["training.seed", "decoding.beam", "vocabulary.kind"])
def test_the_same_value_does_the_same(name, observe):
    value = values_of(name, FIELDS, VALUES)[0]
    assert observe(name, value) == observe(name, value)


def test_there_are_values_for_every_field_and_for_no_other():
    assert VALUES.keys() <= FIELDS.keys()
    assert FIELDS.keys() >= READ_BY_THE_COMMAND | READ_BY_SEVERAL_PROCESSES
