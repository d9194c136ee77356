"""`python -m benchmarks.molecules DIR`: attention on molecules beside baselines, on the same split files.

DIR holds the folders esol, freesolv and lipophilicity. Settings were chosen by `benchmarks.molecule_settings`, on
molecules that are in no test part. A test part is read when the models of its split are trained; that of the
deterministic scaffold division, once for each seed. What is finished is kept in the results and not done again.

    python -m benchmarks.molecules DIR freesolv --seeds 10      ten parts
    python -m benchmarks.molecules DIR --plain          the networks read atoms and bonds alone, no descriptors
    python -m benchmarks.molecules DIR --chemprop PYTHON    chemprop too, on the same split files, with PYTHON of an
                                                        environment in which chemprop 2.3 is installed
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import heedful
from heedful.compare.baselines import BASELINES, fit_baseline
from heedful.data.molecules.splits import save_splits, split_molecules
from heedful.inputs.molecules import Molecules
from heedful.tasks.molecules import REGRESS, RegressMoleculesConfig

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "molecules.json"


@dataclass(frozen=True)
class Corpus:
    """A table, its target, how it is divided, and the settings for its size."""

    file: str
    target: str
    splits: Sequence[str]
    settings: dict[str, Any]
    training: dict[str, Any]


SMALL: dict[str, Any] = {
    "inputs": {"descriptors": True},
    "encoder": {"kind": "gatv2", "width": 64, "layers": 2},
    "pooling": {"hidden": 512, "dropout": 0.4},
    "kernel": {"share": 0.5},
}
"""For a thousand molecules or fewer."""
LARGE: dict[str, Any] = {
    "inputs": {"descriptors": True, "contributions": True},
    "encoder": {"kind": "gatv2", "width": 128, "layers": 3},
    "pooling": {"hidden": 256, "dropout": 0.3},
}
"""For thousands."""
CORPORA = {
    "esol": Corpus(
        "esol/delaney-train.csv",
        "measured log solubility in mols per litre",
        ("random", "scaffold", "scaffold_balanced"),
        SMALL,
        {"batch_tokens": 800, "epochs": 60, "weight_decay": 0.3},
    ),
    "freesolv": Corpus(
        "freesolv/freesolv.csv",
        "expt",
        ("random",),
        SMALL,
        {"batch_tokens": 400, "epochs": 60, "weight_decay": 0.3},
    ),
    "lipophilicity": Corpus(
        "lipophilicity/lipophilicity.csv",
        "exp",
        ("random",),
        LARGE,
        {"batch_tokens": 750, "epochs": 40, "weight_decay": 0.3},
    ),
}
PLAIN, CHEMPROP = " plain", " chemprop"
"""What follows the name, the split and the seed of a result."""
WITHOUT_NETWORK = tuple(name for name, each in BASELINES.items() if each.input in (None, Molecules))
"""Baselines of molecules."""
FEW = 3
"""Parts of a line of the table, beside the line of all."""
TRAINING = {
    "learning_rate": 2e-3,
    "threads": 1,
    # The weights of the end, not those of the epoch that a few dozen validation molecules like best.
    "average_epochs": 3,
    "keep_average": "always",
}


def root_mean_square(errors: np.ndarray) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(errors**2)))


def prepare(name: str, kind: str, seed: int, data: Path, folder: Path) -> tuple[Path, Path]:
    """Divide a set, and return its table and the file of the parts."""
    corpus = CORPORA[name]
    table = data / corpus.file
    folder.mkdir(parents=True, exist_ok=True)
    config = configuration(name, table)
    whole = REGRESS.reader.read([str(table)], config.data, "train")
    splits = folder / "splits.json"
    save_splits(splits, [split_molecules(whole.inputs, kind, seed=seed)])
    return table, splits


def configuration(name: str, table: Path, splits: Path | None = None) -> RegressMoleculesConfig:
    """Return the configuration of a table and, if there is one, the file of its parts."""
    section: dict[str, Any] = {"target": CORPORA[name].target, "train": [str(table)]}
    if splits is not None:
        section["splits_file"] = str(splits)
    return RegressMoleculesConfig.model_validate({"data": section})


def test_part(name: str, table: Path, splits: Path) -> Any:
    """Return the test part of a division."""
    return REGRESS.reader.read_test(None, configuration(name, table, splits).data)


def measured_targets(test: Any) -> np.ndarray:
    """Return what was measured of the molecules of a test part."""
    return np.array([float(answers[0]) for answers in test.answers])


def measure(name: str, kind: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train an ensemble of five on one split, and return its errors on the test part."""
    corpus = CORPORA[name]
    plain = "-plain" if options.plain else ""
    folder = options.out / f"{name}-{kind}-{seed}{plain}"
    table, splits = prepare(name, kind, seed, options.data, folder)
    start = time.monotonic()
    settings = {**corpus.settings, "inputs": {}, "kernel": {}} if options.plain else corpus.settings
    model = heedful.train(
        "regress-molecules", train=str(table), splits_file=str(splits), out=folder / "run", overwrite=True,
        ensemble={"members": 5}, data={"target": corpus.target}, **settings,
        training={**TRAINING, **corpus.training, "seed": seed},
    )  # fmt: skip
    minutes = (time.monotonic() - start) / 60
    train, valid = REGRESS.reader.read_training(model.predictor.config.data)
    test = test_part(name, table, splits)
    scores = model.evaluate(test)
    wanted = measured_targets(test)
    found: dict[str, Any] = {
        "molecules": [len(train), len(valid), len(test)],
        "minutes": round(minutes, 1),
        "valid": model.evaluate(valid).rmse,
        "ensemble": scores.rmse,
        "coverage": scores.coverage,
        "interval_width": scores.interval_width,
        "single": [
            root_mean_square(each - wanted)
            for each in member_predictions(model.predictor, test.inputs)
        ],
    }
    print(f"{name}, {kind}, seed {seed}{plain}: {found}", flush=True)
    return found


