"""Claim 7: scores and normalizers at equal size, and what scaling does as the dimension grows."""

from __future__ import annotations

import math
from typing import Any

import torch

from claims.attention import ambiguous_accuracy, look
from claims.common import is_done, parameters, quiet, resumed, save, train_tagger
from heedful.data.builtin import saw
from heedful.nn.normalizers import NORMALIZER_BUILDERS
from heedful.nn.scores import SCORE_MODULES
from heedful.ops.scores import Dot, ScaledDot

SCORES = ("dot", "scaled_dot", "bilinear", "low_rank", "additive", "cosine", "gaussian")
EPOCHS = 5
SEEDS = (0, 1, 2)
DIMENSIONS = (4, 16, 64, 256, 1024)
KEYS = 64
WIDTHS = (16, 128)


def scaling() -> list[dict[str, float]]:
    """Of random queries and keys: spread of scores, entropy of weights, size of their derivative."""
    rows = []
    for dimension in DIMENSIONS:
        chance = torch.Generator().manual_seed(0)
        query = torch.randn(512, dimension, generator=chance)
        key = torch.randn(512, KEYS, dimension, generator=chance)
        row: dict[str, float] = {"dimension": dimension}
        for score in (Dot(), ScaledDot()):
            prepared = score.prepare_query(query)
            weights = (prepared[:, None] * key).sum(-1).softmax(-1)
            # the derivative of softmax is diag(w) - w wᵀ
            jacobian = torch.diag_embed(weights) - weights[:, :, None] * weights[:, None]
            entropy = -(weights * weights.clamp_min(1e-30).log()).sum(-1).mean() / math.log(KEYS)
            row[f"{score.name} entropy"] = float(entropy)
            row[f"{score.name} derivative"] = float(jacobian.flatten(1).norm(dim=1).mean())
        rows.append(row)
    return rows


def main() -> None:
    """Train a Transformer with each score, each normalizer, and dot against scaled dot at three widths."""
    quiet()
    assert set(SCORES) <= set(SCORE_MODULES)
    corpus = saw.build(0, train_size=2_000, valid_size=50, test_size=500, farthest=16)
    base: dict[str, Any] = {"kind": "transformer", "width": 64, "feed_forward": 64, "heads": 4}
    variants = {f"score {name}": {**base, "score": name} for name in SCORES}
    variants |= {
        f"normalizer {name}": {**base, "normalizer": name}
        for name in NORMALIZER_BUILDERS
        if name != "softmax"
    }
    for width in WIDTHS:
        wide = {**base, "heads": 1, "width": width}
        for name in ("dot", "scaled_dot"):
            variants[f"one head of {width}, {name}"] = {**wide, "score": name}
    scaled, runs = scaling(), resumed("scores")
    for seed in SEEDS:
        for name, encoder in variants.items():
            if is_done(runs, variant=name, seed=seed):
                continue
            tagger = train_tagger(corpus, encoder, seed, epochs=EPOCHS)
            run = {
                "variant": name, "seed": seed, "parameters": parameters(tagger),
                "accuracy": ambiguous_accuracy(tagger, corpus), **look(tagger, corpus, 15),
            }  # fmt: skip
            runs.append(run)
            print(run, flush=True)
            save("scores", {"epochs": EPOCHS, "scaling": scaled, "runs": runs})


if __name__ == "__main__":
    main()
