"""Claim 10: to answer "are you free tomorrow?" the first word of the answer looks at "are you"; mass, and erasure."""

from __future__ import annotations

import itertools
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from claims.common import is_done, quiet, resumed, save
from heedful.config import build
from heedful.data.builtin.answers import build as build_corpus
from heedful.data.builtin.answers import opening_at
from heedful.data.dialogue.replies import Replies, read_replies
from heedful.data.dialogue.turns import Exchange
from heedful.decode.align import align
from heedful.tasks.predictor import Predictor
from heedful.tasks.reply import TASK, ReplyConfig
from heedful.training.loop import train_model

SEEDS = (0, 1)
TRANSFORMER: dict[str, Any] = {
    "kind": "transformer", "width": 64, "feed_forward": 128, "heads": 4,
    "encoder_layers": 2, "decoder_layers": 2,
}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "GRU without attention": {"kind": "gru", "embedding": 64, "hidden": 64, "attention": "none"},
    "GRU with additive attention": {"kind": "gru", "embedding": 64, "hidden": 64},
    "Transformer, sinusoidal positions": {**TRANSFORMER},
    "Transformer, rotary positions": {**TRANSFORMER, "positions": "rotary"},
}
TRAINING: dict[str, Any] = {
    "epochs": 12, "batch_tokens": 1500, "learning_rate": 3e-3, "schedule": "cosine", "label_smoothing": 0.0,
    "average_epochs": 1, "patience": 0, "threads": 1, "keep_freed_memory": False,
}  # fmt: skip


def train(model: dict[str, Any], seed: int, train_data: Replies, valid: Replies) -> Predictor:
    """Train a generator of answers; a word is a token."""
    values = {
        "vocabulary": {"kind": "word", "min_frequency": 1},
        "model": {"dropout": 0.1, **model},
        "training": {**TRAINING, "seed": seed},
    }
    config = build(ReplyConfig, values)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        for _ in train_model(TASK, config, train_data, valid, run):
            pass
        return TASK.load(run)


def opening(exchange: Exchange, length: int) -> tuple[list[int], list[int]]:
    """Return the positions of the two words that decide the answer, and those of the other words of the last turn.

    The last turn ends before the end token, the last of `length` positions.
    """
    words = len(exchange.history[-1].text.split())
    first = length - 1 - words
    two = [first + opening_at(exchange.history[-1].text) + each for each in (0, 1)]
    return two, [at for at in range(first, length - 1) if at not in two]


def first_word(predictor: Predictor, encoded: Any) -> Tensor:
    """Return the probabilities of the first word of the answer, (tokens,)."""
    batch = predictor.input.collate([encoded])
    begin = torch.tensor([[predictor.answer.vocabulary.begin_id]])
    with torch.no_grad():
        model = predictor.model
        probabilities: Tensor = model.output(model(batch.ids, batch.lengths, begin).states)
    return probabilities[0, 0].softmax(-1)


def looked_at(predictor: Predictor, encoded: Any) -> Tensor:
    """Return what the first word looks at, (layers, heads, positions): weights, or without them gradient × input."""
    batch = predictor.input.collate([encoded])
    begin = torch.tensor([[predictor.answer.vocabulary.begin_id]])
    model = predictor.model
    if not model.has_attention:
        return align(model, batch.ids, batch.lengths, begin).weights[0, None, :1]
    with torch.no_grad():
        weights: Tensor = model(batch.ids, batch.lengths, begin, return_weights=True).weights
    return weights[0, :, :, 0]


def measure(predictor: Predictor, data: Replies) -> dict[str, Any]:
    """Return how right answers are, how much of the weight is on the opening, and what hiding words does."""
    rng = random.Random(0)
    rows = list(zip(data.rows, predictor.input.encode(data.inputs), strict=True))
    masses: list[Tensor] = []
    kept: dict[str, list[float]] = {"whole": [], "opening": [], "others": [], "looked at": []}
    shares, right = [], []
    for exchange, encoded in rows:
        two, others = opening(exchange, len(encoded.ids))
        weights = looked_at(predictor, encoded)
        masses.append(weights[..., two].sum(-1))
        shares.append(2 / len(encoded.ids))
        token = int(encoded.reply[0])
        most = weights.mean(1)[masses[-1].mean(1).argmax()].topk(2).indices.tolist()
        hidden: dict[str, Sequence[int]] = {
            "whole": (), "opening": two, "others": rng.sample(others, 2), "looked at": most
        }  # fmt: skip
        for name, positions in hidden.items():
            found = first_word(predictor, predictor.input.hide(encoded, positions))
            kept[name].append(float(found[token]))
            if name == "whole":
                right.append(int(found.argmax()) == token)
    mass = torch.stack(masses).mean(0)
    exact = [
        each.text == answer
        for each, answer in zip(predictor.predict(data.inputs), data.answers, strict=True)
    ]
    return {
        "first_word": fmean(right),
        "exact": fmean(exact),
        "mass": mass.mean(1).tolist(),
        "best_head": float(mass.max()),
        "uniform": fmean(shares),
        "probability": {name: fmean(values) for name, values in kept.items()},
    }


def main() -> None:
    """Train each model and write what its first word looks at."""
    quiet()
    corpus = build_corpus()
    parts = [
        read_replies(part, "answers", max_turns=8)
        for part in (corpus.train, corpus.valid, corpus.test)
    ]
    runs = resumed("answers")
    for seed, name in itertools.product(SEEDS, MODELS):
        if is_done(runs, model=name, seed=seed):
            continue
        began = time.process_time()
        predictor = train(MODELS[name], seed, *parts[:2])
        run = {"model": name, "seed": seed, **measure(predictor, parts[2])}
        runs.append(run)
        print(run, f"{time.process_time() - began:.0f} s", flush=True)
        save("answers", {"runs": runs})


if __name__ == "__main__":
    main()
