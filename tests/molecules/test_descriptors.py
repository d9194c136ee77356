"""Descriptors of whole molecules: their scales, their file, and a model that reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import heedful
from heedful.data.molecules.descriptors import (
    CUT,
    LIMIT,
    ScaledDescriptors,
    descriptor_names,
    descriptors,
)
from heedful.data.standardize import Standardizer
from heedful.errors import RunError
from heedful.models.encoders.atoms import AtomBatch, AtomFeatures, AtomsConfig
from heedful.models.encoders.local import NoContextConfig, NoContextEncoder
from heedful.models.encoders.spelling import CharacterFeatures
from heedful.models.heads import PooledHead, PoolingConfig

pytest.importorskip("rdkit")

SMILES = [f"{'C' * n}{end}" for n in range(1, 7) for end in ("", "O", "c1ccccc1")]


def test_scaled_on_the_training_molecules() -> None:
    scaled = ScaledDescriptors.fit(SMILES)
    found = scaled(SMILES)
    assert found.shape == (len(SMILES), scaled.width) == (len(SMILES), 2 * len(scaled.names))
    assert set(scaled.names) < set(descriptor_names())
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=0.3)
    assert np.abs(scaled(["C" * 200, "[Na+].[Cl-]"])).max() <= LIMIT


def test_each_descriptor_and_its_logarithm() -> None:
    scaled = ScaledDescriptors.fit(SMILES)
    column = scaled.names.index("MolWt")
    weights = descriptors(SMILES, ["MolWt"])[:, 0]
    for place, values in ((column, weights), (len(scaled.names) + column, np.log1p(weights))):
        wanted = 2 * np.tanh((values - values.mean()) / values.std() / 2)
        np.testing.assert_allclose(scaled(SMILES)[:, place], wanted, rtol=1e-4, atol=1e-6)


def test_runs_from_before_the_logarithms_read_as_they_did(tmp_path: Path) -> None:
    names, path = ("MolWt", "HeavyAtomCount"), tmp_path / "descriptors.json"
    of_old = Standardizer.fit(descriptors(SMILES, names))
    of_old.save(path, names=list(names))
    found = ScaledDescriptors.load(path)
    assert found.width == 2
    wanted = np.clip(of_old.apply(descriptors(["CCO", "C" * 90], names)), -CUT, CUT)
    np.testing.assert_allclose(found(["CCO", "C" * 90]), wanted, rtol=1e-6)


def test_the_file_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "descriptors.json"
    scaled = ScaledDescriptors.fit(SMILES)
    scaled.save(path)
    np.testing.assert_array_equal(ScaledDescriptors.load(path)(SMILES), scaled(SMILES))
    content: dict[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "names": ["Aura", *content["names"][1:]]}))
    with pytest.raises(RunError, match="names the descriptor 'Aura', which this version of RDKit"):
        ScaledDescriptors.load(path)
    path.write_text(json.dumps({**content, "names": ["MolWt"]}))
    with pytest.raises(RunError, match="expected one mean for each name, or two"):
        ScaledDescriptors.load(path)


@pytest.mark.parametrize("hidden", [0, 8])
def test_a_model_reads_them(tmp_path: Path, hidden: int) -> None:
    rows = [{"smiles": each, "target": len(each)} for each in SMILES]
    model = heedful.train(
        "regress-molecules", train=rows, valid=rows, out=tmp_path / "run",
        inputs={"width": 8, "bond_width": 4, "descriptors": True},
        encoder={"kind": "gatv2", "width": 8, "heads": 2, "layers": 1},
        pooling={"hidden": hidden},
        training={"epochs": 1, "threads": 1, "keep_freed_memory": False},
    )  # fmt: skip
    again = heedful.load(tmp_path / "run")
    one, two = (list(each.predict(["OCC", "C"])) for each in (model, again))
    assert one == two
    width = 8 + again.predictor.input.descriptors.width
    assert again.predictor.model.head.output.in_features == (hidden or width)


@pytest.mark.parametrize("kind", [AtomFeatures, CharacterFeatures])
def test_descriptors_are_dropped_in_training_alone_and_by_their_own_probability(kind: Any) -> None:
    options = AtomsConfig(descriptor_dropout=0.25, dropout=0.5)
    sizes = ([3], [2]) if kind is AtomFeatures else (9,)
    features, none = kind(options, *sizes, descriptors=40), torch.zeros(1, 1)
    whole = torch.ones(500, 40)
    batch = AtomBatch(none, none, none, none, whole, none, none, none, none)
    torch.manual_seed(0)
    found = features.whole(batch)
    assert found.unique().tolist() == pytest.approx([0, 4 / 3], rel=1e-4)
    assert (found == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    torch.testing.assert_close(features.eval().whole(batch), whole, rtol=0, atol=0)
    kept = kind(AtomsConfig(descriptor_dropout=0, dropout=0.5), *sizes, descriptors=40)
    torch.testing.assert_close(kept.whole(batch), whole, rtol=0, atol=0)


def test_the_head_drops_the_pooled_vector_and_nothing_of_the_whole() -> None:
    encoder = NoContextEncoder(NoContextConfig(hidden=4), 4)
    encoder.whole_width = 3
    head = PooledHead(PoolingConfig(dropout=0.999), encoder, 1)
    nn.init.ones_(head.output.weight)
    torch.manual_seed(0)
    states = encoder(torch.ones(2, 5, 4), torch.tensor([5, 2]))
    scores = head(states, whole=torch.ones(2, 3)).scores
    torch.testing.assert_close(scores, torch.full((2, 1), 3.0))


def test_a_share_of_descriptors_to_drop() -> None:
    with pytest.raises(ValueError, match="less than 1"):
        AtomsConfig(descriptor_dropout=1.0)
