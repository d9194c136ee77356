"""`python -m benchmarks.series`: encoders on real series that packages ship, compared and then tested; docs/series.md.

Each set is compared by `heedful compare` on validation series, or last steps, that are cut off its training part. The
test part is read once, when all of its models are trained.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib.util
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "series.md"
RESULTS = ROOT / "benchmarks" / "results" / "series"

CONTENDERS = """
[training]
threads = 1
batch_tokens = {tokens}
keep_freed_memory = false

[contenders.none.encoder]
kind = "none"
hidden = 64

[contenders.window.encoder]
kind = "window"
hidden = 64

[contenders.convolution.encoder]
kind = "convolution"
hidden = 64

[contenders.gru.encoder]
kind = "gru"
hidden = 32
layers = 1

[contenders.lstm.encoder]
kind = "lstm"
hidden = 32
layers = 1

[contenders.transformer.encoder]
kind = "transformer"
width = 64
feed_forward = 128
"""
"""What all sets share: states of 64 features (recurrence: 32 in each direction), and the defaults for the rest."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A set, how it is compared, and what others report of it."""

    title: str
    task: str
    package: str
    place: str
    """Its file, or the start of the names of its two .ts files, in the package."""
    data: dict[str, Any] = field(default_factory=dict)
    """Settings of the section `data`."""
    tokens: int = 2000
    """Steps in a batch."""
    quoted: float | None = None
    """Accuracy of 1-NN with dynamic time warping in the archive's own lists; of digits an SVC's."""


def archive(title: str, **other: Any) -> Corpus:
    """A set of the UEA/UCR archive, with the archive's own test part."""
    other = {"task": "classify-series", "package": "aeon", **other}
    return Corpus(title=title, place=f"datasets/data/{title}/{title}", **other)


CO2 = {"time": "date", "horizon": 13, "steps": 60, "season": 52, "stride": 2}
SETS = {
    "italy": archive("ItalyPowerDemand", quoted=0.950),
    "motions": archive("BasicMotions", quoted=0.975),
    "vowels": archive("JapaneseVowels", quoted=0.949),
    "gun": archive("GunPoint", quoted=0.907),
    "digits": Corpus(
        title="digits", task="classify-series", package="sklearn",
        place="datasets/data/digits.csv.gz", data={"series": "id", "time": "row"}, quoted=0.969,
    ),
    "covid": archive("Covid3Month", task="regress-series"),
    "sunspots": Corpus(
        title="sunspots", task="forecast", package="statsmodels",
        place="datasets/sunspots/sunspots.csv", tokens=1000,
        data={"time": "YEAR", "horizon": 5, "steps": 33, "season": 11},
    ),
    "co2": Corpus(
        title="co2", task="forecast", package="statsmodels", place="datasets/co2/co2.csv",
        data=CO2,
    ),
    "co2_relative": Corpus(
        title="co2, relative", task="forecast", package="statsmodels", place="datasets/co2/co2.csv",
        data={**CO2, "relative": True},
    ),
}  # fmt: skip
"""Name on the command line -> the set."""
TABLES = {
    "archive": [name for name, each in SETS.items() if each.task == "classify-series"],
    "covid": ["covid"],
    "forecasts": [name for name, each in SETS.items() if each.task == "forecast"],
}
"""Name in `<!-- table: NAME -->` -> the sets that it has a column of."""


def found_in(package: str, folder: Path | None) -> Path:
    """Return where a package lies, without importing it."""
    if folder is not None and (folder / package).is_dir():
        return folder / package
    spec = None if folder is not None else importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is missing: pip install aeon statsmodels scikit-learn")
    return Path(spec.origin).parent