def measure_baseline(
    baseline: str, name: str, kind: str, seed: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Fit a baseline on one split, and return its error on the test part."""
    table, splits = prepare(name, kind, seed, options.data, options.out / f"{name}-{kind}-{seed}")
    config = configuration(name, table, splits)
    train, _ = REGRESS.reader.read_training(config.data)
    test = test_part(name, table, splits)
    _, predict = fit_baseline(baseline, REGRESS, config, train, seed)
    error = root_mean_square(
        np.array([each.value for each in predict(test)]) - measured_targets(test)
    )
    print(f"{baseline}, {name}, {kind}, seed {seed}: {error:.3f}", flush=True)
    return {"rmse": error}


def measure_chemprop(
    name: str, kind: str, seed: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Train an ensemble with chemprop's defaults on one split, and return its errors on the test part.

    The seed of its weights is that of the split. It runs on one thread of the CPU, as ours do.
    """
    folder = options.out / f"{name}-{kind}-{seed}-chemprop"
    table, splits = prepare(name, kind, seed, options.data, folder)
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    members = options.chemprop_members
    command = [
        options.chemprop, "-c", "from chemprop.cli.main import main; main()", "train",
        "--data-path", str(table), "--smiles-columns", "smiles", "--target-columns", CORPORA[name].target,
        "--task-type", "regression", "--splits-file", str(splits), "--output-dir", str(out),
        "--ensemble-size", str(members), "--epochs", str(options.chemprop_epochs), "--pytorch-seed", str(seed),
        "--accelerator", "cpu", "--num-workers", "0",
    ]  # fmt: skip
    start = time.monotonic()
    # Its environment is its own: ours is no place to look for modules.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with (folder / "chemprop.log").open("w", encoding="utf-8") as log:
        ran = subprocess.run(
            command,
            stdout=log,
            stderr=log,
            env={**environment, "OMP_NUM_THREADS": "1"},
            check=False,
        )
    if ran.returncode:
        log_file = folder / "chemprop.log"
        last = log_file.read_text("utf-8", errors="replace").strip().splitlines()[-1:]
        sys.exit(f"chemprop failed ({' '.join(last)}); see {log_file}")
    minutes = (time.monotonic() - start) / 60
    test = test_part(name, table, splits)
    wanted = measured_targets(test)
    each = [
        chemprop_predictions(out / f"model_{number}" / "test_predictions.csv", test.inputs)
        for number in range(members)
    ]
    found = {
        "epochs": options.chemprop_epochs,
        "minutes": round(minutes, 1),
        "single": [root_mean_square(one - wanted) for one in each],
        "ensemble": root_mean_square(np.mean(each, axis=0) - wanted),
    }
    print(f"chemprop, {name}, {kind}, seed {seed}: {found}", flush=True)
    return found


def chemprop_predictions(path: Path, smiles: Sequence[str]) -> np.ndarray:
    """Return what a network of chemprop predicts of the test part, in its order."""
    with path.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    if [row[0] for row in rows] != list(smiles):
        sys.exit(
            f"{path} holds other molecules than the test part of the split, or in another order"
        )
    return np.array([float(row[-1]) for row in rows])


def member_predictions(predictor: Any, inputs: Sequence[str]) -> list[np.ndarray]:
    """Return what each member of an ensemble predicts by itself."""
    ensemble = predictor.model
    found = []
    for member in ensemble.members:
        predictor.model = member
        found.append(np.array([each.value for each in predictor.predict(inputs)]))
    predictor.model = ensemble
    return found


def table_of(results: dict[str, Any]) -> str:
    """Return the results as a table in Markdown: mean ± deviation over the splits, of the first three and of all.

    Of chemprop in brackets the parts that were measured, where they are fewer.
    """
    names = ["single", "ensemble", *WITHOUT_NETWORK, "chemprop single", "chemprop ensemble"]
    lines = [
        f"| set | split (parts) | {' | '.join(names)} | intervals hold | minutes, chemprop's |",
        f"|{'---|' * (len(names) + 4)}",
    ]
    for corpus, of in CORPORA.items():
        for kind in of.splits:
            for plain in ("", PLAIN):
                prefix = f"{corpus} {kind} "
                seeds = [seed for seed in range(100) if f"{prefix}{seed}{plain}" in results]
                for count in sorted({min(FEW, len(seeds)), len(seeds)} - {0}):
                    keys = [f"{prefix}{seed}" for seed in seeds[:count]]
                    lines.append(_row(corpus, kind + plain, keys, plain, results))
    return "\n".join(lines)


def _row(corpus: str, kind: str, keys: Sequence[str], plain: str, results: dict[str, Any]) -> str:
    runs = [results[key + plain] for key in keys]
    others = [results[key + CHEMPROP] for key in keys if key + CHEMPROP in results]
    cells = [spread([run[name] for run in runs]) for name in ("single", "ensemble")]
    for baseline in WITHOUT_NETWORK:
        errors = [results.get(f"{key} {baseline}") for key in keys]
        cells.append(spread([each["rmse"] for each in errors if each]))
    of = f" ({len(others)})" if 0 < len(others) < len(keys) else ""
    cells += [spread([other[name] for other in others]) + of for name in ("single", "ensemble")]
    held = f"{statistics.fmean(run['coverage'] for run in runs):.0%}"
    took = ", ".join(
        f"{statistics.fmean(one['minutes'] for one in each):.1f}" if each else "–"
        for each in (runs, others)
    )
    return f"| {corpus} | {kind} ({len(keys)}) | {' | '.join(cells)} | {held} | {took} |"


def spread(values: Sequence[Any]) -> str:
    """Return mean ± deviation of errors, of which several of one split are averaged first."""
    each = [statistics.fmean(np.atleast_1d(value).tolist()) for value in values]
    if not each:
        return "–"
    deviation = f" ± {statistics.stdev(each):.3f}" if len(each) > 1 else ""
    return f"{statistics.fmean(each):.3f}{deviation}"


def main() -> None:
    """Measure what is not measured yet, and write benchmarks/results/molecules.json."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.molecules", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data", type=Path, metavar="DIR", help="folder of the three sets")
    parser.add_argument(
        "names", nargs="*", metavar="SET", help=f"{', '.join(CORPORA)}; all if none"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/molecules"), help="where the runs go"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--kinds", nargs="+", metavar="SPLIT", help="only these divisions, such as random"
    )
    parser.add_argument(
        "--plain", action="store_true", help="no descriptors: atoms and bonds alone"
    )
    parser.add_argument(
        "--chemprop", metavar="PYTHON", help="run chemprop too, with the Python of its environment"
    )
    parser.add_argument("--chemprop-epochs", type=int, default=50, metavar="N")
    parser.add_argument("--chemprop-members", type=int, default=5, metavar="N")
    parser.add_argument(
        "--only-chemprop",
        action="store_true",
        help="train no networks of ours on what is not measured",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    options = parser.parse_args()
    results = json.loads(options.results.read_text("utf-8")) if options.results.exists() else {}
    measures: list[tuple[str, Callable[..., dict[str, Any]]]] = []
    if not options.only_chemprop:
        measures.append((PLAIN if options.plain else "", measure))
        measures += [(f" {each}", partial(measure_baseline, each)) for each in WITHOUT_NETWORK]
    if options.chemprop:
        measures.append((CHEMPROP, measure_chemprop))
    for name in options.names or CORPORA:
        if name not in CORPORA:
            parser.error(f"unknown set {name!r}; the sets are {', '.join(CORPORA)}")
        for kind in options.kinds or CORPORA[name].splits:
            if kind not in CORPORA[name].splits:
                parser.error(
                    f"{name} is divided by {', '.join(CORPORA[name].splits)}, not {kind!r}"
                )
            for seed in range(options.seeds):
                for suffix, run in measures:
                    key = f"{name} {kind} {seed}{suffix}"
                    if key in results:
                        continue
                    results[key] = run(name, kind, seed, options)
                    text = json.dumps(results, indent=1) + "\n"
                    options.results.write_text(text, encoding="utf-8")
    print(table_of(results))


if __name__ == "__main__":
    main()
