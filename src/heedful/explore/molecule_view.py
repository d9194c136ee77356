"""Places of the atoms of a molecule on a page, and what stands there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from heedful.data.molecules.molecule import parse_smiles
from heedful.explore.graph_view import GraphView


def molecule_view(smiles: str, names: Sequence[str]) -> GraphView | None:
    """Return the formula of a molecule, as RDKit lays it out; None where the names are not those of its atoms.

    Args:
        smiles: the molecule.
        names: what its atoms are called.

    >>> view = molecule_view("OC=C", ["O1", "C2", "C3"])
    >>> view.labels, view.pairs.T.tolist(), view.orders
    (('OH', '', ''), [[0, 1], [1, 2]], (1, 2))
    """
    from rdkit import Chem
    from rdkit.Chem import rdDepictor

    molecule = Chem.Mol(parse_smiles(smiles))
    if molecule.GetNumAtoms() != len(names):
        return None
    Chem.Kekulize(molecule, clearAromaticFlags=True)
    rdDepictor.Compute2DCoords(molecule)
    places = np.asarray(molecule.GetConformer().GetPositions(), np.float64)[:, :2]
    low, high = places.min(axis=0), places.max(axis=0)
    places = 0.5 + (places - (low + high) / 2) / max(float((high - low).max()), 1e-9)
    bonds = [(each.GetBeginAtomIdx(), each.GetEndAtomIdx()) for each in molecule.GetBonds()]
    orders = tuple(max(1, round(each.GetBondTypeAsDouble())) for each in molecule.GetBonds())
    labels = tuple(_label(atom) for atom in molecule.GetAtoms())
    pairs = np.array(bonds, np.int64).reshape(-1, 2).T
    return GraphView(tuple(names), pairs, places, labels=labels, orders=orders)


def _label(atom: Any) -> str:
    """Return the symbol of an atom with its hydrogens and charge; nothing for a carbon inside a chain."""
    symbol, charge, hydrogens = atom.GetSymbol(), atom.GetFormalCharge(), atom.GetTotalNumHs()
    if symbol == "C" and not charge and atom.GetDegree() > 0:
        return ""
    attached = "H" * bool(hydrogens) + (chr(0x2080 + hydrogens) if hydrogens > 1 else "")
    sign = "" if not charge else ("+" if charge > 0 else "\N{MINUS SIGN}")
    return f"{symbol}{attached}{'' if abs(charge) < 2 else abs(charge)}{sign}"
