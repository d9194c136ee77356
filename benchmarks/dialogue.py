"""Replies on the Schema-Guided Dialogue corpus: hits of a ranker, perplexity and variety of a generator.

    python -m benchmarks.dialogue FOLDER [PART ...] [--out FOLDER] [--replies N]

FOLDER holds train.tsv.gz and dev.tsv.gz with the columns dialogue, service, turn, speaker and utterance. Both are
trained on train alone, of whose dialogues 3 % choose the weights; dev is measured once. Services of dev that are in
train are "seen", the others "unseen". Runs that are there already, in --out, are measured again without training.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

import heedful
from heedful import run_folder
from heedful.answers.ranking_metrics import RankingScores, Ranks
from heedful.answers.reply_metrics import variety
from heedful.data.dialogue.replies import Replies
from heedful.tasks.conversation import Drawing, draw_replies
from heedful.tasks.predictor import Predictor

DATA: Final = {"group": "service", "valid_share": 0.03}
GENERATOR: Final[dict[str, Any]] = {
    "max_turns": 4,
    "model": {"kind": "gru", "embedding": 128, "hidden": 128},
    "vocabulary": {"lowercase": True, "size": 4000},
    "training": {"epochs": 4, "threads": 1, "average_epochs": 1, "schedule": "cosine"},
}
TRANSFORMER: Final = {
    "kind": "transformer", "width": 128, "feed_forward": 256, "encoder_layers": 2, "decoder_layers": 2,
}  # fmt: skip
SETTINGS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "ranker": ("rank-replies", {"training": {"epochs": 4, "threads": 1}}),
    "generator": ("reply", GENERATOR),
    "without-attention": (
        "reply",
        {**GENERATOR, "model": {**GENERATOR["model"], "attention": "none"}},
    ),
    "transformer": ("reply", {**GENERATOR, "model": TRANSFORMER}),
    "without-context": ("reply", {**GENERATOR, "max_turns": 0}),
}
"""Part -> task and settings."""
DRAWINGS: Final = {"greedy": Drawing(temperature=0), "top-p 0.9": Drawing(top_p=0.9)}


def trained(part: str, corpus: Path, out: Path) -> Predictor:
    """Return a trained model: of an earlier call, or trained now."""
    task, settings = SETTINGS[part]
    run = out / part
    if not (run / run_folder.WEIGHTS).exists():
        heedful.train(
            task, train=str(corpus / "train.tsv.gz"), out=run, overwrite=run.exists(), data=DATA,
            progress=lambda event: print(f"{part}: {type(event).__name__}", flush=True), **settings,
        )  # fmt: skip
    return heedful.load(run).predictor


def parts_of(data: Replies, train: Replies) -> dict[str, list[int]]:
    """Return the rows of all replies, and of those of services that are in training or not."""
    seen = {each.group for each in train.rows}
    rows = range(len(data))
    return {
        "all": list(rows),
        "seen services": [row for row in rows if data.rows[row].group in seen],
        "unseen services": [row for row in rows if data.rows[row].group not in seen],
    }


def measure_ranker(predictor: Predictor, data: Replies, train: Replies) -> dict[str, Any]:
    """Return hits and MRR, with candidates that are drawn from all of dev whatever the part."""
    predicted = list(predictor.predict_data(data))
    answer = predictor.answer
    ranks, overlap = answer.ranks(predicted, data), answer.overlap_ranks(data)
    found = {}
    for name, rows in parts_of(data, train).items():
        chosen = [Ranks(*(each[rows] for each in ranking)) for ranking in (ranks, overlap)]
        scores = RankingScores.of(chosen[0], chosen[1], data.take(rows))
        found[name] = {
            "services": len({data.rows[row].group for row in rows}),
            "replies": len(rows),
            **{
                key: round(getattr(scores, key), 3)
                for key in (
                    "hits_1", "hits_5", "mrr", "hits_1_alike", "hits_5_alike", "overlap_hits_1",
                    "overlap_hits_1_alike",
                )
            },
        }  # fmt: skip
    return found


def measure_generator(predictor: Predictor, data: Replies, replies: int) -> dict[str, Any]:
    """Return perplexities of some true replies, and how varied drawn ones are beside those of people."""
    rows = np.random.default_rng(0).choice(len(data), min(replies, len(data)), replace=False)
    some = data.take(sorted(rows.tolist()))
    scores = predictor.score(some, list(predictor.predict_data(some, beam=1)))
    found: dict[str, Any] = {
        "replies": len(some),
        "perplexity": round(scores.perplexity, 2),
        "bigram_perplexity": round(scores.bigram_perplexity, 2),
        "unigram_perplexity": round(scores.unigram_perplexity, 2),
        "bleu": round(scores.bleu, 2),
        "people": _rounded(variety(some.answers)),
    }
    for name, drawing in DRAWINGS.items():
        drawn = draw_replies(predictor, some.inputs, drawing, seed=0)
        found[name] = _rounded(variety(drawn))
        found[name]["words a reply"] = round(statistics.fmean(len(t.split()) for t in drawn), 1)
    return found


def _rounded(values: Any) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values._asdict().items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is not there yet, measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dialogue")
    parser.add_argument("corpus", type=Path, metavar="FOLDER")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(SETTINGS))
    parser.add_argument("--out", type=Path, default=Path("runs", "dialogue"), metavar="FOLDER")
    parser.add_argument(
        "--replies", type=int, default=1000, metavar="N", help="replies of the generator to measure"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for part in options.parts or SETTINGS:
        if part not in SETTINGS:
            parser.error(f"unknown part {part}; the parts are {', '.join(SETTINGS)}")
        predictor = trained(part, options.corpus, options.out)
        reader, section = predictor.task.reader, predictor.config.data
        dev, train = (
            reader.read([str(options.corpus / f"{name}.tsv.gz")], section, "test")
            for name in ("dev", "train")
        )
        if part == "ranker":
            found = measure_ranker(predictor, dev, train)
        else:
            found = measure_generator(predictor, dev, options.replies)
        print(json.dumps({part: found}, indent=1), flush=True)


if __name__ == "__main__":
    main()
