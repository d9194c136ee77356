"""Several divisions of one table: the parts that are written, the tests on them, going on, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heedful.compare.replicates import Replicate, make_splits, run_replicates
from heedful.config import build
from heedful.data.molecules.splits import load_splits
from heedful.errors import OptionError, RunError, StoppedError
from heedful.tasks.molecules import REGRESS, RegressMoleculesConfig
from heedful.tasks.table import TASKS
from tests.cli.conftest import run_command

pytest.importorskip("rdkit")

RINGS = ["", "c1ccccc1", "C1CC1", "c1ccncc1", "C1CCC1", "c1ccoc1"]
SMILES = [f"{'C' * n}{ring}" for n in range(1, 8) for ring in RINGS]
SMALL: dict[str, Any] = {
    "inputs": {"width": 4, "bond_width": 0},
    "encoder": {"kind": "none", "hidden": 4},
    "training": {"epochs": 1, "threads": 1, "keep_freed_memory": False, "seed": 7},
}
SETS = [f"{a}.{b}={json.dumps(c)}" for a, values in SMALL.items() for b, c in values.items()]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    lines = [f"{each},{len(each)},{len(each) % 2}" for each in SMILES]
    path.write_text("\n".join(["smiles,target,label", *lines, ""]), encoding="utf-8")
    return path


def configured(table: Path, **data: Any) -> Any:
    return build(RegressMoleculesConfig, {**SMALL, "data": {"train": [str(table)], **data}})


def splits_of(config: Any, count: int = 2, folded: bool = False) -> Any:
    read: Any = REGRESS.reader.read(config.data.train, config.data, "train")
    return make_splits(read, config.data, count, folded)


def test_each_division_is_trained_with_its_own_seed_and_tested(table: Path, tmp_path: Path) -> None:
    config, out = (
        configured(table, split="scaffold_balanced", split_sizes=(0.6, 0.2, 0.2)),
        tmp_path / "out",
    )
    splits = splits_of(config)
    events = list(run_replicates(REGRESS, config, splits, out, ["mean"]))
    found = [each for each in events if isinstance(each, Replicate)]
    assert load_splits(out / "splits.json", len(SMILES)) == splits
    assert [each.examples for each in found] == [tuple(map(len, each)) for each in splits]
    seeds = [REGRESS.load(out / f"replicate-{n}").config.training.seed for n in range(2)]
    assert seeds == [7, 8]
    told = json.loads((out / "replicates.json").read_text())
    assert told["summary"]["mean"]["mean"] == pytest.approx(
        sum(each.values["mean"] for each in found) / 2
    )
    # what is finished is only tested
    again = list(run_replicates(REGRESS, config, splits, out, ["mean"]))
    assert again == found
    with pytest.raises(RunError, match=r"splits\.json has other parts"):
        list(run_replicates(REGRESS, config, splits[::-1], out))


def test_it_goes_on_after_a_stop(table: Path, tmp_path: Path) -> None:
    config, out = configured(table), tmp_path / "out"
    splits = splits_of(config)
    calls = iter([False] * 4)
    with pytest.raises(StoppedError, match="was asked to stop"):
        list(run_replicates(REGRESS, config, splits, out, stop=lambda: next(calls, True)))
    ended = [e for e in run_replicates(REGRESS, config, splits, out) if isinstance(e, Replicate)]
    assert len(ended) == 2


def test_folds_test_each_molecule_once(table: Path) -> None:
    splits = splits_of(configured(table), 5, folded=True)
    assert sorted(row for each in splits for row in each.test) == list(range(len(SMILES)))


def test_data_that_cannot_be_divided_again(table: Path) -> None:
    with pytest.raises(OptionError, match="folds are drawn at random, not by scaffold"):
        splits_of(configured(table, split="scaffold"), 5, folded=True)
    with pytest.raises(OptionError, match=r"data\.splits_column divides the data already"):
        splits_of(configured(table, splits_column="label"))
    texts = build(TASKS["regress"].configuration, {})
    with pytest.raises(OptionError, match="replicates need a table of molecules"):
        make_splits(None, texts.data, 2, False)  # type: ignore[arg-type]


def test_by_command(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sets = [each for setting in SETS for each in ("--set", setting)]
    command = ["replicate", "classify-molecules", "--train", str(table), "--label", "label", *sets]
    ran = run_command(
        *command, "--split", "scaffold", "--replicates", "2", "--ensemble", "2",
        "--set", "data.split_sizes=[0.6,0.2,0.2]", "--baselines", "mean,neighbour", "--out", str(out), "--json",
    )  # fmt: skip
    assert ran.status == 0, ran.stderr
    assert set(json.loads(ran.stdout)["summary"]) == {"model", "mean", "neighbour"}
    assert "the scaffold split is the same for any seed" in ran.stderr
    assert TASKS["classify-molecules"].load_config(out / "replicate-1").ensemble.members == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["regress-molecule"], "unknown task 'regress-molecule'; did you mean 'regress-molecules'"),
        (["regress-molecules"], "--out is missing"),
        (["regress-molecules", "--label", "a", "--out", "o"], "the option label has no effect on"),
        (["regress-molecules", "--baselines", "man", "--out", "o"], "unknown baseline 'man'"),
    ],
)
def test_mistakes(table: Path, arguments: list[str], message: str) -> None:
    ran = run_command("replicate", *arguments[:1], "--train", str(table), *arguments[1:])
    assert ran.status != 0
    assert message in ran.stderr


def test_numbers_have_intervals_that_are_tested(table: Path, tmp_path: Path) -> None:
    config = configured(table, split="random", split_sizes=(0.4, 0.5, 0.1))
    splits = splits_of(config, 1)
    [found] = [
        e
        for e in run_replicates(REGRESS, config, splits, tmp_path / "out")
        if isinstance(e, Replicate)
    ]
    assert found.coverage is not None
