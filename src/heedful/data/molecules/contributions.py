"""What each atom contributes to properties of its molecule, such as its solubility in octanol, and the scales of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from heedful.data.molecules.descriptors import squashed
from heedful.data.molecules.molecule import parse_smiles
from heedful.data.standardize import Standardizer
from heedful.errors import RunError

Numbers = NDArray[np.float64]

CONTRIBUTIONS: Final = (
    "log P",
    "molar refractivity",
    "polar surface",
    "surface",
    "partial charge",
    "charge of hydrogens",
    "electrotopological state",
)
"""Crippen's two (Wildman and Crippen 1999, https://doi.org/10.1021/ci990307l), Ertl's polar surface (2000,
https://doi.org/10.1021/jm000942e), Labute's surface (2000, https://doi.org/10.1016/S1093-3263(00)00068-1), Gasteiger's
charges (1980, https://doi.org/10.1016/0040-4020(80)80168-2), and the state of Hall and Kier
(1995, https://doi.org/10.1021/ci00028a014)."""


def contributions(smiles: str) -> Numbers:
    """Return the contributions of the atoms of a molecule, (atoms, `CONTRIBUTIONS`): NaN where one is not known.

    >>> contributions("CO")[:, 2].tolist()
    [0.0, 20.23]
    """
    from rdkit import rdBase
    from rdkit.Chem import rdMolDescriptors, rdPartialCharges
    from rdkit.Chem.EState import EState

    molecule = parse_smiles(smiles)
    of: Any = rdMolDescriptors
    with rdBase.BlockLogs():
        surfaces, _ = of._CalcLabuteASAContribs(molecule)
        charges: Any = rdPartialCharges.ComputeGasteigerCharges
        charges(molecule)
        states: Any = EState.EStateIndices
        columns = [
            *zip(*of._CalcCrippenContribs(molecule), strict=True),
            of._CalcTPSAContribs(molecule),
            surfaces,
            [atom.GetDoubleProp("_GasteigerCharge") for atom in molecule.GetAtoms()],
            [atom.GetDoubleProp("_GasteigerHCharge") for atom in molecule.GetAtoms()],
            states(molecule),
        ]
    found = np.array([list(column) for column in columns], dtype=np.float64).T
    return np.where(np.isfinite(found), found, np.nan)


@dataclass(frozen=True, eq=False)
class ScaledContributions:
    """Contributions standardised over the atoms of the training molecules, and squashed as descriptors are.

    >>> scaled = ScaledContributions.fit(["CCO", "CN"])
    >>> scaled("CCC").shape == (3, len(CONTRIBUTIONS))
    True
    """

    standardizer: Standardizer

    @classmethod
    def fit(cls, smiles: Sequence[str]) -> Self:
        """Take mean and deviation; one that no atom has is 0."""
        values = np.concatenate([contributions(each) for each in smiles])
        return cls(Standardizer.fit(np.where(np.isnan(values).all(axis=0), 0.0, values)))

    def __call__(self, smiles: str) -> NDArray[np.float32]:
        """Return (atoms, `CONTRIBUTIONS`); what is not known is 0, the mean."""
        return squashed(contributions(smiles), self.standardizer)

    def save(self, path: Path) -> None:
        """Write names, means and deviations as JSON."""
        self.standardizer.save(path, names=list(CONTRIBUTIONS))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises: RunError for a file that is missing or damaged, or of other contributions.
        """
        standardizer, values = Standardizer.load(path)
        if values.get("names") != list(CONTRIBUTIONS) or standardizer.mean.size != len(
            CONTRIBUTIONS
        ):
            raise RunError(
                f"{path} is damaged: expected the contributions {', '.join(CONTRIBUTIONS)}; copy the run folder again "
                "or train anew"
            )
        return cls(standardizer)
