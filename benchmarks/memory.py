"""How much memory and time the preparation of a translation training takes, by the number of sentence pairs.

    python -m benchmarks.memory [N ...] [--folder FOLDER] [--steps S]

For each N (by default 100,000, 1,000,000 and 5,000,000) two line-aligned files of N synthetic sentences are written:
2 to 8 words each, about 25 characters, of a vocabulary of 20,000 words by Zipf's law, the same ones every time. A
process of its own reads them, learns a vocabulary, encodes them and takes S steps. Printed are the seconds before the
first step, by the clock and of processor time, the pairs a second of each, and the largest resident memory before the
first step and after the last.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

WORDS = 20_000
BLOCK = 50_000
VALIDATION = 100
"""Pairs of validation data: the first ones of the training data."""


def sentences(count: int, seed: int) -> Iterator[str]:
    """Yield sentences of words that are distributed by Zipf's law; the same ones for a seed."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    by_rank = 1 / np.arange(1, len(letters) + 1)
    lengths = rng.integers(2, 8, WORDS).tolist()
    drawn = rng.choice(letters, sum(lengths), p=by_rank / by_rank.sum()).tolist()
    words = [
        "".join(drawn[end - length : end])
        for end, length in zip(np.cumsum(lengths).tolist(), lengths, strict=True)
    ]
    cumulative = np.cumsum(1 / np.arange(1, WORDS + 1))
    for start in range(0, count, BLOCK):
        ends = np.cumsum(rng.integers(2, 9, min(BLOCK, count - start))).tolist()
        ids = np.searchsorted(cumulative, rng.random(ends[-1]) * cumulative[-1]).tolist()
        for first, last in zip([0, *ends], ends, strict=False):
            yield " ".join([words[index] for index in ids[first:last]])


def write_pairs(folder: Path, count: int) -> None:
    """Write train.src and train.tgt with `count` pairs, and valid.src and valid.tgt with their first ones."""
    for seed, side in enumerate(("src", "tgt")):
        with (folder / f"train.{side}").open("w") as train:
            lines = []
            for number, sentence in enumerate(sentences(count, seed)):
                train.write(f"{sentence}\n")
                if number < VALIDATION:
                    lines.append(f"{sentence}\n")
        (folder / f"valid.{side}").write_text("".join(lines))


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def train(folder: Path, steps: int, settings: Sequence[str]) -> dict[str, Any]:
    """Train in this process and return what it took."""
    from heedful.config import apply_overrides, build
    from heedful.tasks.translate import TASK, TranslationConfig
    from heedful.training.events import Progress, Started
    from heedful.training.loop import train_model

    files = {
        part: [str(folder / f"{part}.{side}") for side in ("src", "tgt")]
        for part in ("train", "valid")
    }
    values = {
        "data": files,
        "model": {"kind": "gru", "embedding": 32, "hidden": 32},
        "training": {"max_steps": steps, "progress_steps": 1, "threads": 1, "metric": "loss"},
    }
    config = build(TranslationConfig, apply_overrides(TranslationConfig, values, settings))
    base, clock, processor = peak_bytes(), time.monotonic(), time.process_time()
    data = TASK.reader.read_training(config.data)
    found: dict[str, Any] = {"pairs": len(data[0]), "imported": base}
    for event in train_model(TASK, config, *data, folder / "run"):
        match event:
            case Started():
                found["seconds"] = time.monotonic() - clock
                found["processor_seconds"] = time.process_time() - processor
                found["before_first_step"] = peak_bytes()
            case Progress(step=1):
                found["first_step"] = peak_bytes()
    return {**found, "end": peak_bytes()}


def measure(folder: Path, steps: int = 20, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Train on the files of `folder` in a process of its own and return what it took; bytes and seconds."""
    command = [sys.executable, "-m", "benchmarks.memory", "--train", str(steps), *settings]
    root = Path(__file__).resolve().parents[1]
    paths = os.pathsep.join([str(root), str(root / "src")])
    done = subprocess.run(
        [*command, "--folder", str(folder)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def line(measured: dict[str, Any]) -> str:
    """Format a measurement."""
    pairs, seconds, processor = (measured[k] for k in ("pairs", "seconds", "processor_seconds"))
    peaks = [
        f"{measured[key] / 2**20:,.0f}"
        for key in ("imported", "before_first_step", "first_step", "end")
    ]
    return (
        f"{pairs:>10,} pairs: {seconds:,.1f} s, {processor:,.1f} s of processor time before the first step; "
        f"{pairs / seconds:,.0f} pairs/s, {pairs / processor:,.0f} pairs/s a core; "
        f"resident MiB at most: {peaks[0]} imported, {peaks[1]} prepared, {peaks[2]} first step, {peaks[3]} end"
    )


def main() -> None:
    """Measure each number of pairs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("names", nargs="*", metavar="N", help="numbers of pairs")
    parser.add_argument(
        "--folder", type=Path, help="where the files are written (default: a temporary folder)"
    )
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--train", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        print(json.dumps(train(options.folder, options.train, options.names)))
        return
    for count in map(int, options.names or ("100000", "1000000", "5000000")):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            write_pairs(Path(folder), count)
            print(line(measure(Path(folder), options.steps)), flush=True)


if __name__ == "__main__":
    main()
