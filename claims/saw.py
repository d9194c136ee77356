"""Claim 1: which encoder tells the two saws apart, by the distance of the word that decides."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

from claims.common import parameters, quiet, save, train_tagger
from heedful.data.builtin import saw
from heedful.data.builtin.corpus import TaggedCorpus
from heedful.tasks.predictor import Predictor

FARTHEST = 16
SEEDS = (0, 1)
ENCODERS: dict[str, dict[str, Any]] = {
    "none": {"kind": "none", "hidden": 64},
    "window ±2": {"kind": "window", "size": 2, "hidden": 64},
    "window ±5": {"kind": "window", "size": 5, "hidden": 64},
    "lstm, one direction": {"kind": "lstm", "hidden": 64, "layers": 1, "bidirectional": False},
    "lstm, two directions": {"kind": "lstm", "hidden": 32, "layers": 1},
    "transformer": {"kind": "transformer", "width": 64, "feed_forward": 64, "heads": 4},
    "transformer, no positions": {
        "kind": "transformer", "width": 64, "feed_forward": 64, "heads": 4, "positions": "none",
    },
}  # fmt: skip


def by_distance(tagger: Predictor, corpus: TaggedCorpus) -> tuple[dict[int, float], dict[int, int]]:
    """Accuracy on words of two labels, and how many there are, by the distance of the word that decides."""
    right: dict[int, list[bool]] = defaultdict(list)
    got = (each.labels for each in tagger.predict(corpus.test.inputs))
    told = zip(corpus.test.sentences, got, corpus.test_distances, strict=True)
    for sentence, labels, distances in told:
        for label, wanted, distance in zip(labels, sentence.labels, distances, strict=True):
            if distance is not None:
                right[abs(distance)].append(label == wanted)
    shares = {distance: sum(each) / len(each) for distance, each in sorted(right.items())}
    return shares, {distance: len(each) for distance, each in sorted(right.items())}


def main() -> None:
    """Train each encoder and write accuracy by distance."""
    quiet()
    corpus = saw.build(0, train_size=3_000, valid_size=200, test_size=1_500, farthest=FARTHEST)
    runs = []
    for name, encoder in ENCODERS.items():
        for seed in SEEDS:
            began = time.process_time()
            tagger = train_tagger(corpus, encoder, seed)
            shares, counts = by_distance(tagger, corpus)
            runs.append(
                {
                    "encoder": name,
                    "seed": seed,
                    "parameters": parameters(tagger),
                    "accuracy": shares,
                }
            )
            seconds = time.process_time() - began
            print(f"{name} {seed}: {shares} ({seconds:.0f} s)", flush=True)
    save("saw", {"farthest": FARTHEST, "words": counts, "runs": runs})


if __name__ == "__main__":
    main()
