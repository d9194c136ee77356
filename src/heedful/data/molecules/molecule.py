"""A molecule: its SMILES, and its atoms and bonds as arrays of categories."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.data.molecules.features import ATOM_FEATURES, BOND_FEATURES
from heedful.errors import DataError, OptionError

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Molecule:
    """A molecule as a graph.

    >>> ethanol = Molecule.of("OCC")
    >>> ethanol.atoms.shape, ethanol.bonds.tolist()
    ((3, 9), [[0, 1, 1, 2], [1, 0, 2, 1]])
    """

    smiles: str
    """As it was written."""
    atoms: Integers
    """(atoms, 9): the categories of `ATOM_FEATURES`, in the order of the SMILES."""
    bonds: Integers
    """(2, 2 · bonds): row 0 the source, row 1 the target; each bond in both directions."""
    bond_features: Integers
    """(2 · bonds, 3): the categories of `BOND_FEATURES`."""
    descriptors: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    """(descriptors,), of the whole molecule, standardised; none unless the model reads them."""

    contributions: NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((0, 0), dtype=np.float32)
    )
    """(atoms, contributions), standardised; none unless the model reads them."""

    hidden: tuple[int, ...] = ()
    """Atoms of which the model reads no features."""
    characters: Integers = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    """(characters,), the ids of `spelling.character_ids`; a single 0 unless the model reads them."""

    def __post_init__(self) -> None:
        assert self.bonds.shape == (2, len(self.bond_features))

    @classmethod
    def of(cls, smiles: str, error: Callable[[str], DataError] = DataError) -> Molecule:
        """Read a SMILES. Salts and mixtures are one molecule of several parts.

        Args:
            smiles: the text; spaces around it are ignored.
            error: makes the error that is raised.

        Raises: DataError for a text that is no SMILES, and for no atoms; OptionError without RDKit.
        """
        molecule = parse_smiles(smiles, error)
        atoms = np.array(
            [[feature.index(atom) for feature in ATOM_FEATURES] for atom in molecule.GetAtoms()],
            dtype=np.int64,
        )
        pairs, features = [], []
        for bond in molecule.GetBonds():
            begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            pairs += [(begin, end), (end, begin)]
            features += [[feature.index(bond) for feature in BOND_FEATURES]] * 2
        return cls(
            smiles,
            atoms,
            np.array(pairs, dtype=np.int64).reshape(-1, 2).T,
            np.array(features, dtype=np.int64).reshape(-1, len(BOND_FEATURES)),
        )


def parse_smiles(smiles: str, error: Callable[[str], DataError] = DataError) -> Any:
    """Return RDKit's molecule of a SMILES.

    Raises: DataError for a text that is no SMILES, and for no atoms; OptionError without RDKit.
    """
    chem = _rdkit()
    from rdkit import rdBase

    if len(smiles.split()) > 1:
        raise error(
            f"{smiles[:80]!r} holds a space; expected a SMILES alone, without a name behind it."
        )
    with rdBase.BlockLogs():
        molecule = chem.MolFromSmiles(smiles.strip())
        if molecule is None:
            # Tell a spelling mistake from chemistry that does not add up.
            is_written = chem.MolFromSmiles(smiles.strip(), sanitize=False) is not None
            raise error(
                f"{smiles[:80]!r} is "
                + (
                    "a molecule with an impossible valence or aromatic ring; correct it."
                    if is_written
                    else "no SMILES; correct it."
                )
            )
    if molecule.GetNumAtoms() == 0:
        raise error("the SMILES is empty; fill it in or remove the row.")
    return molecule


def atom_names(smiles: str) -> list[str]:
    """Return the element and the number of each atom, from 1, in the order of the SMILES.

    >>> atom_names("OCC")
    ['O1', 'C2', 'C3']
    """
    atoms = parse_smiles(smiles).GetAtoms()
    return [f"{atom.GetSymbol()}{number}" for number, atom in enumerate(atoms, start=1)]


def canonical_smiles(smiles: str) -> str:
    """Return RDKit's canonical spelling, the same for all spellings of a molecule.

    >>> canonical_smiles("OCC") == canonical_smiles("C(O)C")
    True
    """
    text: str = _rdkit().MolToSmiles(parse_smiles(smiles))
    return text


def random_smiles(smiles: str, seed: int) -> str:
    """Return another spelling of the same molecule, drawn by `seed`: the atoms are begun and followed in random order.

    Bjerrum 2017 (https://arxiv.org/abs/1703.07076): more spellings of the same molecules are more training data.

    >>> canonical_smiles(random_smiles("CC(=O)Oc1ccccc1C(=O)O", seed=3)) == canonical_smiles("CC(=O)Oc1ccccc1C(=O)O")
    True
    """
    molecule = parse_smiles(smiles)
    order = list(range(molecule.GetNumAtoms()))
    random.Random(seed).shuffle(order)
    renumbered = _rdkit().RenumberAtoms(molecule, order)
    text: str = _rdkit().MolToSmiles(renumbered, canonical=False)
    return text


def _rdkit() -> Any:
    try:
        from rdkit import Chem
    except ImportError:
        raise OptionError(
            'reading molecules needs RDKit; install it: pip install "heedful[molecules]"'
        ) from None
    return Chem
