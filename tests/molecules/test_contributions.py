"""What atoms contribute: beside RDKit's sums over the molecule, the file of a run, and a model that reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import heedful
from heedful.data.molecules.contributions import (
    CONTRIBUTIONS,
    ScaledContributions,
    contributions,
)
from heedful.data.molecules.descriptors import LIMIT
from heedful.data.molecules.molecule import parse_smiles
from heedful.errors import OptionError, RunError

rdkit = pytest.importorskip("rdkit")

SMILES = [f"{'C' * n}{end}" for n in range(1, 7) for end in ("", "O", "c1ccccc1")]
ODD = ["CC(=O)Oc1ccccc1C(=O)O", "[Na+].[Cl-]", "O=[N+]([O-])c1ccc(Cl)cc1Br", "*C", "[U]", "[H][H]"]


@pytest.mark.parametrize("smiles", ODD)
def test_there_is_a_row_for_each_atom(smiles: str) -> None:
    found = contributions(smiles)
    assert found.shape == (parse_smiles(smiles).GetNumAtoms(), len(CONTRIBUTIONS))
    assert not np.isinf(found).any()


def test_their_sums_are_the_descriptors_of_the_molecule() -> None:
    from rdkit.Chem import Crippen, rdMolDescriptors

    for smiles in ("CC(=O)Oc1ccccc1C(=O)O", "OCC", "N#Cc1ccncc1"):
        molecule: Any = parse_smiles(smiles)
        of: Any = rdMolDescriptors
        sums = dict(zip(CONTRIBUTIONS, contributions(smiles).sum(axis=0), strict=True))
        # Crippen's sums over the molecule count its hydrogens too.
        with_hydrogens = rdkit.Chem.AddHs(molecule)
        hydrogens = sum(
            each[0]
            for each, atom in zip(
                of._CalcCrippenContribs(with_hydrogens), with_hydrogens.GetAtoms(), strict=True
            )
            if atom.GetAtomicNum() == 1
        )
        assert sums["log P"] + hydrogens == pytest.approx(Crippen.MolLogP(molecule))  # type: ignore[attr-defined]
        assert sums["polar surface"] == pytest.approx(of.CalcTPSA(molecule))
        assert sums["partial charge"] + sums["charge of hydrogens"] == pytest.approx(0, abs=1e-6)


def test_scaled_on_the_atoms_of_the_training_molecules() -> None:
    scaled = ScaledContributions.fit(SMILES)
    found = np.concatenate([scaled(each) for each in SMILES])
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=0.5)
    assert np.abs(scaled("FC(F)(F)S(=O)(=O)O")).max() <= LIMIT
    assert np.isfinite(scaled("[U]")).all()
    assert np.isfinite(ScaledContributions.fit(["[U]", "[U]"])("C")).all()


def test_the_file_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "contributions.json"
    scaled = ScaledContributions.fit(SMILES)
    scaled.save(path)
    np.testing.assert_array_equal(ScaledContributions.load(path)("CCO"), scaled("CCO"))
    content: dict[str, Any] = json.loads(path.read_text())
    for change in ({"names": ["mass"]}, {"mean": [0.0], "scale": [1.0]}):
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(RunError, match="expected the contributions log P, molar"):
            ScaledContributions.load(path)


def trained(tmp_path: Path, **inputs: Any) -> heedful.TrainedModel:
    rows = [{"smiles": each, "target": len(each)} for each in SMILES]
    return heedful.train(
        "regress-molecules", train=rows, valid=rows, out=tmp_path / "run",
        inputs={"width": 8, "bond_width": 4, "contributions": True, **inputs},
        encoder={"kind": "gatv2", "width": 8, "heads": 2, "layers": 1},
        character_encoder={"kind": "gru", "hidden": 4},
        training={"epochs": 1, "threads": 1, "keep_freed_memory": False},
    )  # fmt: skip


@pytest.mark.parametrize("view", ["atoms", "both"])
def test_a_model_reads_them(tmp_path: Path, view: str) -> None:
    model = trained(tmp_path, view=view)
    again = heedful.load(tmp_path / "run")
    one, two = (list(each.predict(["OCC", "C"])) for each in (model, again))
    assert one == two
    inputs, network = again.predictor.input, again.predictor.model.eval()
    batch = inputs.collate(inputs.encode(["OCC", "C"]))
    assert not batch.contributions[1, 1:].any()
    other = batch._replace(contributions=batch.contributions + 1)
    hidden = batch._replace(hidden=torch.ones_like(batch.hidden))
    with torch.no_grad():
        assert not torch.allclose(network(batch), network(other))
        wanted = network(hidden)
        found = network(hidden._replace(contributions=batch.contributions + 1))
    torch.testing.assert_close(found, wanted)


def test_characters_alone_have_none(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"inputs\.contributions .* of atoms, .* view 'atoms'"):
        trained(tmp_path, view="characters")
