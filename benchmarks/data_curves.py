"""`python -m benchmarks.data_curves DIR`: accuracy of image classifiers against the amount of training data.

Each of a convolutional network, a hybrid and a Vision Transformer is trained on 100 to all training images of
Fashion-MNIST, or of any folder of images in parts: once with equal numbers of steps, once with equal seconds of
training, several seeds each. A tenth of the training images is cut off first, chooses the epoch, and is what the curve
shows; `--test` also reads the test part, once, when all trainings have ended. Draws `data-curves.svg` and writes
benchmarks/results/data_curves.json, or the files that are named; a training that is there already is not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import heedful
from benchmarks.images import AUGMENTATION, MODELS, ROOT, TRAINING, read
from heedful.plots import (
    COLOURS,
    MARKERS,
    PANEL,
    Curve,
    draw_curves,
    house_style,
    label_curves,
    new_figure,
    save,
)

RESULTS = ROOT / "benchmarks" / "results" / "data_curves.json"
NAMES = ("cnn", "hybrid", "vit")
EXAMPLES = (100, 300, 1000, 3000, 10_000, 30_000, 60_000)
BUDGETS = ("steps", "seconds")
ENDLESS = 1_000_000
"""Epochs that no budget reaches."""
EPOCHS = 20
"""Validations within a budget, about."""

Results = dict[str, Any]


def settings_of(budget: str, amount: float, examples: int, seed: int) -> dict[str, Any]:
    """Return the section `training` of a training with a budget of steps or seconds.

    Small data are repeated: with 100 images an epoch is one step, and validating after each would take longer than
    training.
    """
    batch = min(TRAINING["batch_tokens"], 49 * examples)
    limit = {"max_steps": int(amount)} if budget == "steps" else {"max_seconds": float(amount)}
    return {
        **TRAINING, "batch_tokens": batch, "epochs": ENDLESS, "warmup_steps": 100,
        "seed": seed, **limit,
    }  # fmt: skip


def repeated(train: Any, examples: int, steps: float) -> Any:
    """Return the training images, so often that an epoch has about a `EPOCHS`-th of the steps."""
    images = TRAINING["batch_tokens"] // 49 * max(1.0, steps / EPOCHS)
    times = max(1, round(images / examples))
    return train.take([row for _ in range(times) for row in range(examples)])


def measure(
    name: str, budget: str, data: tuple[Any, Any], seed: int, options: argparse.Namespace
) -> Results:
    """Train one model and return its accuracy on the validation images, and what the training took."""
    train, valid = data
    amount = options.steps if budget == "steps" else options.seconds
    steps = options.steps if budget == "steps" else options.seconds * 4
    out = options.out / f"{name}-{budget}-{len(train)}-{seed}"
    model = heedful.train(
        "classify-images",
        train=repeated(train, len(train), steps),
        valid=valid,
        out=out,
        overwrite=True,
        augmentation=AUGMENTATION,
        training=settings_of(budget, amount, len(train), seed),
        **MODELS[name],
    )
    *_, last, _ = heedful.run_folder.read_metrics(model.run)
    return {
        "accuracy": model.evaluate(valid).accuracy,
        "steps": last["step"],
        "seconds": round(last["training_seconds"], 1),
    }


def points(
    found: Results, budget: str, name: str, key: str = "accuracy"
) -> list[tuple[int, list[float]]]:
    """Return (training images, the figure of each seed) of one curve, by the number of images."""
    by_size: dict[int, list[float]] = {}
    for each in found["runs"].values():
        if (each["budget"], each["model"]) == (budget, name) and key in each:
            by_size.setdefault(each["examples"], []).append(each[key])
    return sorted(by_size.items())


def crossings(found: Results, budget: str, one: str, other: str) -> list[tuple[int, int]]:
    """Return between which numbers of images the mean accuracy of two models changes its order."""
    first, second = (dict(points(found, budget, name)) for name in (one, other))
    shared = sorted(set(first) & set(second))
    gaps = [statistics.fmean(first[n]) - statistics.fmean(second[n]) for n in shared]
    return [(shared[n], shared[n + 1]) for n in range(len(gaps) - 1) if gaps[n] * gaps[n + 1] < 0]


def draw(found: Results, path: Path) -> None:
    """Draw a panel for each budget: the mean of the seeds, and a band from the least to the greatest."""
    budgets = [each for each in BUDGETS if any(points(found, each, name) for name in NAMES)]
    with house_style():
        figure, panels = new_figure([PANEL] * len(budgets), "Accuracy and the amount of data")
        labels = []
        for axes, budget in zip(panels, budgets, strict=True):
            curves = []
            for number, name in enumerate(NAMES):
                curve = points(found, budget, name)
                if curve:
                    sizes, accuracies = zip(*curve, strict=True)
                    curves.append(
                        Curve(
                            name=name,
                            xs=sizes,
                            ys=[statistics.fmean(each) for each in accuracies],
                            lows=[min(each) for each in accuracies],
                            highs=[max(each) for each in accuracies],
                            colour=COLOURS[number],
                            marker=MARKERS[number],
                        )
                    )
            draw_curves(axes, curves)
            axes.set_xscale("log")
            axes.set_xlabel("training images")
            axes.set_title(f"Validation accuracy, equal {budget}: {found[budget]:,g}")
            labels.append((axes, curves))
        label_curves(figure, labels)
        path.parent.mkdir(parents=True, exist_ok=True)
        save(figure, path)


def tell(found: Results) -> None:
    """Print a table for each budget, and where curves cross."""
    for budget in BUDGETS:
        sizes = sorted({size for name in NAMES for size, _ in points(found, budget, name)})
        if not sizes:
            continue
        print(f"\nequal {budget} ({found[budget]:,g}), mean accuracy on validation images")
        print(f"{'images':>10}" + "".join(f"{name:>10}" for name in NAMES))
        for size in sizes:
            cells = [dict(points(found, budget, name)).get(size) for name in NAMES]
            shown = (f"{statistics.fmean(each):>10.4f}" if each else f"{'–':>10}" for each in cells)
            print(f"{size:>10,}" + "".join(shown))
        for number, one in enumerate(NAMES):
            for other in NAMES[number + 1 :]:
                where = crossings(found, budget, one, other)
                said = ", ".join(f"between {a:,} and {b:,}" for a, b in where) or "none"
                print(f"  crossings of {one} and {other}: {said}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.data_curves", description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", type=Path, metavar="DIR", help="IDX files or folders, in parts")
    parser.add_argument("--out", type=Path, default=Path("runs/data-curves"), help="where runs go")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--picture", type=Path, default=ROOT / "docs/images/data-curves.svg")
    parser.add_argument("--examples", type=int, nargs="+", default=EXAMPLES)
    parser.add_argument("--models", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--budgets", nargs="+", choices=BUDGETS, default=BUDGETS)
    parser.add_argument("--steps", type=int, default=1000, help="optimizer steps of a training")
    parser.add_argument("--seconds", type=float, default=120, help="seconds of a training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", action="store_true", help="at the end, accuracy on the test part")
    return parser


def _load(options: argparse.Namespace) -> Results:
    """Return the results that are there, if they are of the same budgets.

    Raises: SystemExit for other budgets.
    """
    budgets = {"steps": options.steps, "seconds": options.seconds}
    if not options.results.exists():
        return {**budgets, "runs": {}}
    found: Results = json.loads(options.results.read_text("utf-8"))
    if {name: found[name] for name in budgets} != budgets:
        raise SystemExit(f"{options.results} holds other budgets; name another file with --results")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, then draw and print all."""
    options = _parser().parse_args(arguments)
    found = _load(options)
    whole, valid, test = read(options.folder, 0)
    for seed in range(options.seeds):
        for size in sorted({min(each, len(whole)) for each in options.examples}):
            train = whole.take([row * len(whole) // size for row in range(size)])
            for budget in options.budgets:
                for name in options.models:
                    key = f"{name} {budget} {size} {seed}"
                    if key in found["runs"]:
                        continue
                    told = measure(name, budget, (train, valid), seed, options)
                    found["runs"][key] = {
                        "model": name, "budget": budget, "examples": size, "seed": seed, **told,
                    }  # fmt: skip
                    print(key, told, flush=True)
                    options.results.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if options.test:
        for key, each in found["runs"].items():
            if "test" not in each:
                run = f"{each['model']}-{each['budget']}-{each['examples']}-{each['seed']}"
                each["test"] = heedful.load(options.out / run).evaluate(test).accuracy
                print(key, "test", each["test"], flush=True)
        options.results.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    draw(found, options.picture)
    tell(found)


if __name__ == "__main__":
    main()
