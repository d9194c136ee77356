"""Claim 8, third part: attention that learns the links of an aligner, against word alignments made by people.

    python -m claims.guided --pairs train.en.gz train.fr.gz --valid val.en.gz val.fr.gz --gold enfr
    python -m claims.guided --pairs train.zh train.en --valid valid.zh valid.en --gold zhen
    python -m claims.guided --gold roen

trains the Transformer of `claims.gold` on pairs and the gold texts, or on the gold texts alone, without links and with
those on which IBM Model 1 agrees in both directions, learned from these texts alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from claims.alignment import error_rate
from claims.common import RESULTS, save, train_translator
from claims.gold import (
    EPOCHS,
    MODELS,
    PLAIN,
    REPEAT,
    Gold,
    diagonal,
    rates,
    read_arguments,
    text_of,
    token_of_words,
    weights_of,
)
from heedful.data.lexical import LexicalModel
from heedful.data.words import normalise, words

WEIGHTS = (0.0, 0.1, 1.0)
"""Weights of the links in the loss."""


class Aligner:
    """IBM Model 1 in both directions."""

    def __init__(self, source: Sequence[str], target: Sequence[str]):
        texts = [[words(normalise(text)) for text in side] for side in (source, target)]
        self.ids: list[dict[str, int]] = []
        for side in texts:
            names = dict.fromkeys(word for text in side for word in text)
            self.ids.append({word: number for number, word in enumerate(names)})
        first, second = (
            [[ids[word] for word in text] for text in side]
            for ids, side in zip(self.ids, texts, strict=True)
        )
        sizes = len(self.ids[0]), len(self.ids[1])
        self.forward = LexicalModel.learn(first, second, sizes=sizes)
        self.backward = LexicalModel.learn(second, first, sizes=sizes[::-1])

    def links(self, source: str, target: str) -> set[tuple[int, int]]:
        """Return the links of words on which both directions agree."""
        first, second = (
            [ids.get(word, -1) for word in words(normalise(text))]
            for ids, text in zip(self.ids, (source, target), strict=True)
        )
        if not (first and second):
            return set()
        forward = {(i, j) for j, i in enumerate(self.forward.align(first, second)) if i >= 0}
        return {
            (i, j) for i, j in enumerate(self.backward.align(second, first)) if (i, j) in forward
        }


def rate_of(aligner: Aligner, gold: Gold) -> float:
    """Return the AER of the aligner's own links."""
    found = []
    for source, target in gold.pairs:
        sides = token_of_words(source), token_of_words(target)
        links = aligner.links(text_of(source), text_of(target))
        found.append({(sides[0][i], sides[1][j]) for i, j in links})
    return error_rate(found, gold.links)


def of_all_sets() -> dict[str, Any]:
    """Return what is known of each gold file."""
    file = RESULTS / "guided.json"
    known: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return known


def main() -> None:
    """Train with each weight, and write alignment error rates and BLEU."""
    name, gold, train, valid, tested = read_arguments(__doc__, needs_pairs=False)
    aligner = Aligner(train.source, train.target)
    texts = zip(train.source, train.target, strict=True)
    lines = [" ".join(f"{i}-{j}" for i, j in sorted(aligner.links(*pair))) for pair in texts]
    runs: list[dict[str, Any]] = []
    told = {
        "pairs": len(gold.pairs),
        "others": 0 if tested is None else len(train) - REPEAT * len(gold.pairs),
        "diagonal": diagonal(gold),
        "aligner": rate_of(aligner, gold),
        "runs": runs,
    }
    for weight in WEIGHTS:
        began = time.process_time()
        translator = train_translator(
            replace(train, alignments=lines) if weight else train, valid, MODELS[PLAIN], 0, vocabulary="word",
            guidance=weight, epochs=EPOCHS, batch_tokens=1_200,
        )  # fmt: skip
        found = rates(weights_of(translator, gold), gold)
        bleu = None if tested is None else translator.evaluate(tested).bleu
        runs.append({"weight": weight, "seed": 0, "bleu": bleu, **found})
        print(runs[-1], f"{time.process_time() - began:.0f} s", flush=True)
        save("guided", {**of_all_sets(), name: told})


if __name__ == "__main__":
    main()
