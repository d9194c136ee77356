"""`python -m benchmarks.molecules DIR`: attention on molecules beside trees on descriptors, on the same split files.

DIR holds the folders esol, freesolv and lipophilicity. Settings were chosen on validation parts of ESOL. A test part is
read when the models of its split are trained; that of the deterministic scaffold division, once for each seed. What is
finished is kept in the results and not done again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
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
    """A table, its target, how it is divided, and the training for its size."""

    file: str
    target: str
    splits: Sequence[str]
    training: dict[str, Any]


CORPORA = {
    "esol": Corpus(
        "esol/delaney-train.csv",
        "measured log solubility in mols per litre",
        ("random", "scaffold", "scaffold_balanced"),
        {"batch_tokens": 400, "epochs": 60},
    ),
    "freesolv": Corpus(
        "freesolv/freesolv.csv", "expt", ("random",), {"batch_tokens": 400, "epochs": 60}
    ),
    "lipophilicity": Corpus(
        "lipophilicity/lipophilicity.csv", "exp", ("random",), {"batch_tokens": 1000, "epochs": 20}
    ),
}
SETTINGS: dict[str, Any] = {
    "inputs": {"descriptors": True},
    "encoder": {"kind": "gatv2", "width": 64, "layers": 2},
    "pooling": {"hidden": 256, "dropout": 0.4},
}
TREES = tuple(name for name, each in BASELINES.items() if each.input in (None, Molecules))
"""Baselines of molecules."""
TRAINING = {"learning_rate": 2e-3, "weight_decay": 0.3, "threads": 1}


def root_mean_square(errors: np.ndarray) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(errors**2)))


def measure(name: str, kind: str, seed: int, data: Path, out: Path) -> dict[str, Any]:
    """Train an ensemble of five and the baselines on one split, and return their errors on its test part."""
    corpus = CORPORA[name]
    table = data / corpus.file
    columns = {"target": corpus.target}
    folder = out / f"{name}-{kind}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    config = RegressMoleculesConfig.model_validate({"data": {**columns, "train": [str(table)]}})
    whole = REGRESS.reader.read([str(table)], config.data, "train")
    splits = folder / "splits.json"
    save_splits(splits, [split_molecules(whole.inputs, kind, seed=seed)])
    start = time.monotonic()
    model = heedful.train(
        "regress-molecules", train=str(table), splits_file=str(splits), out=folder / "run", overwrite=True,
        ensemble={"members": 5}, data=columns, **SETTINGS,
        training={**TRAINING, **corpus.training, "seed": seed},
    )  # fmt: skip
    minutes = (time.monotonic() - start) / 60
    section = model.predictor.config.data
    train, valid = REGRESS.reader.read_training(section)
    test = REGRESS.reader.read_test(None, section)
    found: dict[str, Any] = {
        "molecules": [len(train), len(valid), len(test)],
        "minutes": round(minutes, 1),
    }
    found["valid"] = model.evaluate(valid).rmse
    wanted = np.array([float(answers[0]) for answers in test.answers])
    scores = model.evaluate(test)
    found["ensemble"] = scores.rmse
    found["coverage"], found["interval_width"] = scores.coverage, scores.interval_width
    found["single"] = [
        root_mean_square(each - wanted) for each in member_predictions(model.predictor, test.inputs)
    ]
    for baseline in TREES:
        _, predict = fit_baseline(baseline, REGRESS, model.predictor.config, train, seed)
        values = np.array([each.value for each in predict(test)])
        found[baseline] = root_mean_square(values - wanted)
    print(f"{name}, {kind}, seed {seed}: {found}", flush=True)
    return found


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
    """Return the results as a table in Markdown: mean ± deviation over the splits."""
    names = ["single", "ensemble", *TREES]
    lines = [
        f"| set | split (parts) | {' | '.join(names)} | intervals hold |",
        f"|{'---|' * (len(names) + 3)}",
    ]
    for corpus, of in CORPORA.items():
        for kind in of.splits:
            runs = [run for key, run in results.items() if key.startswith(f"{corpus} {kind} ")]
            if not runs:
                continue
            cells = []
            for name in names:
                each = [statistics.fmean(np.atleast_1d(run[name]).tolist()) for run in runs]
                spread = f" ± {statistics.stdev(each):.3f}" if len(each) > 1 else ""
                cells.append(f"{statistics.fmean(each):.3f}{spread}")
            held = f"{statistics.fmean(run['coverage'] for run in runs):.0%}"
            lines.append(f"| {corpus} | {kind} ({len(runs)}) | {' | '.join(cells)} | {held} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is not measured yet, and write benchmarks/results/molecules.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.molecules", description=__doc__)
    parser.add_argument("data", type=Path, metavar="DIR", help="folder of the three sets")
    parser.add_argument(
        "names", nargs="*", metavar="SET", help=f"{', '.join(CORPORA)}; all if none"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/molecules"), help="where the runs go"
    )
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    for name in options.names or CORPORA:
        if name not in CORPORA:
            parser.error(f"unknown set {name!r}; the sets are {', '.join(CORPORA)}")
        for kind in CORPORA[name].splits:
            for seed in range(options.seeds):
                key = f"{name} {kind} {seed}"
                if key in results:
                    continue
                results[key] = measure(name, kind, seed, options.data, options.out)
                RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table_of(results))


if __name__ == "__main__":
    main()
