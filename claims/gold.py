"""Claim 8, second part: attention against word alignments made by people, frequent words weighed down or not.

    python -m claims.gold --pairs train.en.gz train.fr.gz --gold enfr

trains small English-French models on the shortest of the pairs and on the text, not the links, of the gold file
(`enfr.src-tgt`: "source ||| target" in tokens; `enfr.gold`: "i-j" for a sure link, "ipj" for a possible one).
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from claims.alignment import error_rate
from claims.common import quiet, save, train_translator
from heedful.data.builtin.corpus import Links
from heedful.data.files import Pairs, read_pairs
from heedful.data.words import normalise, words
from heedful.models.frequency import inverse_frequency
from heedful.tasks.alignment import merge_pieces
from heedful.tasks.translation import Translator

PAIRS, EPOCHS, LONGEST, SMOOTHING = 4_000, 4, 25, 1e-3
RECURRENT = {"kind": "gru", "embedding": 64, "hidden": 96, "encoder_hidden": 48}
MODELS: dict[str, dict[str, Any]] = {
    "gru, additive": {**RECURRENT, "attention": "additive"},
    "gru, dot": {**RECURRENT, "attention": "dot", "order": "luong"},
    "gru, bilinear": {**RECURRENT, "attention": "bilinear", "order": "luong"},
    "transformer, scaled_dot": {
        "kind": "transformer", "width": 64, "feed_forward": 128, "heads": 4,
        "encoder_layers": 2, "decoder_layers": 2,
    },
}  # fmt: skip


class Gold:
    """Sentence pairs in tokens, and their (sure, possible) links."""

    def __init__(self, prefix: str):
        self.pairs: list[tuple[list[str], list[str]]] = []
        self.links: list[tuple[Links, Links]] = []
        texts = Path(f"{prefix}.src-tgt").read_text(encoding="utf-8").splitlines()
        golds = Path(f"{prefix}.gold").read_text(encoding="utf-8").splitlines()
        for text, gold in zip(texts, golds, strict=True):
            source, _, target = text.partition("|||")
            pair = source.lower().split(), target.lower().split()
            if max(map(len, pair)) > LONGEST:
                continue
            told = [re.fullmatch(r"(\d+)([-p])(\d+)", link) for link in gold.split()]
            found = [(int(t[1]) - 1, int(t[3]) - 1, t[2]) for t in told if t]
            self.pairs.append(pair)
            self.links.append(
                (
                    frozenset((i, j) for i, j, kind in found if kind == "-"),
                    frozenset((i, j) for i, j, _ in found),
                )
            )


def token_of_words(tokens: Sequence[str]) -> list[int]:
    """For each word that Heedful finds, the token of the gold file that it is of."""
    return [place for place, token in enumerate(tokens) for _ in words(normalise(token))]


def token_weights(
    translator: Translator, weights: Tensor, source: list[str], target: list[str]
) -> Tensor:
    """Turn weights of pieces into weights (target tokens, source tokens)."""
    vocabularies = translator.vocabularies
    sides = [token_of_words(source), token_of_words(target)]
    merged = merge_pieces(
        weights, vocabularies.source.encode(" ".join(source)), len(sides[0]),
        vocabularies.target.encode(" ".join(target)), len(sides[1]),
    )  # fmt: skip
    found = torch.zeros(len(target), len(source))
    for row, j in enumerate(sides[1]):
        for column, i in enumerate(sides[0]):
            found[j, i] += merged[row, column]
    return found


def rates(translator: Translator, gold: Gold, weigh: dict[str, float]) -> dict[str, float]:
    """AER of the best head, and of the mean of heads in the best layer, plain and weighed down."""
    layers: list[Tensor] = []
    for source, target in gold.pairs:
        tensors = translator.tensors(" ".join(source), " ".join(target))
        with torch.no_grad():
            decoded = translator.model(
                tensors.source, tensors.source_lengths, tensors.target, return_weights=True
            )
        assert decoded.weights is not None
        weights = decoded.weights[0]
        both = torch.cat([weights, weights.mean(dim=1, keepdim=True)], dim=1)
        layers.append(
            torch.stack(
                [
                    torch.stack([token_weights(translator, head, source, target) for head in layer])
                    for layer in both
                ]
            )
        )
    found: dict[str, float] = {}
    for name in ("plain", "weighed down"):
        table = []
        for layer in range(layers[0].shape[0]):
            table.append(
                [_rate([w[layer, head] for w in layers], gold, weigh if name != "plain" else {})
                 for head in range(layers[0].shape[1])]
            )  # fmt: skip
        found[f"best layer, mean of heads, {name}"] = min(row[-1] for row in table)
        found[f"best head, {name}"] = min(min(row[:-1]) for row in table)
    return found


def _rate(weights: Sequence[Tensor], gold: Gold, weigh: dict[str, float]) -> float:
    found = []
    for each, (source, _) in zip(weights, gold.pairs, strict=True):
        factors = torch.tensor([weigh.get(word, 1.0) for word in source])
        found.append({(i, j) for j, i in enumerate((each * factors).argmax(dim=-1).tolist())})
    return error_rate(found, gold.links)


def diagonal(gold: Gold) -> float:
    """AER of linking each target token with the source token at the same share of the sentence."""
    found = [
        {(j * len(source) // len(target), j) for j in range(len(target))}
        for source, target in gold.pairs
    ]
    return error_rate(found, gold.links)


def main() -> None:
    """Train each model, and write its alignment error rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", nargs=2, required=True, metavar=("SOURCE", "TARGET"))
    parser.add_argument("--gold", required=True, metavar="PREFIX")
    options = parser.parse_args()
    quiet()
    gold = Gold(options.gold)
    read = read_pairs(*options.pairs)
    shortest = sorted(zip(read.source, read.target, strict=True), key=lambda pair: len(pair[0]))
    texts = [*((a.lower(), b.lower()) for a, b in shortest[:PAIRS])]
    texts += [(" ".join(a), " ".join(b)) for a, b in gold.pairs]
    train = Pairs([a for a, _ in texts], [b for _, b in texts], name="pairs and gold texts")
    valid = Pairs(train.source[:100], train.target[:100], name="the first pairs")
    counts = Counter(word for source, _ in gold.pairs for word in source)
    shares = torch.tensor([count / counts.total() for count in counts.values()])
    weigh = dict(zip(counts, inverse_frequency(shares, SMOOTHING).tolist(), strict=True))
    none = diagonal(gold)
    names = [
        f"{what}, {how}"
        for how in ("plain", "weighed down")
        for what in ("best layer, mean of heads", "best head")
    ]
    runs: list[dict[str, Any]] = [{"model": "the diagonal", "aer": dict.fromkeys(names, none)}]
    for name, model in MODELS.items():
        began = time.process_time()
        translator = train_translator(train, valid, model, 0, vocabulary="word", epochs=EPOCHS)
        runs.append({"model": name, "aer": rates(translator, gold, weigh)})
        print(runs[-1], f"{time.process_time() - began:.0f} s", flush=True)
        save("gold", {"pairs": len(gold.pairs), "smoothing": SMOOTHING, "runs": runs})


if __name__ == "__main__":
    main()
