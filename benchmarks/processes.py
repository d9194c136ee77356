"""One training on several processes of few threads beside one process of as many threads.

python -m benchmarks.processes SRC TGT [--processes N] [--steps N] [--rounds N] [--models NAME ...] [--set ...]

SRC and TGT are two line-aligned files; the last `--valid` pairs validate. Each round trains every model once as one
process of N threads and once as N processes of one thread, in alternating order, with the same batches; shown are the
median target tokens a second of the steps (validation and start left out), the median of the ratios of the rounds, and
how far apart the training losses end. What else the machine does changes both; the load is shown.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from heedful.bench.machine import describe
from heedful.data.files import read_lines

MODELS = ("transformer", "gru")


class Trained(NamedTuple):
    """What a training came to."""

    tokens_per_second: float
    loss: float


def train(
    folder: Path, model: str, processes: int, threads: int, options: Sequence[str]
) -> Trained:
    """Train in `folder`, which holds the data, with so many processes of so many threads."""
    run = folder / f"{model}-{processes}"
    words = [
        "train", "translate", "--train", "train.src", "train.tgt", "--valid", "valid.src", "valid.tgt",
        "--model", model, "--devices", str(processes), "--threads", str(threads), "--out", str(run),
        "--overwrite", "--quiet", *options,
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    subprocess.run(
        [sys.executable, "-m", "heedful", *words], cwd=folder, env=environment, check=True
    )
    first = json.loads((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[0])
    return Trained(first["tokens"] / first["training_seconds"], first["train_loss"])


def write_data(folder: Path, source: Path, target: Path, valid: int) -> None:
    """Write the pairs of two files as training and validation files."""
    for path, suffix in ((source, "src"), (target, "tgt")):
        lines = list(read_lines(path))
        for name, part in (("train", lines[:-valid]), ("valid", lines[-valid:])):
            text = "\n".join(part) + "\n"
            (folder / f"{name}.{suffix}").write_text(text, encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.processes",
        description=__doc__.splitlines()[0] if __doc__ else "",
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--valid", type=int, default=100)
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    sets = [f"training.max_steps={given.steps}", "training.checkpoint_minutes=0", *given.set]
    options = [word for each in sets for word in ("--set", each)]
    print(f"{describe()}; {given.steps} steps, {given.rounds} rounds")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, given.source, given.target, given.valid)
        for model in given.models:
            ways = [(1, given.processes), (given.processes, 1)]
            found: dict[int, list[Trained]] = {processes: [] for processes, _ in ways}
            for number in range(given.rounds):
                for processes, threads in ways[:: 1 if number % 2 else -1]:
                    found[processes].append(train(folder, model, processes, threads, options))
                one, more = found[1][-1], found[given.processes][-1]
                print(
                    f"{model}, round {number + 1}: {one.tokens_per_second:,.0f} tokens/s as one process, "
                    f"{more.tokens_per_second:,.0f} as {given.processes}; training losses {one.loss:.4f} and "
                    f"{more.loss:.4f}; load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
            print(_summary(model, given.processes, found[1], found[given.processes]), flush=True)


def _summary(model: str, processes: int, one: Sequence[Trained], more: Sequence[Trained]) -> str:
    ratios = [b.tokens_per_second / a.tokens_per_second for a, b in zip(one, more, strict=True)]
    speeds = [statistics.median(each.tokens_per_second for each in way) for way in (one, more)]
    return (
        f"{model}: one process of {processes} threads {speeds[0]:,.0f} tokens/s, {processes} processes of one thread "
        f"{speeds[1]:,.0f}; median ratio {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
