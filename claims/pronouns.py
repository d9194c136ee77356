"""Claim 13: "it" in "the animal did not cross the street because it was too tired" looks at what it stands for."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch

from claims.common import quiet, save, train_tagger, train_translator
from heedful.data.builtin.corpus import TaggedCorpus
from heedful.data.files import Pairs, read_pairs
from heedful.data.label_base import Sentence
from heedful.data.labelled import Labelled
from heedful.explore.predicted import record_prediction
from heedful.explore.roles.words import predictor_reader
from heedful.nn.multi_head import MultiHeadAttention
from heedful.ops.masks import Dense
from heedful.tasks.predictor import Predictor

SEEDS = (0, 1, 2)
EPOCHS = 25
ENCODER: dict[str, Any] = {
    "kind": "transformer", "width": 64, "feed_forward": 128, "heads": 4, "layers": 2,
}  # fmt: skip
MOVERS = [
    "animal",
    "dog",
    "cat",
    "horse",
    "child",
    "girl",
    "boy",
    "robot",
    "driver",
    "farmer",
    "walker",
    "sheep",
]
PLACES = [
    "street", "road", "river", "bridge", "desert", "field", "valley", "lake", "forest", "square", "tunnel", "hill",
]  # fmt: skip
THINGS = [
    "trophy",
    "book",
    "lamp",
    "ball",
    "box",
    "bag",
    "case",
    "drawer",
    "basket",
    "chest",
    "crate",
    "jar",
]
OF_MOVERS = ["tired", "weak", "lazy", "afraid", "sleepy", "hungry"]
OF_PLACES = ["wide", "deep", "steep", "muddy", "busy", "long"]
OF_FIRST = ["big", "large", "thick", "bulky"]
OF_SECOND = ["small", "tiny", "narrow", "tight"]
IT, OTHER = "it", "-"


@dataclass(frozen=True)
class Item:
    """A sentence, and where what "it" stands for and the other noun are."""

    words: tuple[str, ...]
    right: int
    wrong: int
    frame: str

    @property
    def it(self) -> int:
        """The position of "it"."""
        return self.words.index(IT)

    def sentence(self) -> Sentence:
        """Return the sentence with the noun as the label of "it"."""
        labels = [self.words[self.right] if word == IT else OTHER for word in self.words]
        return Sentence(self.words, tuple(labels))


def held_out(noun: str, adjective: str) -> bool:
    """Whether a noun and an adjective never stand in one sentence of the training: a quarter of the pairs."""
    every = [*MOVERS, *PLACES, *THINGS]
    kinds = [*OF_MOVERS, *OF_PLACES, *OF_FIRST, *OF_SECOND]
    return (every.index(noun) + kinds.index(adjective)) % 4 == 0


def cross(first: str, second: str, adjective: str, *, after: bool) -> Item:
    """What kind of noun fits the adjective decides: an animal is tired, a street is wide."""
    if after:
        text = f"because {IT} was too {adjective} the {first} did not cross the {second} ."
    else:
        text = f"the {first} did not cross the {second} because {IT} was too {adjective} ."
    return item(text, first, second, adjective in OF_MOVERS, "cross")


def fit(first: str, second: str, adjective: str, *, after: bool) -> Item:
    """What the noun does decides: what is put in is too big, what it is put into is too small."""
    if after:
        text = f"because {IT} was too {adjective} the {first} did not fit into the {second} ."
    else:
        text = f"the {first} did not fit into the {second} because {IT} was too {adjective} ."
    return item(text, first, second, adjective in OF_FIRST, "fit")


def item(text: str, first: str, second: str, means_first: bool, kind: str) -> Item:
    """Return a sentence with the places of the noun that "it" means and of the other."""
    words = tuple(text.split())
    nouns = [words.index(first), words.index(second)]
    right, wrong = nouns if means_first else nouns[::-1]
    return Item(words, right, wrong, kind)


def items() -> list[Item]:
    """Return every sentence of the grammar."""
    found = []
    for after in (False, True):
        for first, second, adjective in itertools.product(MOVERS, PLACES, OF_MOVERS + OF_PLACES):
            found.append(cross(first, second, adjective, after=after))
        for first, second in itertools.permutations(THINGS, 2):
            found += [fit(first, second, each, after=after) for each in OF_FIRST + OF_SECOND]
    return found


def split(seed: int) -> tuple[list[Item], list[Item]]:
    """Return training and test sentences; in a test sentence the noun of "it" is new with its adjective."""
    train, test = [], []
    for item in items():
        adjective = item.words[item.words.index("too") + 1]
        new = [held_out(item.words[place], adjective) for place in (item.right, item.wrong)]
        if not any(new):
            train.append(item)
        elif new[0]:
            test.append(item)
    rng = random.Random(seed)
    return rng.sample(train, 3_000), rng.sample(test, 400)


def corpus(train: Sequence[Item], test: Sequence[Item]) -> TaggedCorpus:
    """Return a corpus; the best epoch is chosen on other sentences of the training's kind."""
    parts = [
        Labelled([each.sentence() for each in part]) for part in (train[200:], train[:200], test)
    ]
    return TaggedCorpus(*parts, description="it", test_distances=())


