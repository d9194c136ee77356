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

LIMIT: Final = 2.0
"""Standardised descriptors stay below this: rare counts, and charges of unusual molecules, are far off."""
CUT: Final = 6.0
"""Where descriptors of runs without logarithms are cut off."""


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


def with_logarithms(values: Numbers) -> Numbers:
    r"""Return (molecules, 2 · names): descriptors, and :math:`\mathrm{sign}(v) \log(1 + |v|)` of each.

    >>> with_logarithms(np.array([[0.0, -1.0]])).round(2).tolist()
    [[0.0, -1.0, 0.0, -0.69]]
    """
    return np.concatenate([values, np.sign(values) * np.log1p(np.abs(values))], axis=-1)


def squashed(values: Numbers, standardizer: Standardizer) -> NDArray[np.float32]:
    r"""Return :math:`2 \tanh(z/2)` of the standardised values z; what is not known is 0, the mean.

    >>> squashed(np.array([[np.nan, 1000.0]]), Standardizer(np.zeros(2), np.ones(2))).tolist()
    [[0.0, 2.0]]
    """
    scaled = np.nan_to_num(standardizer.apply(values))
    return (LIMIT * np.tanh(scaled / LIMIT)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class ScaledDescriptors:
    r"""The descriptors that differ among training molecules and their logarithms, standardised and squashed.

    .. math:: 2 \tanh(z/2)

    >>> scaled = ScaledDescriptors.fit(["C", "CC", "CCO"])
    >>> scaled(["CCC"]).shape == (1, scaled.width) == (1, 2 * len(scaled.names))
    True
    """

    names: tuple[str, ...]
    standardizer: Standardizer
    """Of `with_logarithms`; of runs from before there were these, of the descriptors alone, cut off at `CUT`."""

    @classmethod
    def fit(cls, smiles: Sequence[str]) -> Self:
        """Choose the descriptors and take mean and deviation."""
        names, values = descriptor_names(), descriptors(smiles)
        known = ~np.isnan(values).all(axis=0)
        values, names = values[:, known], tuple(np.array(names)[known].tolist())
        differ = np.nanmax(values, axis=0) > np.nanmin(values, axis=0)
        kept = tuple(np.array(names)[differ].tolist())
        return cls(kept, Standardizer.fit(with_logarithms(values[:, differ])))

    @property
    def width(self) -> int:
        """Number of features of a molecule."""
        return self.standardizer.mean.size

    @property
    def has_logarithms(self) -> bool:
        """False for runs from before there were logarithms."""
        return self.width > len(self.names)

    def __call__(self, smiles: Sequence[str]) -> NDArray[np.float32]:
        """Return (molecules, width); what cannot be computed is 0, the mean."""
        values = descriptors(smiles, self.names)
        if not self.has_logarithms:
            scaled = np.nan_to_num(self.standardizer.apply(values))
            return np.clip(scaled, -CUT, CUT).astype(np.float32)
        return squashed(with_logarithms(values), self.standardizer)

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
        if not isinstance(names, list) or standardizer.mean.size not in {
            len(names),
            2 * len(names),
        }:
            raise RunError(
                f"{path} is damaged: expected one mean for each name, or two; copy the run folder again"
            )
        missing = [str(name) for name in names if name not in set(descriptor_names())]
        if missing:
            raise RunError(
                f"{path} names the descriptor {missing[0][:40]!r}, which this version of RDKit does not have; install "
                "the version that the run was trained with, or train anew"
            )
        return cls(tuple(names), standardizer)
