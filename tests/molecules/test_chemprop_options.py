"""chemprop's spellings of options, and several labels in columns of 0 and 1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import heedful
from heedful.cli.command import rename_columns
from tests.cli.conftest import run_command

pytest.importorskip("rdkit")

SMALL = [
    each
    for setting in ("inputs.width=4", "inputs.bond_width=0", "encoder.width=4", "encoder.heads=1",
                    "encoder.layers=1", "pooling.heads=1", "training.epochs=1", "training.threads=1",
                    "training.keep_freed_memory=false")
    for each in ("--set", setting)
]  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    parts = ["train"] * 6 + ["val", "test"]
    lines = [f"{'C' * n}O,{n / 2},{n},{n % 2},{n // 2 % 2},{parts[n % 8]}" for n in range(1, 41)]
    path.write_text("\n".join(["mol,a,b,x,y,part", *lines, ""]), encoding="utf-8")
    return path


@pytest.mark.parametrize("way", ["column", "file"])
def test_a_command_of_chemprop(table: Path, tmp_path: Path, way: str) -> None:
    splits = tmp_path / "splits.json"
    splits.write_text(json.dumps([{"train": "0-29", "val": "30-34", "test": "35-39"}]))
    divided = ["--splits-column", "part"] if way == "column" else ["--splits-file", str(splits)]
    ran = run_command(
        "train", "regress-molecules", "--train", str(table), "--smiles-columns", "mol",
        "--target-columns", "a", "b", *divided, *SMALL, "--out", str(tmp_path / "run"),
    )  # fmt: skip
    assert ran.status == 0, ran.stderr
    config = heedful.load(tmp_path / "run").config
    assert (config.data.text, config.data.target) == ("mol", "a,b")


def test_several_labels(table: Path, tmp_path: Path) -> None:
    ran = run_command(
        "train", "classify-molecules", "--train", str(table), "--smiles", "mol",
        "--target-columns", "x", "y", "--split", "random", *SMALL, "--out", str(tmp_path / "run"),
    )  # fmt: skip
    assert ran.status == 0, ran.stderr
    [prediction] = heedful.load(tmp_path / "run").predict(["CCO"])
    assert set(prediction.all_probabilities) == {"x", "y"}


def test_renamed_columns() -> None:
    options = ["--smiles", "--target", "--label"]

    def renamed(*words: str) -> list[str]:
        return rename_columns(words, options)

    assert renamed("--target-columns", "a", "--out", "r") == ["--target", "a", "--out", "r"]
    assert renamed("x", "--target-columns") == ["x", "--target"]
    assert renamed("--target-columns=a", "c") == ["--target=a", "c"]
    labelled = renamed("classify-molecules", "--target-columns", "a", "c", "--out", "d", "e")
    assert labelled == ["classify-molecules", "--label", "a,c", "--out", "d", "e"]
    assert rename_columns(["--target-columns", "a"], ["--text"]) == ["--target-columns", "a"]
