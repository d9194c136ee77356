"""Claim 8, second part: attention against word alignments made by people, and what is done about frequent words.

    python -m claims.gold --pairs train.en.gz train.fr.gz --valid val.en.gz val.fr.gz --gold enfr

trains small English-French models on some of the pairs and on the text, not the links, of the gold file
(`enfr.src-tgt`: "source ||| target" in tokens; `enfr.gold`: "i-j" for a sure link, "ipj" for a possible one).
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from claims.alignment import error_rate
from claims.common import quiet, save, train_translator
from heedful.answers.alignment import merge_pieces
from heedful.data.builtin.corpus import Links
from heedful.data.files import Pairs, read_pairs
from heedful.data.words import normalise, starts_unspaced, words
from heedful.models.frequency import inverse_frequency
from heedful.tasks.alignment import encode_pair
from heedful.tasks.predictor import Predictor

PAIRS, REPEAT, EPOCHS, LONGEST, TESTED, SMOOTHING = 10_000, 6, 8, 25, 300, 1e-3
"""Pairs, how often the gold texts stand beside them, passes, most tokens, pairs for BLEU, a."""
RECURRENT = {"kind": "gru", "embedding": 64, "hidden": 96, "encoder_hidden": 48}
TRANSFORMER = {
    "kind": "transformer", "width": 64, "feed_forward": 128, "heads": 4, "encoder_layers": 2,
    "decoder_layers": 2,
}  # fmt: skip
BAHDANAU, PLAIN = "gru, additive", "transformer, scaled_dot"
MODELS: dict[str, dict[str, Any]] = {
    BAHDANAU: {**RECURRENT, "attention": "additive"},
    PLAIN: TRANSFORMER,
    "gru, dot, Luong's order": {**RECURRENT, "attention": "dot", "order": "luong"},
    "gru, additive, Luong's order": {**RECURRENT, "attention": "additive", "order": "luong"},
    "gru, bilinear, Luong's order": {**RECURRENT, "attention": "bilinear", "order": "luong"},
    "transformer, additive": {**TRANSFORMER, "score": "additive"},
}
SETTINGS: dict[str, dict[str, float]] = {
    "nothing": {},
    "down_weight 1e-3": {"down_weight": 1e-3},
    "subsample 1e-3": {"subsample": 1e-3},
    "penalty 1": {"penalty": 1.0},
}
RUNS = [(name, "nothing") for name in MODELS] + [
    (name, setting) for name in (BAHDANAU, PLAIN) for setting in SETTINGS if setting != "nothing"
]


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
            if max(map(len, pair)) > LONGEST or not all(map(_keeps_tokens, pair)):
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


def text_of(tokens: Sequence[str]) -> str:
    """Return tokens as the text that a model reads: joined by spaces, where their script has them.

    >>> text_of(["我", "喜欢", "茶"]), text_of(["tea", "."])
    ('我喜欢茶', 'tea .')
    """
    return ("" if any(map(starts_unspaced, tokens)) else " ").join(tokens)


def _keeps_tokens(tokens: Sequence[str]) -> bool:
    """Whether the words of the text are those of the tokens; without spaces two numbers would become one."""
    return len(words(normalise(text_of(tokens)))) == len(token_of_words(tokens))


def token_of_words(tokens: Sequence[str]) -> list[int]:
    """For each word that Heedful finds, the token of the gold file that it is of."""
    return [place for place, token in enumerate(tokens) for _ in words(normalise(token))]


def token_weights(
    translator: Predictor, weights: Tensor, source: list[str], target: list[str]
) -> Tensor:
    """Turn weights of pieces into weights (target tokens, source tokens)."""
    read, written = translator.input.vocabulary, translator.answer.vocabulary
    sides = [token_of_words(source), token_of_words(target)]
    merged = merge_pieces(
        weights, read.encode(text_of(source)), len(sides[0]),
        written.encode(text_of(target)), len(sides[1]),
    )  # fmt: skip
    found = torch.zeros(len(target), len(source))
    for row, j in enumerate(sides[1]):
        for column, i in enumerate(sides[0]):
            found[j, i] += merged[row, column]
    return found


def weights_of(translator: Predictor, gold: Gold) -> list[Tensor]:
    """Of each pair the weights (layers, heads and their mean, target tokens, source tokens)."""
    found: list[Tensor] = []
    for source, target in gold.pairs:
        tensors = encode_pair(translator, text_of(source), text_of(target))
        with torch.no_grad():
            decoded = translator.model(
                tensors.source, tensors.source_lengths, tensors.target, return_weights=True
            )
        assert decoded.weights is not None
        weights = decoded.weights[0]
        both = torch.cat([weights, weights.mean(dim=1, keepdim=True)], dim=1)
        layers = [
            torch.stack([token_weights(translator, head, source, target) for head in layer])
            for layer in both
        ]
        found.append(torch.stack(layers))
    return found


def rates(
    weights: Sequence[Tensor], gold: Gold, weigh: dict[str, float] | None = None
) -> dict[str, list[Any]]:
    """AER of each head and of the mean of heads, by layer; `weigh` multiplies the words' weights first."""
    layers, heads = weights[0].shape[:2]
    table = [
        [_rate([w[layer, head] for w in weights], gold, weigh or {}) for head in range(heads)]
        for layer in range(layers)
    ]
    return {"mean": [row[-1] for row in table], "heads": [row[:-1] for row in table]}


