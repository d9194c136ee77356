"""Molecules read as characters, and by both views together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import heedful
from heedful.data.molecules.molecule import Molecule, canonical_smiles
from heedful.data.molecules.spelling import CHARACTERS, FIRST, character_ids
from heedful.inputs.molecules import Molecules
from heedful.models.encoders.atoms import AtomFeatures, AtomsConfig
from heedful.models.encoders.spelling import CharacterFeatures

pytest.importorskip("rdkit")

ROWS = [
    {"smiles": f"{'C' * n}{end}", "target": n} for n in range(1, 9) for end in ("", "O", "c1ccccc1")
]
SMALL: dict[str, Any] = {
    "encoder": {"kind": "gatv2", "width": 8, "heads": 2, "layers": 1},
    "character_encoder": {"kind": "gru", "hidden": 4, "layers": 1},
    "training": {"epochs": 2, "threads": 1, "keep_freed_memory": False, "batch_tokens": 60},
}


def train(tmp_path: Path, view: str, **inputs: Any) -> heedful.TrainedModel:
    return heedful.train(
        "regress-molecules", train=ROWS, valid=ROWS, out=tmp_path / view,
        inputs={"width": 8, "bond_width": 4, "view": view, **inputs}, **SMALL,
    )  # fmt: skip


def written(molecule: Molecule) -> str:
    return "".join(chr(each + FIRST - 1) for each in molecule.characters.tolist())


def test_a_training_example_is_spelled_anew_and_stays_the_same_molecule() -> None:
    aspirin = "CC(=O)Oc1ccccc1C(=O)O"
    inputs = Molecules(AtomsConfig(view="characters"))
    [encoded] = inputs.encode([aspirin])
    assert written(encoded) == canonical_smiles(aspirin)
    vary = inputs.augmentation()
    assert vary is not None
    spellings = {
        written(vary(encoded, np.random.default_rng([0, epoch, 0]))) for epoch in range(20)
    }
    assert len(spellings) > 10
    assert {canonical_smiles(each) for each in spellings} == {canonical_smiles(aspirin)}
    again = {written(vary(encoded, np.random.default_rng([0, epoch, 0]))) for epoch in range(20)}
    assert again == spellings
    assert Molecules(AtomsConfig()).augmentation() is None
    assert Molecules(AtomsConfig(view="both", random_spellings=False)).augmentation() is None


def test_ids_of_characters() -> None:
    every = "".join(map(chr, range(FIRST, 127)))
    ids = character_ids(every)
    assert sorted(ids.tolist()) == list(range(1, CHARACTERS))


def test_characters_are_read_and_explained(tmp_path: Path) -> None:
    model = train(tmp_path, "characters")
    assert isinstance(model.predictor.model.inputs, CharacterFeatures)
    one, other = model.predict(["OCC", "C(O)C"])
    assert one.value == pytest.approx(other.value, rel=1e-6)
    explained = heedful.load(tmp_path / "characters").explain("OCC")
    assert explained.structure is None
    assert explained.records[-1].key_tokens == tuple(canonical_smiles("OCC"))
    batch = model.predictor.input.collate(model.predictor.input.encode(["CCCO", "C"]))
    with torch.no_grad():
        together = model.predictor.model.eval()(batch)
        alone = model.predictor.model(
            model.predictor.input.collate(model.predictor.input.encode(["C"]))
        )
    torch.testing.assert_close(together[1:], alone)


def test_both_views_are_an_ensemble(tmp_path: Path) -> None:
    model = train(tmp_path, "both", descriptors=True)
    members = model.predictor.model.members
    assert [type(each.inputs) for each in members] == [AtomFeatures, CharacterFeatures]
    again = heedful.load(tmp_path / "both")
    [prediction] = again.predict(["CCO"])
    assert len(prediction.deviations) == 1
    explained = again.explain("CCO")
    assert explained.records[0].key_tokens == ("C1", "C2", "O3")
    assert {each.kind for each in explained.records} == {"encoder", "pooling"}
    assert explained.structure == "CCO"
    report = (tmp_path / "both" / "report.html").read_text("utf-8")
    assert "the encoder gatv2 of atoms and the encoder gru of characters" in report
