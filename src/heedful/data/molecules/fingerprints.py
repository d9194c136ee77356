"""Extended-connectivity fingerprints, and the most similar molecules by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.data.molecules.molecule import parse_smiles

RADIUS: Final = 2
"""ECFP4: neighbourhoods of up to 2 bonds around each atom, a diameter of 4."""


def fingerprints(smiles: Sequence[str], bits: int = 2048) -> list[Any]:
    """Return RDKit's bit vectors ECFP4 (Rogers and Hahn 2010, https://doi.org/10.1021/ci100050t), one a molecule.

    >>> [each.GetNumBits() for each in fingerprints(["CCO"], bits=64)]
    [64]
    """
    from rdkit.Chem import rdFingerprintGenerator

    generator: Any = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=bits)
    return [generator.GetFingerprint(parse_smiles(each)) for each in smiles]


def similarities(smiles: Sequence[str], others: Sequence[str]) -> NDArray[np.float64]:
    r"""Return the Tanimoto similarity of fingerprints, (smiles, others): :math:`|A \cap B| / |A \cup B|`.

    >>> similarities(["CCO"], ["OCC", "c1ccccc1"]).tolist()
    [[1.0, 0.0]]
    """
    from rdkit import DataStructs

    compare: Any = DataStructs.BulkTanimotoSimilarity
    known = fingerprints(others)
    return np.array([compare(each, known) for each in fingerprints(smiles)], dtype=np.float64)
