"""The tasks on molecules, from a table to predictions, divided in each way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import heedful
from heedful.data.molecules.splits import load_splits, save_splits, split_molecules
from heedful.errors import DataError, OptionError
from heedful.inputs.molecules import Molecules
from heedful.models.encoders.atoms import AtomsConfig
from tests.cli.conftest import run_command

pytest.importorskip("rdkit")

RINGS = ["", "c1ccccc1", "C1CC1", "c1ccncc1", "C1CCC1", "c1ccoc1"]
SMILES = [f"{'C' * n}{ring}" for n in range(1, 6) for ring in RINGS]
TRAINING = {"epochs": 2, "threads": 1, "keep_freed_memory": False, "batch_tokens": 60}
SMALL: dict[str, Any] = {
    "inputs": {"width": 8, "bond_width": 4},
    "encoder": {"kind": "gatv2", "width": 8, "heads": 2, "layers": 2},
    "training": TRAINING,
}


def write_table(path: Path, extra: str = "", parts: bool = False) -> Path:
    lines = ["smiles,logS,toxic" + (",part" if parts else "")]
    names = ["train", "train", "train", "val", "test"]
    lines += [
        f"{smiles},{len(smiles) / 4},{len(smiles) % 2}" + (f",{names[row % 5]}" if parts else "")
        for row, smiles in enumerate(SMILES)
    ]
    path.write_text("\n".join(lines) + f"\n{extra}", encoding="utf-8")
    return path


def train(tmp_path: Path, task: str = "regress-molecules", **options: Any) -> heedful.TrainedModel:
    answer = {"target": "logS"} if task.startswith("regress") else {"label": "toxic"}
    return heedful.train(
        task, train=tmp_path / "table.csv", out=tmp_path / "run", **answer, **{**SMALL, **options}
    )


@pytest.mark.parametrize("encoder", ["gat", "gatv2", "graph-transformer", "transformer", "none"])
def test_a_property_from_a_table(tmp_path: Path, encoder: str) -> None:
    write_table(tmp_path / "table.csv")
    sizes = {} if encoder == "none" else {"width": 8, "heads": 2, "layers": 1}
    model = train(tmp_path, split="random", encoder={"kind": encoder, **sizes})
    again = heedful.load(tmp_path / "run")
    values = [each.value for each in again.predict(["OCC", "C", "[Na+].[Cl-]"])]
    assert values == [each.value for each in model.predict(["OCC", "C", "[Na+].[Cl-]"])]
    assert all(isinstance(value, float) for value in values)
    explanation = again.explain("OCC")
    assert explanation.records[0].key_tokens == ("O1", "C2", "C3")


def test_labels_from_a_table(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv")
    model = train(tmp_path, "classify-molecules")
    assert next(iter(model.predict(["CCO"]))).label in {"0", "1"}


def test_bonds_change_the_prediction_and_padding_does_not(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv")
    model = train(tmp_path)
    alone = next(iter(model.predict(["C=CC"]))).value
    beside = next(iter(model.predict(["C=CC", "C" * 20]))).value
    assert beside == pytest.approx(alone, rel=1e-5)
    assert next(iter(model.predict(["CC=C"]))).value == pytest.approx(alone, rel=1e-4)
    network = model.predictor.model.eval()
    inputs = Molecules(AtomsConfig(width=8, bond_width=4))
    batch = inputs.collate(inputs.encode(["C=CC"]))
    other = batch._replace(bond_features=(batch.bond_features + 1) % 2)
    with torch.no_grad():
        assert not torch.allclose(network(batch), network(other))


@pytest.mark.parametrize("kind", ["random", "scaffold", "scaffold_balanced"])
def test_the_test_part_is_kept_from_training(tmp_path: Path, kind: str) -> None:
    write_table(tmp_path / "table.csv")
    sizes = (0.6, 0.2, 0.2)
    model = train(tmp_path, split=kind, data={"split_sizes": sizes})
    reader, section = model.predictor.task.reader, model.predictor.config.data
    parts = split_molecules(SMILES, kind, sizes=sizes)
    train_data, valid = reader.read_training(section)
    assert list(train_data.inputs) == [SMILES[row] for row in parts.train]
    assert list(valid.inputs) == [SMILES[row] for row in parts.valid]
    assert list(reader.read_test(None, section).inputs) == [SMILES[row] for row in parts.test]


def test_parts_by_column_and_by_file(tmp_path: Path) -> None:
    table = write_table(tmp_path / "table.csv", parts=True)
    by_column = train(tmp_path, splits_column="part").predictor
    found = by_column.task.reader.read_test(None, by_column.config.data)
    assert list(found.inputs) == SMILES[4::5]
    splits = tmp_path / "splits.json"
    save_splits(splits, [split_molecules(SMILES, "random", seed=seed) for seed in range(2)])
    data = {**by_column.config.data.model_dump(), "splits_column": "", "splits_file": str(splits)}
    section = type(by_column.config.data).model_validate({**data, "split_index": 1})
    wanted = load_splits(splits, len(SMILES))[1]
    train_data, _ = by_column.task.reader.read_training(section)
    assert list(train_data.inputs) == [SMILES[row] for row in wanted.train]
    assert table.exists()
    with pytest.raises(OptionError, match="split_index is 5, but .* holds 2 splits"):
        by_column.task.reader.read_training(section.model_copy(update={"split_index": 5}))
    splits.write_text(json.dumps([{"train": [0, 1]}]))
    with pytest.raises(OptionError, match="leaves nothing for valid"):
        by_column.task.reader.read_training(section.model_copy(update={"split_index": 0}))


def test_bad_smiles_are_named_or_left_out(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", extra="C((,1.0,0\n,2.0,1\n")
    with pytest.raises(DataError, match=r"table\.csv, line 32: 'C\(\(' is no SMILES"):
        train(tmp_path)
    model = train(tmp_path, skip_bad=True, split="random")
    skipped = (tmp_path / "run" / "skipped.txt").read_text(encoding="utf-8")
    assert len(skipped.splitlines()) == 2
    with pytest.raises(DataError, match="input 2: 'xyz' is no SMILES"):
        list(model.predict(["C", "xyz"]))


def test_two_ways_to_divide_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv")
    with pytest.raises(OptionError, match=r"data\.split and data\.splits_column divide the data"):
        train(tmp_path, split="random", splits_column="part")
    write_table(tmp_path / "table.csv", parts=True)
    with pytest.raises(DataError, match="column 'toxic' holds '1'; expected train, val or test"):
        train(tmp_path, splits_column="toxic")


def test_bad_smiles_are_left_out_of_predictions_on_request(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", extra="C((,1.0,0\n")
    train(tmp_path, skip_bad=True)
    new = tmp_path / "new.csv"
    new.write_text("smiles\nCCO\nC((\nCC\n", encoding="utf-8")
    command = ("predict", str(tmp_path / "run"), str(new))
    assert "line 3: 'C((' is no SMILES" in run_command(*command).stderr
    ran = run_command(*command, "--skip-bad")
    assert ran.status == 0, ran.stderr
    assert [row.split(",")[0] for row in ran.stdout.splitlines()] == ["smiles", "CCO", "CC"]
    assert "1 left out; the first:" in ran.stderr
