"""Categorical features of atoms and bonds: those of the Open Graph Benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Feature:
    """One categorical feature: its name, its known values, and the method of RDKit's atoms or bonds that tells it."""

    name: str
    values: Sequence[str | int | bool]
    """Enumerations by their names."""
    method: str
    has_other: bool = True
    """Whether the last category is for values that are not listed."""

    @property
    def size(self) -> int:
        """Number of categories."""
        return len(self.values) + self.has_other

    def index(self, part: Any) -> int:
        """Return the category of an atom or bond."""
        value = getattr(part, self.method)()
        if isinstance(self.values[0], str):
            value = str(value)
        if value in self.values:
            return self.values.index(value)
        assert self.has_other, (self.name, value)
        return len(self.values)


ATOM_FEATURES: Final[Sequence[Feature]] = (
    Feature("atomic number", range(1, 119), "GetAtomicNum"),
    Feature(
        "chirality",
        ("CHI_UNSPECIFIED", "CHI_TETRAHEDRAL_CW", "CHI_TETRAHEDRAL_CCW", "CHI_OTHER"),
        "GetChiralTag",
    ),
    Feature("degree", range(11), "GetTotalDegree"),
    Feature("formal charge", range(-5, 6), "GetFormalCharge"),
    Feature("hydrogens", range(9), "GetTotalNumHs"),
    Feature("radical electrons", range(5), "GetNumRadicalElectrons"),
    Feature(
        "hybridization",
        ("SP", "SP2", "SP3", "SP3D", "SP3D2"),
        "GetHybridization",
    ),
    Feature("aromatic", (False, True), "GetIsAromatic", has_other=False),
    Feature("in a ring", (False, True), "IsInRing", has_other=False),
)
"""The nine features of an atom (Hu et al. 2020, https://arxiv.org/abs/2005.00687)."""

BOND_FEATURES: Final[Sequence[Feature]] = (
    Feature("type", ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC"), "GetBondType"),
    Feature(
        "stereo",
        ("STEREONONE", "STEREOZ", "STEREOE", "STEREOCIS", "STEREOTRANS", "STEREOANY"),
        "GetStereo",
    ),
    Feature("conjugated", (False, True), "GetIsConjugated", has_other=False),
)
"""The three features of a bond. Atropisomeric bonds, which OGB has no category for, have the last one of stereo."""
