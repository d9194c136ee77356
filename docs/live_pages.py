"""Live pages of the explorer, of small models that learn from made-up data: `python docs/live_pages.py FOLDER [NAME…]`.

The build of the site runs this too; all of it takes a minute or two of one core.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

import heedful
from heedful.data.builtin import load_builtin_audio, numbers, saw
from heedful.explore import draw_html

QUICK: Final = {"threads": 1, "average_epochs": 1}


def translator(folder: Path) -> str:
    """Numbers in English words to French, German and Spanish, by a Transformer."""
    corpus = numbers.build(train_size=4000, valid_size=100, test_size=1)
    model = heedful.train(
        "translate",
        train=corpus.train,
        valid=corpus.valid,
        out=folder,
        model={
            "kind": "transformer",
            "width": 64,
            "heads": 4,
            "encoder_layers": 2,
            "decoder_layers": 2,
        },
        vocabulary={"kind": "word", "min_frequency": 1},
        training={
            **QUICK,
            "epochs": 20,
            "batch_tokens": 600,
            "learning_rate": 2e-3,
            "warmup_steps": 50,
        },
        decoding={"beam": 1},
    )
    return model.explain(
        "es: seventy-two thousand, four hundred and sixty-eight", measures=True, steps=True
    ).html()


def tagger(folder: Path) -> str:
    """Nouns and verbs that look alike, by a Transformer."""
    corpus = saw.build(train_size=2000, valid_size=100, test_size=1)
    model = heedful.train(
        "tag",
        train=corpus.train,
        valid=corpus.valid,
        out=folder,
        encoder={"kind": "transformer", "width": 32, "heads": 4, "layers": 2},
        training={**QUICK, "epochs": 4, "batch_tokens": 600, "learning_rate": 3e-3},
    )
    return model.explain("i saw a saw in the garden").html()


def classifier(folder: Path) -> str:
    """Whether a film is praised, by a window of words with attention; "not" turns what follows around."""
    good, bad = ("good", "funny", "moving", "fine"), ("dull", "bad", "slow", "weak")
    rows = [
        {
            "text": f"{start} {no}{word} {end}",
            "label": "praise" if (word in good) != bool(no) else "blame",
        }
        for start, no, word, end in itertools.product(
            ("a film that is", "the story was", "i found it", "this one is"),
            ("", "not "),
            (*good, *bad),
            ("from the first minute", "to the end", "as a whole", "in every scene"),
        )
    ]
    model = heedful.train(
        "classify",
        train=rows,
        out=folder,
        encoder={"kind": "window", "hidden": 32},
        training={**QUICK, "epochs": 15, "batch_tokens": 200, "learning_rate": 5e-3},
    )
    return model.explain("the story was not dull to the end", measures=True).html()


def speech(folder: Path) -> str:
    """Whether the last of some tones is higher than the first, by a Transformer on spectrograms."""
    model = heedful.train(
        "classify-audio", train="builtin:tones", out=folder, training={**QUICK, "epochs": 6}
    )
    framing = model.config.data.framing()
    return model.explain(load_builtin_audio("tones").test[0].clip(framing).wave).html()


def image(folder: Path) -> str:
    """Whether there is a disc or a ring somewhere among noise, by convolutions with attention over their cells."""
    rng = np.random.default_rng(0)

    def draw(is_ring: bool) -> Any:
        pixels = rng.integers(0, 60, (32, 32, 1)).astype(np.uint8)
        rows, columns = np.mgrid[:32, :32]
        row, column = rng.integers(6, 26, 2)
        distance = (rows - row) ** 2 + (columns - column) ** 2
        pixels[(distance <= 20) & ((distance > 6) | (not is_ring))] = 220
        return pixels

    kinds = [bool(n % 2) for n in range(400)]
    rows = [{"image": draw(kind), "label": "ring" if kind else "disc"} for kind in kinds]
    model = heedful.train(
        "classify-images",
        train=rows,
        out=folder,
        size=32,
        patch=4,
        encoder={"kind": "convolution", "hidden": 32, "layers": 1},
        training={**QUICK, "epochs": 10, "batch_tokens": 1000, "learning_rate": 3e-3},
    )
    return model.explain(draw(True)).html()


def molecule(folder: Path) -> str:
    """Whether a molecule can give a hydrogen bond from an oxygen, by graph attention."""
    chains = ("C", "CC", "CCC", "CC(C)C", "c1ccccc1", "C1CCCCC1", "CCN", "CCCl", "CC(=O)C", "CCOC")
    groups = ("O", "N", "COC", "N#CC", "Cl", "CC(=O)C", "OC", "F", "CN(C)C", "OCC")
    rows = [
        {"smiles": f"{group}{chain}", "label": "donor" if group[0] == "O" else "none"}
        for chain, group in itertools.product(chains, groups)
    ]
    model = heedful.train(
        "classify-molecules",
        train=rows,
        out=folder,
        label="label",
        encoder={"kind": "gatv2", "width": 32, "heads": 4, "layers": 2},
        training={**QUICK, "epochs": 30, "batch_tokens": 200, "learning_rate": 3e-3},
    )
    return model.explain("OCC(C)C1CCCCC1").html()


def hugging_face(folder: Path) -> str:
    """A GPT-2 of transformers with random weights: what attention looks like before anything is learned."""
    import torch
    import transformers

    from heedful.explore import record_transformer

    torch.manual_seed(0)
    words = [
        "the",
        "animal",
        "did",
        "not",
        "cross",
        "the",
        "street",
        "because",
        "it",
        "was",
        "too",
        "tired",
    ]
    size = {"n_embd": 96, "n_layer": 4, "n_head": 6, "vocab_size": 50}
    config = transformers.GPT2Config(**size, bos_token_id=0, eos_token_id=0)
    model = transformers.GPT2LMHeadModel(config).eval()
    ids = torch.tensor([[sorted(set(words)).index(word) for word in words]])
    records = record_transformer(model, {"input_ids": ids}, tokens=words)
    return draw_html(records, title="A GPT-2 of random weights")


PAGES: Final[dict[str, tuple[str, Callable[[Path], str]]]] = {
    "translator": ("a translator of numbers", translator),
    "tagger": ("a tagger", tagger),
    "classifier": ("a classifier of texts", classifier),
    "speech": ("a classifier of recordings", speech),
    "image": ("a classifier of images", image),
    "molecule": ("a classifier of molecules", molecule),
    "hugging-face": ("a Hugging Face model of random weights", hugging_face),
}
"""Name of the file -> what it shows, and what makes it."""


def write(folder: Path, names: tuple[str, ...] = tuple(PAGES)) -> list[Path]:
    """Train the models in a temporary folder, and write their pages into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in names:
        with tempfile.TemporaryDirectory() as place:
            text = PAGES[name][1](Path(place, name))
        written.append(folder / f"{name}.html")
        written[-1].write_text(text, encoding="utf-8")
    return written


def main() -> None:
    """Write the pages that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", choices=list(PAGES), default=list(PAGES))
    given = parser.parse_args()
    for path in write(given.folder, tuple(given.names)):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