@contextlib.contextmanager
def cut(predictor: Predictor, query: int, key: int) -> Iterator[None]:
    """In every layer and head, hide one position from another."""
    patched = [each for each in predictor.model.modules() if isinstance(each, MultiHeadAttention)]

    def forward(module: MultiHeadAttention) -> Any:
        def hidden(states: Any, *args: Any, mask: Any = None, **options: Any) -> Any:
            keep = torch.ones(states.shape[-2], states.shape[-2], dtype=torch.bool)
            keep[query, key] = False
            own = Dense(keep) if mask is None else mask & Dense(keep)
            return type(module).forward(module, states, *args, mask=own, **options)

        return hidden

    try:
        for module in patched:
            module.forward = forward(module)  # type: ignore[method-assign]
        yield
    finally:
        for module in patched:
            del module.forward


def answer(predictor: Predictor, words: Sequence[str], place: int) -> dict[str, float]:
    """Return the probability of each noun at a position."""
    [found] = predictor.predict([list(words)])
    return dict(found.probabilities[place])


def measure(predictor: Predictor, test: Sequence[Item]) -> dict[str, Any]:
    """Return how often the answer is right, where "it" looks, and what hiding and changing words does."""
    right: dict[str, list[bool]] = {"cross": [], "fit": []}
    looks: list[Any] = []
    kept: dict[str, list[float]] = {}
    follows, attended = [], []
    for number, item in enumerate(test):
        words, it = list(item.words), item.it
        noun, other = words[item.right], words[item.wrong]
        plain = answer(predictor, words, it)
        right[item.frame].append(max(plain, key=plain.__getitem__) == noun)
        [prediction] = predictor.predict([words])
        records = record_prediction(predictor, words, prediction)
        weights = np.stack([record.weights[:, it] for record in records])
        looks.append((weights[..., item.right], weights[..., item.wrong]))
        kept.setdefault("nothing", []).append(plain[noun])
        more = max((item.right, item.wrong), key=weights.mean(axis=(0, 1)).__getitem__)
        attended.append(more == item.right)
        for name, place in (
            ("right noun", item.right), ("other noun", item.wrong), ("noun it looks at more", more),
        ):  # fmt: skip
            with cut(predictor, it, place):
                kept.setdefault(f"cut from the {name}", []).append(
                    answer(predictor, words, it)[noun]
                )
        rng = random.Random(number)
        kinds = next(kind for kind in (MOVERS, PLACES, THINGS) if noun in kind)
        fresh = rng.choice([each for each in kinds if each not in (noun, other)])
        changed = [*words]
        changed[item.right] = fresh
        found = answer(predictor, changed, it)
        follows.append(max(found, key=found.__getitem__) == fresh)
    on_right, on_wrong = (np.stack(each) for each in zip(*looks, strict=True))
    return {
        "accuracy": {frame: fmean(each) for frame, each in right.items()},
        **pointing(on_right, on_wrong),
        "probability": {name: fmean(each) for name, each in kept.items()},
        "follows": fmean(follows),
        "looks_right": fmean(attended),
    }


