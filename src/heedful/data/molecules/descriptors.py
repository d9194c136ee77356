"""RDKit's descriptors of a whole molecule, such as its weight, and their scales on training data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from heedful.data.molecules.molecule import parse_smiles
from heedful.data.standardize import Standardizer
from heedful.errors import RunError

Numbers = NDArray[np.float64]

LARGEST: Final = 6.0
"""Standardised descriptors are cut off here: a few, such as those of charges, are far off for unusual molecules."""


def descriptor_names() -> tuple[str, ...]:
    """Return the names of RDKit's descriptors but Ipc, which grows exponentially and is there as AvgIpc too."""
    from rdkit.Chem import Descriptors

    names: Any = Descriptors.descList
    return tuple(name for name, _ in names if name != "Ipc")


@lru_cache(maxsize=20_000)
def _computed(smiles: str) -> dict[str, float]:
    from rdkit import rdBase
    from rdkit.Chem import Descriptors

    compute: Any = Descriptors.CalcMolDescriptors
    with rdBase.BlockLogs():
        found: dict[str, float] = compute(parse_smiles(smiles), missingVal=np.nan, silent=True)
    return found


def descriptors(smiles: Sequence[str], names: Sequence[str] | None = None) -> Numbers:
    """Return descriptors of molecules, (molecules, names): NaN where one cannot be computed.

    >>> descriptors(["CCO", "C"], ["HeavyAtomCount", "NumHDonors"]).tolist()
    [[3.0, 1.0], [1.0, 0.0]]
    """
    names = descriptor_names() if names is None else names
    rows = [[_computed(each)[name] for name in names] for each in smiles]
    found = np.array(rows, dtype=np.float64).reshape(len(smiles), len(names))
    return np.where(np.isfinite(found), found, np.nan)


@dataclass(frozen=True, eq=False)
class ScaledDescriptors:
    """The descriptors that differ among training molecules, standardised, and cut off at `LARGEST` deviations.

    >>> scaled = ScaledDescriptors.fit(["C", "CC", "CCO"])
    >>> scaled(["CCC"]).shape == (1, len(scaled.names))
    True
    """

    names: tuple[str, ...]
    standardizer: Standardizer

    @classmethod
    def fit(cls, smiles: Sequence[str]) -> Self:
        """Choose the descriptors and take mean and deviation."""
        names, values = descriptor_names(), descriptors(smiles)
        known = ~np.isnan(values).all(axis=0)
        values, names = values[:, known], tuple(np.array(names)[known].tolist())
        differ = np.nanmax(values, axis=0) > np.nanmin(values, axis=0)
        kept = tuple(np.array(names)[differ].tolist())
        return cls(kept, Standardizer.fit(values[:, differ]))

    def __call__(self, smiles: Sequence[str]) -> NDArray[np.float32]:
        """Return (molecules, names); what cannot be computed is 0, the mean."""
        values = self.standardizer.apply(descriptors(smiles, self.names))
        return np.clip(np.nan_to_num(values), -LARGEST, LARGEST).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write names, means and deviations as JSON."""
        self.standardizer.save(path, names=list(self.names))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises: RunError for a file that is missing or damaged, and for a descriptor that this RDKit does not have.
        """
        standardizer, values = Standardizer.load(path)
        names = values.get("names")
        if not isinstance(names, list) or len(names) != standardizer.mean.size:
            raise RunError(
                f"{path} is damaged: expected a name for each mean; copy the run folder again"
            )
        missing = [str(name) for name in names if name not in set(descriptor_names())]
        if missing:
            raise RunError(
                f"{path} names the descriptor {missing[0][:40]!r}, which this version of RDKit does not have; install "
                "the version that the run was trained with, or train anew"
            )
        return cls(tuple(names), standardizer)
