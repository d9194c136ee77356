from __future__ import annotations

import json

import pytest
import torch

from heedful.config import build
from heedful.data.files import Pairs
from heedful.tasks.translate import TASK as TRANSLATE
from heedful.tasks.translate import TranslationConfig
from heedful.training.events import Finished, Progress, Started, Validated
from heedful.training.loop import train_model

WORDS = ["ein", "hund", "rennt", "im", "schnee", "und", "mann", "geht"]


def pairs(count: int, seed: int) -> Pairs:
    draws = torch.Generator().manual_seed(seed)
    texts = [
        " ".join(WORDS[i] for i in torch.randint(len(WORDS), (3 + row % 3,), generator=draws))
        for row in range(count)
    ]
    return Pairs(texts, [text.upper() for text in texts])


def configuration(**training: object) -> TranslationConfig:
    values = {
        "epochs": 3,
        "batch_tokens": 64,
        "warmup_steps": 4,
        "learning_rate": 0.01,
        "progress_steps": 2,
        "patience": 0,
        "threads": 1,
        "keep_freed_memory": False,
        **training,
    }
    return build(
        TranslationConfig,
        {
            "vocabulary": {"kind": "word", "size": 50, "min_frequency": 1},
            "model": {
                "kind": "transformer",
                "width": 16,
                "feed_forward": 32,
                "heads": 2,
                "encoder_layers": 1,
                "decoder_layers": 1,
                "dropout": 0.1,
            },
            "training": values,
        },
    )


def test_training_writes_a_run_that_translates(tmp_path):
    run = tmp_path / "run"
    events = list(train_model(TRANSLATE, configuration(epochs=20), pairs(60, 0), pairs(8, 1), run))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    losses = [event.loss for event in events if isinstance(event, Progress)]
    assert losses[-1] < 0.75 * losses[0]
    validated = [event for event in events if isinstance(event, Validated)]
    assert len(validated) == 20
    assert {path.name for path in run.iterdir()} == {
        "heedful.json",
        "config.toml",
        "source_vocabulary.json",
        "target_vocabulary.json",
        "model.safetensors",
        "metrics.jsonl",
    }
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["validated"] * 20 + ["finished"]
    translator = TRANSLATE.load(run)
    found = list(translator.predict(["ein hund", "", "mann"], beam=2, nbest=2))
    assert [len(each) for each in found] == [2, 1, 2]
    assert found[1][0].text == ""
    scores = translator.evaluate(pairs(8, 1), beam=1)
    assert scores.bleu == pytest.approx(events[-1].scores["bleu"])