def pointing(on_right: Any, on_wrong: Any) -> dict[str, Any]:
    """Return how often each head has more weight on the right noun, the best head chosen on every other sentence."""
    points = on_right > on_wrong
    chosen = np.unravel_index(points[::2].mean(axis=0).argmax(), points.shape[1:])
    return {
        "points": np.round(points[1::2].mean(axis=0), 4).tolist(),
        "head": [int(each) + 1 for each in chosen],
        "best_points": float(points[1::2][:, chosen[0], chosen[1]].mean()),
        "weight_right": float(on_right[1::2][:, chosen[0], chosen[1]].mean()),
        "weight_other": float(on_wrong[1::2][:, chosen[0], chosen[1]].mean()),
        "mean_right": np.round(on_right.mean(axis=(0, 2)), 4).tolist(),
        "mean_other": np.round(on_wrong.mean(axis=(0, 2)), 4).tolist(),
    }


CAPTION_MOVERS = ["dog", "man", "boy", "horse", "child"]
CAPTION_PLACES = ["street", "road", "river", "bridge", "field"]
CAPTION_ADJECTIVES = {"movers": ("tired", "old", "small"), "places": ("wide", "busy", "long")}


def translator(pairs: tuple[str, str], valid: tuple[str, str]) -> dict[str, Any]:
    """Train a small translator on ordinary text, and look at "it" in sentences of its words."""
    read, held = read_pairs(*pairs), read_pairs(*valid)
    lower = [[text.lower() for text in side] for side in (read.source, read.target)]
    check = [[text.lower() for text in side] for side in (held.source, held.target)]
    model = {
        "kind": "transformer", "width": 64, "feed_forward": 128, "heads": 4, "encoder_layers": 2, "decoder_layers": 1,
    }  # fmt: skip
    trained = train_translator(
        Pairs(lower[0][:12_000], lower[1][:12_000], name="captions"),
        Pairs(check[0][:200], check[1][:200], name="held out"),
        model, 0, vocabulary="word", epochs=6, batch_tokens=1_500,
    )  # fmt: skip
    bleu = trained.evaluate(Pairs(check[0][200:], check[1][200:], name="for BLEU")).bleu
    read_words = predictor_reader(trained)
    on_right, on_wrong = [], []
    for first, second in itertools.product(CAPTION_MOVERS, CAPTION_PLACES):
        for place, adjectives in enumerate(CAPTION_ADJECTIVES.values()):
            for adjective in adjectives:
                words = f"the {first} is not crossing the {second} because it is too {adjective} .".split()
                nouns = [words.index(first), words.index(second)]
                found = read_words(words)
                assert found is not None
                weights = np.stack([layer[:, words.index("it")] for layer in found.layers])
                on_right.append(weights[..., nouns[place]])
                on_wrong.append(weights[..., nouns[1 - place]])
    order = np.random.default_rng(0).permutation(len(on_right))
    found = pointing(np.stack(on_right)[order], np.stack(on_wrong)[order])
    return {"bleu": bleu, "sentences": len(on_right), **found}


def main() -> None:
    """Train taggers of "it" and a translator, and write where "it" looks."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--pairs", "--valid"):
        parser.add_argument(name, nargs=2, required=True, metavar=("SOURCE", "TARGET"))
    options = parser.parse_args()
    quiet()
    runs = []
    for seed in SEEDS:
        began = time.process_time()
        train, test = split(seed)
        predictor = train_tagger(corpus(train, test), ENCODER, seed, epochs=EPOCHS)
        run = {"seed": seed, **measure(predictor, test)}
        runs.append(run)
        print(run, f"{time.process_time() - began:.0f} s", flush=True)
    began = time.process_time()
    of_translator = translator(tuple(options.pairs), tuple(options.valid))
    print(of_translator, f"{time.process_time() - began:.0f} s", flush=True)
    save("pronouns", {"runs": runs, "translator": of_translator})


if __name__ == "__main__":
    main()