def prepare(corpus: Corpus, source: Path, folder: Path) -> tuple[Path, Path]:
    """Return the files of training and test, written into `folder` where the set has no two of its own."""
    place = source / corpus.place
    if corpus.task != "forecast" and corpus.title != "digits":
        return Path(f"{place}_TRAIN.ts"), Path(f"{place}_TEST.ts")
    if corpus.title == "digits":
        with gzip.open(place, "rt", encoding="utf-8") as file:
            images = list(csv.reader(file))
        # halves in their order, as in scikit-learn's own example
        half = len(images) // 2
        parts = _digits(images[:half]), _digits(images[half:])
    else:
        with place.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        at, steps = len(rows) - round(0.2 * len(rows)), corpus.data["steps"]
        parts = [header, *rows[:at]], [header, *rows[at - steps :]]
    files = folder / "train.csv", folder / "test.csv"
    for path, lines in zip(files, parts, strict=True):
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(lines)
    return files


def _digits(images: Sequence[Sequence[str]]) -> list[list[str]]:
    """Write 64 numbers and a digit as 8 rows of 8 numbers."""
    header = ["id", "row", *(f"x{place}" for place in range(8)), "label"]
    rows = [
        [str(number), str(row), *image[8 * row : 8 * row + 8], str(int(float(image[64])))]
        for number, image in enumerate(images)
        for row in range(8)
    ]
    return [header, *rows]


def compare(corpus: Corpus, train: Path, folder: Path, *, steps: int, seeds: int) -> dict[str, Any]:
    """Run `heedful compare` into `folder`, or go on with it, and return its report."""
    data = {"train": [str(train.resolve())], **corpus.data}
    lines = [f"[compare]\ntask = {json.dumps(corpus.task)}\n\n[data]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in data.items()]
    lines.append(CONTENDERS.format(tokens=corpus.tokens))
    file = folder / "compare.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    command = [
        *(sys.executable, "-m", "heedful", "compare", str(file), "--out", str(folder / "report")),
        *("--budget", f"steps={steps}", "--seeds", str(seeds), "--lengths", "8"),
    ]
    subprocess.run(command, check=True)
    report: dict[str, Any] = json.loads((folder / "report" / "comparison.json").read_text("utf-8"))
    return report


