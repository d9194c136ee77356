"""`python -m benchmarks.molecule_settings DIR SET`: settings of networks on molecules, compared without a test part.

Only molecules are used that are in none of the test parts of `benchmarks.molecules`: 485 of ESOL, 3,065 of
Lipophilicity. They are divided into five folds at random, or by scaffolds: then a fifth of the scaffolds is held out,
and the most frequent ones, as in the splits, never. For each a variant is trained on the others, and its error is that
on all held-out molecules together. DIR is as in `benchmarks.molecules`.

    python -m benchmarks.molecule_settings DIR esol
    python -m benchmarks.molecule_settings DIR esol --scaffolds
    python -m benchmarks.molecule_settings DIR lipophilicity --folds 1 --variants narrow recipe
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import heedful
from benchmarks.molecules import (
    CORPORA,
    TRAINING,
    WITHOUT_NETWORK,
    configuration,
    root_mean_square,
    test_part,
)
from heedful.compare.baselines import fit_baseline
from heedful.data.molecules.splits import Split, save_splits, scaffold, split_molecules
from heedful.tasks.molecules import REGRESS

PARTS = {"random": 3, "scaffold": 1, "scaffold_balanced": 3}
"""How many test parts of each division are kept out; the deterministic one has one."""
FOLDS = 5
VALID = 0.1
"""Share of the training molecules for validation, on which nothing depends here."""
SETS = ("esol", "lipophilicity")
ATOMS: dict[str, Any] = {"descriptors": False, "contributions": False}
NO_KERNEL: dict[str, Any] = {"share": 0.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "recipe": {},
    "no kernel": {"kernel": NO_KERNEL},
    "half kernel": {"kernel": {"share": 0.5}},
    "contributions": {"inputs": {"contributions": True}},
    "no contributions": {"inputs": {"contributions": False}},
    "atoms": {"inputs": ATOMS, "kernel": NO_KERNEL},
    "atoms, contributions": {"inputs": {**ATOMS, "contributions": True}, "kernel": NO_KERNEL},
    "gated sum": {"pooling": {"normalizer": "sigmoid"}},
    "narrow": {"encoder": {"width": 64, "layers": 2}},
    "descriptor dropout 0.4": {"inputs": {"descriptor_dropout": 0.4}},
    "descriptor dropout 0.3": {"inputs": {"descriptor_dropout": 0.3}},
    "dropout 0.2": {"pooling": {"dropout": 0.2}},
    "hidden 256": {"pooling": {"hidden": 256}},
    "hidden 512": {"pooling": {"hidden": 512}},
    "batches of 400": {"training": {"batch_tokens": 400}},
    "batches of 1500": {"training": {"batch_tokens": 1500}},
    "20 epochs": {"training": {"epochs": 20}},
    "half the rate": {"training": {"learning_rate": 1e-3}},
    "best epoch": {"training": {"keep_average": "if_better"}},
    "weak": {"pooling": {"dropout": 0.2}, "training": {"weight_decay": 0.1}},
    "strong": {"pooling": {"dropout": 0.4}, "training": {"weight_decay": 0.3}},
    "graph-transformer": {"encoder": {"kind": "graph-transformer"}},
}
"""Changes of the recipe of a set."""


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return nested settings, those of `second` where both have one.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    found = dict(first)
    for name, value in second.items():
        is_section = isinstance(value, dict) and isinstance(found.get(name), dict)
        found[name] = merged(found[name], value) if is_section else value
    return found


def selection_folds(name: str, smiles: Sequence[str]) -> list[Split]:
    """Return folds of the molecules that are in no test part."""
    kept = set(range(len(smiles)))
    for kind in CORPORA[name].splits:
        for seed in range(PARTS[kind]):
            kept -= set(split_molecules(smiles, kind, seed=seed).test)
    rows = sorted(kept)
    random.Random(0).shuffle(rows)
    return [
        _fold([row for place, row in enumerate(rows) if place % FOLDS != n], rows[n::FOLDS], n)
        for n in range(FOLDS)
    ]


def scaffold_folds(folds: Sequence[Split], smiles: Sequence[str]) -> list[Split]:
    """Return as many divisions of the same molecules, each with a share of the scaffolds held out.

    Scaffolds of more than a tenth of the molecules are always in training, as in the scaffold splits.
    """
    groups: dict[str, list[int]] = {}
    count = sum(map(len, folds[0]))
    for row in sorted(row for part in folds[0] for row in part):
        groups.setdefault(scaffold(smiles[row]), []).append(row)
    small = [rows for rows in groups.values() if len(rows) <= VALID * count]
    random.Random(0).shuffle(small)
    held_out: list[list[int]] = [[] for _ in range(FOLDS)]
    for rows in small:
        min(held_out, key=len).extend(rows)
    return [
        _fold(sorted({row for part in folds[0] for row in part} - set(rows)), rows, n)
        for n, rows in enumerate(held_out[: len(folds)])
    ]


def _fold(others: Sequence[int], held_out: Sequence[int], number: int) -> Split:
    """Draw the validation molecules from those that are not held out."""
    rows = list(others)
    random.Random(100 + number).shuffle(rows)
    valid = round(VALID * len(rows))
    return Split(*(tuple(sorted(part)) for part in (rows[valid:], rows[:valid], held_out)))


def measure(name: str, variant: str, folds: Sequence[Split], options: argparse.Namespace) -> None:
    """Train a variant, or fit a baseline, on each fold and print its error on the held-out molecules of all."""
    corpus, folder = CORPORA[name], options.out / name
    folder.mkdir(parents=True, exist_ok=True)
    table, splits = options.data / corpus.file, folder / "splits.json"
    recipe = {**corpus.settings, "training": {**TRAINING, **corpus.training}}
    settings = merged(recipe, VARIANTS.get(variant, {}))
    errors, start = [], time.monotonic()
    for fold in folds:
        save_splits(splits, [fold])
        test = test_part(name, table, splits)
        if variant in WITHOUT_NETWORK:
            config = configuration(name, table, splits)
            train, _ = REGRESS.reader.read_training(config.data)
            _, predict = fit_baseline(variant, REGRESS, config, train, 0)
            predicted = predict(test)
        else:
            predicted = heedful.train(
                "regress-molecules", train=str(table), splits_file=str(splits), data={"target": corpus.target},
                out=folder / "run", overwrite=True, ensemble={"members": options.members}, **settings,
            ).predict(test.inputs)  # fmt: skip
        found = np.array([each.value for each in predicted])
        errors.append(found - np.array([float(answers[0]) for answers in test.answers]))
    each = [root_mean_square(one) for one in errors]
    spread = f" (± {statistics.stdev(each):.3f} between folds)" if len(each) > 1 else ""
    minutes = (time.monotonic() - start) / 60
    together = root_mean_square(np.concatenate(errors))
    print(f"{name}, {variant}: {together:.3f}{spread}, {minutes:.1f} minutes", flush=True)


def main() -> None:
    """Compare the variants."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.molecule_settings", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data", type=Path, metavar="DIR", help="folder of the sets")
    parser.add_argument("name", choices=SETS, metavar="SET", help=" or ".join(SETS))
    choices = [*VARIANTS, *WITHOUT_NETWORK]
    parser.add_argument("--variants", nargs="+", choices=choices, default=choices)
    parser.add_argument("--folds", type=int, default=FOLDS, help="only this many of the five folds")
    parser.add_argument("--scaffolds", action="store_true", help="hold out whole scaffolds")
    parser.add_argument("--members", type=int, default=1, help="networks of an ensemble")
    parser.add_argument("--out", type=Path, default=Path("runs/molecule-settings"))
    options = parser.parse_args()
    name = options.name
    table = options.data / CORPORA[name].file
    config = configuration(name, table)
    whole = REGRESS.reader.read([str(table)], config.data, "train")
    folds = selection_folds(name, whole.inputs)[: options.folds]
    if options.scaffolds:
        folds = scaffold_folds(folds, whole.inputs)
    for variant in options.variants:
        measure(name, variant, folds, options)


if __name__ == "__main__":
    main()
