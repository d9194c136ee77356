"""Claim 6: from 1 to 16 heads at equal size: accuracy, and how different the heads are."""

from __future__ import annotations

from claims.attention import ambiguous_accuracy, look
from claims.common import is_done, parameters, quiet, resumed, save, train_tagger
from heedful.data.builtin import saw

HEADS = (1, 2, 4, 8, 16)
EPOCHS = (3,)
SEEDS = (0, 1, 2)


def main() -> None:
    """Train a Transformer of 64 features with each number of heads."""
    quiet()
    corpus = saw.build(0, train_size=2_000, valid_size=50, test_size=800, farthest=16)
    runs = resumed("heads")
    for heads in HEADS:
        encoder = {"kind": "transformer", "width": 64, "feed_forward": 64, "heads": heads}
        for epochs in EPOCHS:
            for seed in SEEDS:
                if is_done(runs, heads=heads, seed=seed, epochs=epochs):
                    continue
                tagger = train_tagger(corpus, encoder, seed, epochs=epochs)
                run = {
                    "heads": heads, "seed": seed, "epochs": epochs, "parameters": parameters(tagger),
                    "accuracy": ambiguous_accuracy(tagger, corpus), **look(tagger, corpus),
                }  # fmt: skip
                runs.append(run)
                print(run, flush=True)
                save("heads", {"runs": runs})


if __name__ == "__main__":
    main()
