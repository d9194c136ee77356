"""Molecules beside PyTorch Geometric's reading of the same SMILES, and splits beside RDKit's scaffolds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from heedful.data.molecules.features import ATOM_FEATURES, BOND_FEATURES
from heedful.data.molecules.molecule import (
    Molecule,
    canonical_smiles,
    parse_smiles,
    random_smiles,
)
from heedful.data.molecules.splits import (
    SPLITS,
    Split,
    folds,
    load_splits,
    save_splits,
    scaffold,
    split_molecules,
)
from heedful.errors import DataError, OptionError

pytest.importorskip("rdkit")

SMILES = [
    "CC(=O)Oc1ccccc1C(=O)O", "OCC", "[Na+].[Cl-]", "C", "C/C=C/C", "C/C=C\\C", "N[C@@H](C)C(=O)O", "C#N",
    "[CH3]", "F[P-](F)(F)(F)(F)F", "c1ccc2c(c1)[nH]c1ccccc12", "OC1CCCCC1", "[U]", "O=S(=O)(O)O", "C1CC1",
    "CCOC(=O)c1ccc(N)cc1", "Clc1ccc(Cl)cc1", "CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O", "CCCCCC", "[2H]O[2H]",
]  # fmt: skip
RINGS = [
    "",
    "c1ccccc1",
    "C1CC1",
    "c1ccncc1",
    "C1CCC1",
    "c1ccoc1",
    "c1ccsc1",
    "C1CCCC1",
    "c1ccc2ccccc2c1",
    "C1CCCCC1",
]
MANY = [f"{'C' * n}{ring}" for n in range(1, 5) for ring in RINGS]


@pytest.mark.parametrize("smiles", SMILES)
def test_atoms_and_bonds_are_those_of_pyg(smiles: str) -> None:
    from_smiles = pytest.importorskip("torch_geometric.utils").from_smiles
    molecule, theirs = Molecule.of(smiles), from_smiles(smiles)
    # PyG numbers atoms from 0, a dummy atom, and has more categories of chirality and hybridization.
    wanted = theirs.x.numpy().copy()
    wanted[:, 0] -= 1
    assert np.array_equal(
        molecule.atoms[:, [0, 2, 3, 4, 5, 7, 8]], wanted[:, [0, 2, 3, 4, 5, 7, 8]]
    )
    order = np.lexsort(molecule.bonds[::-1])
    assert np.array_equal(molecule.bonds[:, order], theirs.edge_index.numpy())
    assert np.array_equal(molecule.bond_features[order][:, 2], theirs.edge_attr[:, 2].numpy())


def test_every_category_is_in_range() -> None:
    for smiles in SMILES:
        molecule = Molecule.of(smiles)
        for values, features in (
            (molecule.atoms, ATOM_FEATURES),
            (molecule.bond_features, BOND_FEATURES),
        ):
            for column, feature in zip(values.T, features, strict=True):
                assert bool(((column >= 0) & (column < feature.size)).all()), (smiles, feature.name)


def test_stereo_is_told_apart() -> None:
    left, right = Molecule.of("N[C@@H](C)C(=O)O"), Molecule.of("N[C@H](C)C(=O)O")
    assert not np.array_equal(left.atoms, right.atoms)
    trans, cis = Molecule.of("C/C=C/C"), Molecule.of("C/C=C\\C")
    assert not np.array_equal(trans.bond_features, cis.bond_features)


def test_a_single_atom_has_no_bonds() -> None:
    methane = Molecule.of(" C ")
    assert (methane.atoms.shape, methane.bonds.shape, methane.bond_features.shape) == (
        (1, 9),
        (2, 0),
        (0, 3),
    )


BAD = [
    ("", "is empty"),
    ("xyz", "no SMILES"),
    ("C(", "no SMILES"),
    ("F(C)C", "impossible valence"),
    ("CC ethane", "space"),
]


@pytest.mark.parametrize(("smiles", "message"), BAD)
def test_what_is_no_molecule(smiles: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=message):
        Molecule.of(smiles)
    assert capfd.readouterr() == ("", "")


def test_other_spellings_are_the_same_molecule() -> None:
    for smiles in SMILES:
        spellings = {random_smiles(smiles, seed) for seed in range(8)}
        assert {canonical_smiles(each) for each in spellings} == {canonical_smiles(smiles)}
        assert random_smiles(smiles, 5) == random_smiles(smiles, 5)
    assert len({random_smiles(SMILES[0], seed) for seed in range(8)}) > 4


@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("seed", [0, 1])
def test_splits_are_parts(kind: str, seed: int) -> None:
    split = split_molecules(MANY, kind, sizes=(0.7, 0.15, 0.15), seed=seed)
    assert sorted(row for part in split for row in part) == list(range(len(MANY)))
    assert all(part == tuple(sorted(part)) for part in split)
    assert split == split_molecules(MANY, kind, sizes=(0.7, 0.15, 0.15), seed=seed)
    if kind != "random":
        parts = [{scaffold(MANY[row]) for row in part} for part in split]
        assert not (parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2])


def test_the_seed_matters_where_it_should() -> None:
    for kind, matters in (("random", True), ("scaffold", False), ("scaffold_balanced", True)):
        found = {split_molecules(MANY, kind, sizes=(0.6, 0.2, 0.2), seed=seed) for seed in range(6)}
        assert (len(found) > 1) is matters


def test_scaffolds_are_those_of_rdkit() -> None:
    from rdkit import Chem
    from rdkit.Chem.Scaffolds import MurckoScaffold

    for smiles in SMILES:
        core = MurckoScaffold.GetScaffoldForMol(parse_smiles(smiles))
        Chem.RemoveStereochemistry(core)
        assert scaffold(smiles) == Chem.MolToSmiles(core)


def test_folds() -> None:
    found = folds(MANY, 5, seed=0)
    assert sorted(row for split in found for row in split.test) == list(range(len(MANY)))
    for split in found:
        assert sorted(row for part in split for row in part) == list(range(len(MANY)))
    for count in (2, 41):
        with pytest.raises(OptionError, match=f"{count} folds of 40"):
            folds(MANY, count, seed=0)


def test_splits_are_saved_and_read(tmp_path: Path) -> None:
    path, splits = tmp_path / "splits.json", folds(MANY, 4, seed=1)
    save_splits(path, splits)
    assert load_splits(path, len(MANY)) == splits
    path.write_text(json.dumps([{"train": "0-3,7", "val": [4], "test": "5,6"}]))
    assert load_splits(path, 8) == [Split((0, 1, 2, 3, 7), (4,), (5, 6))]


FILES = [
    ("{", "expected a list"),
    ('{"train": 1}', "expected a list"),
    ('[{"train": "a-b"}]', "expected a list"),
    ('[{"train": [0, 9]}]', "split 1 names row 9; the table has rows 0 to 7"),
    ('[{"train": [0], "val": [0]}]', "split 1 names a row twice"),
]


@pytest.mark.parametrize(("content", "message"), FILES)
def test_files_of_splits_that_are_none(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "splits.json").write_text(content)
    with pytest.raises(DataError, match=message):
        load_splits(tmp_path / "splits.json", 8)
    with pytest.raises(DataError, match="cannot be read"):
        load_splits(tmp_path / "none.json", 8)


def test_splits_that_cannot_be() -> None:
    with pytest.raises(OptionError, match="did you mean 'scaffold'"):
        split_molecules(MANY, "scafold")
    with pytest.raises(OptionError, match="give three shares"):
        split_molecules(MANY, "random", sizes=(0.8, 0.3, 0.1))
    with pytest.raises(OptionError, match="leaves nothing for valid"):
        split_molecules(["C", "CC"], "random")
    assert split_molecules(["C", "CC"], "random", sizes=(0.5, 0.5, 0.0)).test == ()
