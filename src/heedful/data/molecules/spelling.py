"""SMILES as sequences of characters."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

FIRST: Final = 33
"""The first printable character of ASCII after the space."""
CHARACTERS: Final = 127 - FIRST + 1
"""Number of ids: 0 is padding, the others are the printable characters of ASCII, of which SMILES consist."""


def character_ids(smiles: str) -> NDArray[np.int64]:
    """Return the id of each character of a SMILES without spaces around it.

    >>> character_ids("CC=O").tolist()
    [35, 35, 29, 47]
    """
    ids = np.frombuffer(smiles.encode("ascii"), np.uint8).astype(np.int64) - FIRST + 1
    assert ids.min(initial=1) > 0
    return ids
