"""A new task of known parts is one value and one line in the table: it passes every command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from heedful.answers.label import Label
from heedful.cli import main
from heedful.inputs.series import SeriesInput
from heedful.tasks import options, table
from heedful.tasks.base import Task
from heedful.tasks.readers.series import SeriesReader
from heedful.tasks.series import ClassifySeriesConfig
from tests.cli.conftest import in_this_process, run_command

TOY = Task(
    name="toy",
    examples="series",
    unit="steps",
    configuration=ClassifySeriesConfig,
    input=SeriesInput,
    answer=Label,
    reader=SeriesReader("label"),
)
ENTRY = table.TaskEntry(
    module=__name__, attribute="TOY", options=(*options.SERIES, options.LABEL, options.ENCODER),
    summary="A toy.", description="Nothing more.", train_examples=("--train t.csv --out r",), config_example=("", ""),
)  # fmt: skip


def test_a_toy_task_passes_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(table.ENTRIES, "toy", ENTRY)
    monkeypatch.setattr("heedful.cli.compare_run.subprocess_runner", in_this_process)
    monkeypatch.setattr(main, "app", main.build_app())
    rows = [f"{n},{x + 9 * (n % 2)},{'ab'[n % 2]}" for n in range(20) for x in range(4)]
    Path("t.csv").write_text("\n".join(["id,x,label", *rows]) + "\n", encoding="utf-8")
    np.save("one.npy", np.arange(5.0))
    data = ("--train", "t.csv", "--series", "id")
    small = [
        w for s in ("training.keep_freed_memory=false", "training.threads=1") for w in ("--set", s)
    ]
    for command in (
        ("train", "toy", *data, "--encoder", "none", "--out", "r", *small, "--set", "training.epochs=20"),
        ("predict", "r", "t.csv"),
        ("explain", "r", "one.npy", "--out", "seen.html"),
        ("compare", "toy", *data, "--encoders", "none,window", "--seeds", "1", "--budget", "steps=2",
         "--out", "c", *small),
    ):  # fmt: skip
        ran = run_command(*command)
        assert ran.status == 0, ran.stderr
    found = json.loads(run_command("evaluate", "r", "--test", "t.csv", "--json").stdout)
    assert (found["series"], found["accuracy"]) == (20, 1.0)