def measure(name: str, folder: Path, packages: Path | None, *, steps: int, seeds: int) -> None:
    """Compare the encoders on one set, test them and write results/series/NAME.json."""
    import heedful

    corpus = SETS[name]
    folder = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    train, test = prepare(corpus, found_in(corpus.package, packages), folder)
    report = compare(corpus, train, folder, steps=steps, seeds=seeds)
    told: dict[str, Any] = {"set": corpus.title, "steps": steps, "seeds": seeds, "encoders": {}}
    for row in report["summary"]["rows"]:
        encoder = row["contender"]
        tested = []
        for seed in range(seeds):
            model = heedful.load(folder / "report" / "runs" / f"{encoder}-seed-{seed}")
            found = model.evaluate(test)
            tested.append(found.accuracy if corpus.task == "classify-series" else found.rmse)
        told["encoders"][encoder] = {
            "parameters": row["parameters"],
            "valid": row["quality"]["values"],
            "test": tested,
        }
    if corpus.task == "forecast":
        told["persistence"], told["season"] = found.persistence_rmse, found.seasonal_rmse
        told["shifted_season"] = shifted_season(test, corpus.data)
    elif corpus.task == "regress-series":
        told["mean"] = mean_rmse(train, test)
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(told, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(f"written: benchmarks/results/series/{name}.json", flush=True)


def shifted_season(test: Path, data: dict[str, Any]) -> float:
    """RMSE of the season before, moved so that it begins at the last known value; windows as in the evaluation."""
    from heedful.answers.forecast import persistence, seasonal
    from heedful.data.series.series import SeriesSet
    from heedful.data.series.tables import SeriesColumns, read_series
    from heedful.data.series.windows import sliding_windows

    read = read_series(test, SeriesColumns(time=data["time"]), answers=False)
    horizon, season = data["horizon"], data["season"]
    windows = sliding_windows(
        SeriesSet(read), window=data["steps"], horizon=horizon, stride=data.get("stride", 1)
    )
    errors = [
        seasonal(each.history, horizon, season)
        + persistence(each.history, 1)
        - persistence(each.history[:-season], 1)
        - each.future
        for each in windows.windows
    ]
    return float(np.sqrt(np.nanmean(np.square(errors))))


def mean_rmse(train: Path, test: Path) -> float:
    """RMSE of giving every series the mean of the training targets."""
    from heedful.data.series.ts import read_ts

    known, wanted = ([float(each.answer[0]) for each in read_ts(path)] for path in (train, test))
    return float(np.sqrt(np.mean((np.array(wanted) - statistics.fmean(known)) ** 2)))


def shown(values: Iterable[float], form: str) -> str:
    """Write mean and half of what the seeds spread over."""
    found = list(values)
    half = (max(found) - min(found)) / 2
    return f"{statistics.fmean(found):{form}} ± {half:{form}}"


def table(sets: Sequence[str]) -> list[list[str]]:
    """Return one row an encoder, one column a set; in bold the best on the validation data, tied ones too."""
    told = {name: json.loads((RESULTS / f"{name}.json").read_text("utf-8")) for name in sets}
    is_accuracy = SETS[sets[0]].task == "classify-series"
    form = ".3f" if is_accuracy else ".4f" if sets == ["covid"] else ".2f"
    parts = ("test",) if len(sets) > 1 else ("valid", "test")
    head = [""]
    for each in told.values():
        head += [each["set"]] if len(sets) > 1 else ["validation", "test"]
    rows = [head]
    for label, key in (
        ("persistence", "persistence"), ("the season before", "season"),
        ("the season before, begun at the last value", "shifted_season"),
        ("mean of the training", "mean"),
    ):  # fmt: skip
        if any(key in each for each in told.values()):
            cells = [f"{each[key]:{form}}" for each in told.values()]
            rows.append([label, *[""] * (len(parts) - 1), *cells])
    best = {name: _chosen(each["encoders"], is_accuracy) for name, each in told.items()}
    for encoder in next(iter(told.values()))["encoders"]:
        cells = []
        for name, each in told.items():
            for part in parts:
                cell = shown(each["encoders"][encoder][part], form)
                cells.append(f"**{cell}**" if encoder in best[name] else cell)
        rows.append([encoder, *cells])
    if is_accuracy:
        rows.append(["*others, quoted*", *(f"{SETS[name].quoted:{form}}" for name in sets)])
    return rows


def _chosen(encoders: dict[str, Any], is_accuracy: bool) -> set[str]:
    means = {name: statistics.fmean(each["valid"]) for name, each in encoders.items()}
    best = (max if is_accuracy else min)(means.values())
    return {name for name, mean in means.items() if mean == best}


MARK = re.compile(r"(<!-- table: (\w+) -->\n)(?:\|.*\n)*")


def filled(text: str) -> str:
    """Return the page with every table as the results say; one of sets that were never measured has none."""

    def written(found: re.Match[str]) -> str:
        sets = [name for name in TABLES[found[2]] if (RESULTS / f"{name}.json").exists()]
        if not sets:
            return found[1]
        head, *rows = table(sets)
        lines = [head, ["---"] * len(head), *rows]
        return found[1] + "".join("| " + " | ".join(line) + " |\n" for line in lines)

    return MARK.sub(written, text)


def main() -> None:
    """Measure the sets that are named, or all, and fill the tables of the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.series", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SET", help=f"{', '.join(SETS)}; all if none")
    parser.add_argument("--out", type=Path, default=Path("runs/series"), help="where the runs go")
    parser.add_argument(
        "--packages", type=Path, metavar="DIR", help="site-packages with the data, if another's"
    )
    parser.add_argument("--steps", type=int, default=200, help="training steps of each model")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--page", action="store_true", help="measure nothing; fill the tables")
    options = parser.parse_args()
    for name in options.names:
        if name not in SETS:
            parser.error(f"unknown set {name!r}; the sets are {', '.join(SETS)}")
    for name in [] if options.page else options.names or list(SETS):
        measure(name, options.out, options.packages, steps=options.steps, seeds=options.seeds)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