def _rate(weights: Sequence[Tensor], gold: Gold, weigh: dict[str, float]) -> float:
    found = []
    for each, (source, _) in zip(weights, gold.pairs, strict=True):
        factors = torch.tensor([weigh.get(word, 1.0) for word in source])
        found.append({(i, j) for j, i in enumerate((each * factors).argmax(dim=-1).tolist())})
    return error_rate(found, gold.links)


def on_frequent(weights: Sequence[Tensor], gold: Gold, weigh: dict[str, float]) -> float:
    """The share of attention, of all layers and heads, that frequent words get, each counted as p / (a + p)."""
    spent = torch.zeros(())
    for each, (source, _) in zip(weights, gold.pairs, strict=True):
        shares = torch.tensor([1 - weigh[word] for word in source])
        spent = spent + (each[:, :-1] * shares).sum(-1).mean()
    return float(spent / len(weights))


def diagonal(gold: Gold) -> float:
    """AER of linking each target token with the source token at the same share of the sentence."""
    found = [
        {(j * len(source) // len(target), j) for j in range(len(target))}
        for source, target in gold.pairs
    ]
    return error_rate(found, gold.links)


def training_pairs(read: Pairs | None, gold: Gold) -> Pairs:
    """Some of the pairs, and the gold texts several times; without pairs as often as makes as many."""
    golds = [(text_of(source), text_of(target)) for source, target in gold.pairs]
    if read is None:
        texts = golds * (PAIRS // len(golds))
        return Pairs([a for a, _ in texts], [b for _, b in texts], name="gold texts")
    pairs = [(a.lower(), b.lower()) for a, b in zip(read.source, read.target, strict=True)]
    short = [pair for pair in pairs if max(len(text.split()) for text in pair) <= LONGEST // 2 + 2]
    random.Random(0).shuffle(short)
    texts = short[:PAIRS] + golds * REPEAT
    return Pairs([a for a, _ in texts], [b for _, b in texts], name="pairs and gold texts")


class Texts(NamedTuple):
    """What is trained with and tested on."""

    name: str
    """Of the gold file."""
    gold: Gold
    train: Pairs
    valid: Pairs
    """Held out; without other pairs the gold texts, which are trained with."""
    tested: Pairs | None
    """Held out, for BLEU; None without other pairs."""


def read_arguments(description: str | None, *, needs_pairs: bool = True) -> Texts:
    """Read the texts that the command line names."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("--pairs", "--valid"):
        parser.add_argument(name, nargs=2, required=needs_pairs, metavar=("SOURCE", "TARGET"))
    parser.add_argument("--gold", required=True, metavar="PREFIX")
    options = parser.parse_args()
    if (options.pairs is None) != (options.valid is None):
        parser.error("--pairs and --valid belong together")
    quiet()
    gold, name = Gold(options.gold), Path(options.gold).name
    if options.pairs is None:
        train, golds = training_pairs(None, gold), len(gold.pairs)
        return Texts(name, gold, train, train.take(range(golds)), None)
    train, held = training_pairs(read_pairs(*options.pairs), gold), read_pairs(*options.valid)
    lower = [[text.lower() for text in side] for side in (held.source, held.target)]
    valid = Pairs(lower[0][-100:], lower[1][-100:], name="held out, for choosing")
    tested = Pairs(lower[0][:TESTED], lower[1][:TESTED], name="held out, for BLEU")
    return Texts(name, gold, train, valid, tested)


def main() -> None:
    """Train each model, and write its alignment error rates and BLEU."""
    _, gold, train, valid, tested = read_arguments(__doc__)
    assert tested is not None
    counts = Counter(word for text in train.source for word in text.split())
    names = sorted({word for source, _ in gold.pairs for word in source})
    shares = torch.tensor([counts[word] / counts.total() for word in names])
    weigh = dict(zip(names, inverse_frequency(shares, SMOOTHING).tolist(), strict=True))
    runs: list[dict[str, Any]] = []
    told = {
        "pairs": len(gold.pairs),
        "diagonal": diagonal(gold),
        "smoothing": SMOOTHING,
        "runs": runs,
    }
    for name, setting in RUNS:
        began = time.process_time()
        translator = train_translator(
            train,
            valid,
            MODELS[name],
            0,
            vocabulary="word",
            frequency=SETTINGS[setting],
            epochs=EPOCHS,
            batch_tokens=1_200,
        )
        weights = weights_of(translator, gold)
        run = {
            "model": name, "setting": setting, "seed": 0, "bleu": translator.evaluate(tested).bleu,
            "plain": rates(weights, gold), "scaled": rates(weights, gold, weigh),
            "on_frequent": on_frequent(weights, gold, weigh),
        }  # fmt: skip
        runs.append(run)
        print(run, f"{time.process_time() - began:.0f} s", flush=True)
        save("gold", told)


if __name__ == "__main__":
    main()
