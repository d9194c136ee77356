"""Attention drawn on molecules, and whether it names the atoms that a prediction rests on."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heedful
from heedful.errors import OptionError
from heedful.explore.faithfulness import measure_faithfulness
from heedful.explore.molecule_picture import draw_molecule
from heedful.explore.schema import AttentionRecord
from tests.cli.conftest import run_command

pytest.importorskip("rdkit")

# Whether there is a nitrogen, somewhere in a chain of carbon.
CHAINS = [
    f"{'C' * left}{atom}{'C' * right}"
    for left in range(1, 7)
    for right in range(1, 7)
    for atom in "NO"
]
SMALL: dict[str, Any] = {
    "inputs": {"width": 16, "bond_width": 4},
    "encoder": {"kind": "gatv2", "width": 16, "heads": 2, "layers": 1},
    "pooling": {"heads": 2},
    "training": {
        "epochs": 15,
        "threads": 1,
        "keep_freed_memory": False,
        "learning_rate": 0.01,
        "batch_tokens": 60,
    },
}


@pytest.fixture(scope="module", params=["classify-molecules", "regress-molecules"])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> heedful.TrainedModel:
    name = "label" if request.param.startswith("classify") else "target"
    rows = [{"smiles": each, name: str(int("N" in each))} for each in CHAINS]
    out = tmp_path_factory.mktemp("runs") / "run"
    return heedful.train(request.param, train=rows[:60], valid=rows[60:], out=out, **SMALL)


def test_hiding_the_atom_that_matters_changes_the_prediction(model: heedful.TrainedModel) -> None:
    measured = measure_faithfulness(model.predictor, CHAINS[::6], steps=6)
    assert {"pooling", "encoder", "gradient", "random"} == {*measured}
    for each in measured.values():
        assert each.deletion[0] == pytest.approx(each.insertion[-1], abs=1e-5)
        assert each.deletion[-1] == pytest.approx(each.insertion[0], abs=1e-5)
    assert measured["gradient"].deletion_area < measured["random"].deletion_area


def test_hidden_atoms_have_no_features(model: heedful.TrainedModel) -> None:
    inputs, network = model.predictor.input, model.predictor.model
    [one, other] = inputs.encode(["CCN", "CCO"])
    batch = inputs.collate([inputs.hide(one, [2]), inputs.hide(other, [2])])
    features = network.inputs(batch)
    assert not features[:, 2].any()
    assert (features[0] == features[1]).all()


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_molecule_is_drawn(model: heedful.TrainedModel, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"drawn{suffix}"
    ran = run_command("explain", str(model.run), "CCCN", "--out", str(path))
    assert ran.status == 0, ran.stderr
    written = path.read_bytes()
    if suffix == ".png":
        assert written.startswith(b"\x89PNG")
    else:
        tree = ElementTree.fromstring(written)
        assert tree.tag.endswith("svg")
        title = next(each.text for each in tree if each.tag.endswith("title"))
        assert str(title).endswith(": CCCN")
    assert model.explain("CCCN").png().startswith(b"\x89PNG")


def test_the_pages_show_the_molecule(model: heedful.TrainedModel, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    ran = run_command("explain", str(model.run), "CCCN", "--out", str(page))
    assert ran.status == 0, ran.stderr
    for text in (page.read_text("utf-8"), (model.run / "report.html").read_text("utf-8")):
        assert '"type":"graph","title":"molecule"' in text
    assert "Are the weights faithful?" in (model.run / "report.html").read_text("utf-8")


def record(weights: Any, kind: str = "pooling") -> AttentionRecord:
    array = np.asarray(weights, np.float32)
    queries = ["x"] * array.shape[1]
    return AttentionRecord("", kind, 0, queries, ["a"] * array.shape[2], array)


def test_the_largest_weight_has_the_full_colour() -> None:
    drawn = draw_molecule("CO", [record([[[0.2, 0.8]]])]).decode()
    fills = re.findall(r"class='atom-(\d)'.*?fill:(#\w+)", drawn)
    assert ("1", "#599EF2") in fills
    # a quarter of the way from white
    assert dict(fills)["0"] != "#599EF2"
    bonds = draw_molecule("CO", [record([[[0.5, 0.5], [1.0, 0.0]]], "encoder")]).decode()
    assert bonds.count("#599EF2") >= 2


@pytest.mark.parametrize("smiles", ["C", "[Na+].[Cl-]", "F/C=C/F", "[2H]C", "c1ccccc1", "*C"])
def test_odd_molecules_are_drawn(smiles: str) -> None:
    from heedful.data.molecules.molecule import atom_names

    count = len(atom_names(smiles))
    zeros = record(np.zeros((3, count, count)), "encoder")
    drawn = draw_molecule(smiles, [zeros, record(np.ones((1, 1, count)))])
    assert b"head 3" in drawn or b"<svg" in drawn


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(OptionError, match=r"drawn as \.svg or \.png, of one record or more"):
        draw_molecule("C", [])
    with pytest.raises(OptionError, match="are too many for one picture; choose with --kind"):
        draw_molecule("C", [record(np.ones((1, 1, 1)))] * 401)
