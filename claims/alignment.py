"""Claim 8, first part: attention against the true alignment of dates, for each score, layer and head."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from claims.common import is_done, quiet, resumed, save, train_translator
from heedful.data.builtin import dates
from heedful.data.builtin.corpus import Corpus, Links
from heedful.tasks.alignment import encode_pair
from heedful.tasks.predictor import Predictor

SEEDS = (0, 1, 2)
RECURRENT = {"kind": "gru", "embedding": 32, "hidden": 64}
MODELS: dict[str, dict[str, Any]] = {
    **{
        f"gru, {score}": {**RECURRENT, "encoder_hidden": 32, "attention": score}
        for score in ("additive", "dot", "bilinear")
    },
    "gru, dot, Luong's order": {
        **RECURRENT, "encoder_hidden": 32, "attention": "dot", "order": "luong",
    },
    "transformer, scaled_dot": {
        "kind": "transformer", "width": 64, "feed_forward": 128, "heads": 4,
        "encoder_layers": 2, "decoder_layers": 2,
    },
    "transformer, additive": {
        "kind": "transformer", "width": 64, "feed_forward": 128, "heads": 4, "score": "additive",
        "encoder_layers": 2, "decoder_layers": 2,
    },
}  # fmt: skip


def sure(links: Links) -> Links:
    """Links of digits that stand for one digit; those of names are of a whole with a whole."""
    sources, targets = [i for i, _ in links], [j for _, j in links]
    return frozenset((i, j) for i, j in links if sources.count(i) == 1 and targets.count(j) == 1)


def error_rate(found: Iterable[set[tuple[int, int]]], gold: Iterable[tuple[Links, Links]]) -> float:
    """AER of Och and Ney (2003), 1 - (|A∩S| + |A∩P|) / (|A| + |S|), over all pairs; gold is (S, P)."""
    right = total = 0
    for links, (certain, possible) in zip(found, gold, strict=True):
        right += len(links & certain) + len(links & (possible | certain))
        total += len(links) + len(certain)
    return 1 - right / total


def weights_of(translator: Predictor, corpus: Corpus) -> list[Tensor]:
    """Weights (layers, heads, target, source) of each test pair, its true answer given."""
    model, found = translator.model, []
    for source, target in corpus.test:
        tensors = encode_pair(translator, source, target)
        with torch.no_grad():
            decoded = model(
                tensors.source, tensors.source_lengths, tensors.target, return_weights=True
            )
        assert decoded.weights is not None
        found.append(decoded.weights[0, :, :, : len(target), : len(source)])
    return found


def links(weights: Tensor, gold: Links) -> set[tuple[int, int]]:
    """For each target character that has a true link, the source character of greatest weight."""
    best = weights.argmax(dim=-1).tolist()
    return {(best[j], j) for j in {j for _, j in gold}}


def main() -> None:
    """Train each model, and write AER of the mean of heads, and of each layer and head."""
    quiet()
    corpus = dates.build(0, train_size=8_000, valid_size=100, test_size=200)
    assert corpus.test_links is not None
    gold = [(sure(each), each) for each in corpus.test_links]
    runs = resumed("alignment")
    for seed, name in itertools.product(SEEDS, MODELS):
        if is_done(runs, model=name, seed=seed):
            continue
        began = time.process_time()
        translator = train_translator(
            corpus.train, corpus.valid, MODELS[name], seed, vocabulary="char", epochs=5
        )
        weights = weights_of(translator, corpus)
        layers, heads = weights[0].shape[:2]

        def rate(pick: Any) -> float:
            found = (links(pick(w), g) for w, (_, g) in zip(weights, gold, strict=True))  # noqa: B023
            return error_rate(found, gold)

        run = {
            "model": name, "seed": seed,
            "exact_match": translator.evaluate(corpus.test).exact_match,
            "mean_of_heads": [rate(lambda w, a=layer: w[a].mean(0)) for layer in range(layers)],
            "heads": [
                [rate(lambda w, a=layer, b=head: w[a, b]) for head in range(heads)]
                for layer in range(layers)
            ],
        }  # fmt: skip
        runs.append(run)
        print(run, f"{time.process_time() - began:.0f} s", flush=True)
        save("alignment", {"runs": runs})


if __name__ == "__main__":
    main()
