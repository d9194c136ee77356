"""Claim 2: quality by the length of the source, with one context vector and with attention."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from claims.common import quiet, save, train_translator
from heedful.answers.text_metrics import score_by_length, score_translations
from heedful.data.builtin import numbers

SEEDS = (0,)
BOUNDS = (5, 7, 9)
"""Most words of the first groups."""
RECURRENT = {"kind": "gru", "embedding": 48, "hidden": 64}
MODELS: dict[str, dict[str, Any]] = {
    "one vector": {**RECURRENT, "attention": "none"},
    "Bahdanau (additive)": {**RECURRENT, "attention": "additive"},
    "Luong (dot)": {**RECURRENT, "encoder_hidden": 32, "attention": "dot", "order": "luong"},
    "Transformer": {
        "kind": "transformer", "width": 64, "feed_forward": 128, "heads": 4,
        "encoder_layers": 2, "decoder_layers": 2,
    },
}  # fmt: skip


def main() -> None:
    """Train the four on number words in English and French, and write BLEU by the words of the source."""
    quiet()
    corpus = numbers.build(0, train_size=4_000, valid_size=100, test_size=600, languages=("fr",))
    runs = []
    for name, model in MODELS.items():
        for seed in SEEDS:
            began = time.process_time()
            translator = train_translator(
                corpus.train, corpus.valid, model, seed, vocabulary="word", epochs=8
            )
            texts = [best.text for best, *_ in translator.predict(corpus.test.source)]
            groups = score_by_length(corpus.test.source, texts, corpus.test.target, BOUNDS)
            scores = score_translations(texts, corpus.test.target)
            runs.append(
                {
                    "model": name, "seed": seed, "bleu": scores.bleu, "exact_match": scores.exact_match,
                    "parameters": sum(each.numel() for each in translator.model.parameters()),
                    "by_length": [asdict(group) for group in groups],
                }
            )  # fmt: skip
            lengths = [f"{group.shortest}-{group.longest}: {group.bleu:.1f}" for group in groups]
            print(name, seed, lengths, f"{time.process_time() - began:.0f} s", flush=True)
            save("by_length", {"runs": runs})


if __name__ == "__main__":
    main()
