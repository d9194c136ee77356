"""Damaged run folders that `heedful predict` is given: `python -m tests.attack.run_folder_cases SEED COUNT FOLDER`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from typer.testing import CliRunner

from heedful import run_folder
from heedful.answers.calibration import Calibration
from heedful.cli import main
from heedful.errors import RunError
from heedful.tasks.table import TASKS
from tests.attack.isolated import Outcome, isolated, judged
from tests.attack.mutations import GENERAL, change_json, lie_in_header
from tests.attack.samples import SAMPLES, Sample

OLD_RUNS = Path(__file__).parents[1] / "runs" / "format_1"
NEW_RUNS = {
    "classify-new": ("texts csv", ("training.class_weights=balanced", "ensemble.members=2")),
    "regress-new": ("numbers", ()),
    "tag-new": ("conll", ()),
    "translate-new": (
        "pairs",
        ("model.kind=gru", "model.embedding=4", "model.hidden=4", "vocabulary.min_frequency=1"),
    ),
    "classify-series-new": ("series csv", ()),
    "regress-series-new": ("series jsonl", ()),
    "tag-series-new": ("series steps", ()),
    "forecast-new": ("series npy", ()),
}
"""Untrained runs of the current format: their data, a name in SAMPLES, and settings."""
SMALL = (
    "encoder.kind=window",
    "encoder.hidden=4",
    "inputs.word_width=4",
    "inputs.character_width=4",
)
METRICS = '{"event": "started", "epoch": 0}\n{"event": "finished", "epoch": 1, "steps": 5, "scores": {"loss": 1.0}}\n'
SPECIAL = ("missing", "pipe", "folder", "device", "link out", "link in")
"""What may stand in the place of a file."""


def predict(run: str, file: str) -> None:
    """Predict a file by a run as the command does; an error of the command is raised as one."""
    found = CliRunner().invoke(main.app, ["predict", run, file], prog_name="heedful")
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    if found.exit_code:
        raise RunError(found.stderr.removeprefix("error: ").removesuffix("\n"))
    run_folder.read_metrics(Path(run))


def damage(folder: Path, random: Random) -> str:
    """Damage one file of a run folder, and say how."""
    path = random.choice(sorted(each for each in folder.iterdir() if each.is_file()))
    if random.random() < 0.06:
        how = random.choice(SPECIAL)
        _replace(path, how)
        return f"{path.name}: {how}"
    special = {".safetensors": [lie_in_header], ".json": [change_json], ".jsonl": [change_json]}
    mutation = random.choice([*GENERAL, *special.get(path.suffix, []) * len(GENERAL)])
    path.write_bytes(mutation(path.read_bytes(), random))
    return f"{path.name}: {mutation.__name__}"


def _replace(path: Path, how: str) -> None:
    outside = path.parent.parent / f"outside-{path.name}"
    shutil.move(path, outside)
    if how == "pipe":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    elif how == "device":
        path.symlink_to("/dev/zero")
    elif how == "link out":
        path.symlink_to(outside)
    elif how == "link in":
        shutil.move(outside, path.with_name("inside"))
        path.symlink_to("inside")


def make_runs(folder: Path) -> None:
    """Write the stored runs of an older format to a folder, and an untrained run of each task in the current format."""
    for original in sorted(each for each in OLD_RUNS.iterdir() if each.is_dir()):
        shutil.copytree(original, folder / original.name)
    for name, (data, settings) in NEW_RUNS.items():
        write_run(folder / name, SAMPLES[data], settings)


def write_run(folder: Path, sample: Sample, settings: Sequence[str], *, small: bool = True) -> None:
    """Write an untrained run of a task, with every file that a trained one may have."""
    task = TASKS[sample.task]
    has_words = hasattr(task.configuration(), "vocabulary")
    sizes = () if not small or sample.task == "translate" else SMALL if has_words else SMALL[:2]
    config = replace(sample, settings=(*sample.settings, *sizes, *settings)).config()
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        sample.write(Path(place))
        data = sample.read()
    predictor = task.learn(config, data)
    run_folder.create(folder, task.name)
    predictor.save(folder)
    predictor.save_weights(folder / run_folder.WEIGHTS)
    run_folder.write_text(folder / run_folder.METRICS, METRICS)
    if sample.task == "classify":
        Calibration(temperature=1.5, examples=30, error_before=0.2, error_after=0.1).save(folder)


def write_input(folder: Path, run: Path) -> str:
    """Write a file that a run can predict, and return its name."""
    task = run_folder.read_task(run)
    sample = next(each for each in SAMPLES.values() if each.task == task)
    sample.write(folder)
    return next(iter(sample.files))


def run_case(runs: Path, folder: Path, random: Random) -> tuple[str, Outcome]:
    """Damage a copy of a run, predict by it, and return what was done and what came of it."""
    original = random.choice(sorted(runs.iterdir()))
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original, folder / "run")
    name = write_input(folder, original)
    how = damage(folder / "run", random)
    return f"{original.name}/{how}", isolated(partial(predict, "run", name), folder)


def main_loop(seed: int, count: int, folder: Path) -> None:
    """Run cases and write each as a line of JSON."""
    runs = folder / "runs"
    runs.mkdir(parents=True)
    make_runs(runs)
    for run in sorted(runs.iterdir()):  # what is imported and compiled is so before the first fork
        predict(str(run), str(folder / write_input(folder, run)))
    for number in range(count):
        random = Random(f"{seed}.{number}")
        what, outcome = run_case(runs, folder / "case", random)
        outcome = judged(outcome.detail) if outcome.kind == "refused" else outcome
        sys.stdout.write(json.dumps([number, what, *outcome]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main_loop(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
