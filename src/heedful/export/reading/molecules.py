"""Molecules as categories of atoms and bonds, or as characters of their SMILES."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from heedful.atomic_files import write_text
from heedful.data.molecules.descriptors import LARGEST
from heedful.data.molecules.features import ATOM_FEATURES, BOND_FEATURES, Feature
from heedful.data.molecules.spelling import FIRST
from heedful.export.program import Given
from heedful.export.reading.base import BATCH, LENGTH, Code, Reading
from heedful.models.encoders.atoms import AtomBatch
from heedful.strict_json import to_strict_json

FEATURES: Final = "features.json"
"""File with the categories of atoms and bonds, and the methods of RDKit that tell them."""
BONDS: Final = 7
SPELLED: Final = 11
"""Characters of the example."""


class MoleculesReading(Reading):
    """Of atoms: `atoms` (batch, length, features), the category of each feature of `features.json`, with anything at
    padding, `lengths` (batch,), `bonds` (2, bonds), each in both directions, atom i of molecule m having the number m ·
    length + i, and `kinds` (bonds, features). Of characters: `characters` (batch, characters), 0 at padding. Of whole
    molecules, if the model reads them: `descriptors` (batch, descriptors), those of `descriptors.json`.
    """

    @property
    def reads_atoms(self) -> bool:
        """Whether a network reads atoms."""
        return bool(self.input.options.view != "characters")

    @property
    def reads_bonds(self) -> bool:
        """Whether a network reads the bonds between them."""
        return self.reads_atoms and any(
            member.encoder.reads_edges for member in self.predictor.model.members
        )

    @property
    def reads_kinds(self) -> bool:
        """Whether the kinds of bonds have features."""
        return self.reads_bonds and any(
            getattr(member.inputs, "bonds", None) is not None and member.encoder.has_attention
            for member in self.predictor.model.members
        )

    @property
    def given(self) -> Sequence[Given]:
        count = len(ATOM_FEATURES)
        atoms = Given("atoms", ("batch", "length", count), torch.zeros(BATCH, LENGTH, count).long())
        parts = []
        if self.reads_atoms:
            parts += [atoms, Given("lengths", ("batch",), torch.full((BATCH,), LENGTH))]
        if self.reads_bonds:
            parts.append(Given("bonds", (2, "bonds"), torch.zeros(2, BONDS).long()))
        if self.reads_kinds:
            kinds = torch.zeros(BONDS, len(BOND_FEATURES)).long()
            parts.append(Given("kinds", ("bonds", len(BOND_FEATURES)), kinds))
        if self.input.reads_characters:
            ids = torch.full((BATCH, SPELLED), 1)
            parts.append(Given("characters", ("batch", "characters"), ids))
        if self.input.descriptors is not None:
            names = len(self.input.descriptors.names)
            values = torch.zeros(BATCH, names, dtype=torch.float64)
            parts.append(Given("descriptors", ("batch", names), values))
        return parts

    def batch(self, *tensors: Tensor) -> Any:
        own = dict(zip((each.name for each in self.given), tensors, strict=True))
        size = tensors[0].shape[0]
        none = torch.zeros(size, 1).long()
        atoms = own.get("atoms", none[..., None])
        lengths = own.get("lengths", none[:, 0] + 1)
        real = torch.arange(atoms.shape[1]) < lengths[:, None]
        characters = own.get("characters", none)
        return AtomBatch(
            atoms.masked_fill(~real[..., None], 0),
            lengths,
            own.get("bonds", torch.zeros(2, 0).long()),
            own.get("kinds", torch.zeros(0, len(BOND_FEATURES)).long()),
            self._scaled(own.get("descriptors", torch.zeros(size, 0))),
            torch.zeros_like(real),
            characters,
            (characters != 0).sum(1).clamp(min=1),
        )

    def _scaled(self, descriptors: Tensor) -> Tensor:
        if self.input.descriptors is None:
            return descriptors
        told = self.input.descriptors.standardizer
        scaled = (descriptors - torch.from_numpy(told.mean)) / torch.from_numpy(told.scale)
        # Infinity and NaN are what RDKit cannot compute: the mean stands for them.
        known = torch.where(scaled.isfinite(), scaled, 0.0)
        return known.clamp(-LARGEST, LARGEST).float()

    def code(self) -> Code:
        lines = ['molecule = Chem.MolFromSmiles("CCO")']
        if self.reads_atoms:
            lines += [
                'features = json.load(open("features.json"))',
                "def categories(part, features):",
                '    read = [str(getattr(part, each["method"])()) for each in features]',
                '    return [(f["values"] + [v]).index(v) for f, v in zip(features, read)]',
                'atoms = np.array([[categories(atom, features["atoms"]) for atom in molecule.GetAtoms()]])',
                "lengths = np.array([atoms.shape[1]])",
            ]
        if self.reads_bonds:
            lines += [
                "pairs = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), b) for b in molecule.GetBonds()]",
                "pairs = [each for i, j, b in pairs for each in ((i, j, b), (j, i, b))]",
                "bonds = np.array([[i, j] for i, j, b in pairs], dtype=np.int64).reshape(-1, 2).T",
            ]
        if self.reads_kinds:
            lines.append(
                'kinds = np.array([categories(b, features["bonds"]) for i, j, b in pairs], dtype=np.int64)'
                f".reshape(-1, {len(BOND_FEATURES)})"
            )
        if self.input.reads_characters:
            lines.append(
                f"characters = np.array([[ord(c) - {FIRST - 1} for c in Chem.MolToSmiles(molecule)]])"
            )
        imports = ["from rdkit import Chem"]
        if self.input.descriptors is not None:
            imports.append("from rdkit.Chem import Descriptors")
            lines += [
                "found = Descriptors.CalcMolDescriptors(molecule, missingVal=np.nan, silent=True)",
                'names = json.load(open("descriptors.json"))["names"]',
                "descriptors = np.array([[found[name] for name in names]], dtype=np.float64)",
            ]
        return Code(imports, lines)

    @property
    def notes(self) -> str:
        return "\n".join(
            f"`{each.name}` {each.shape()}: {_NOTES[each.name]}" for each in self.given
        )

    def save(self, folder: Path) -> None:
        super().save(folder)
        if self.reads_atoms:
            told = {"atoms": _listed(ATOM_FEATURES), "bonds": _listed(BOND_FEATURES)}
            write_text(folder / FEATURES, to_strict_json(told) + "\n")


_NOTES: Final = {
    "atoms": "the place of each value in `features.json`, or one behind the last for another value; anything at "
    "padding.  ",
    "lengths": "atoms of each molecule.  ",
    "bonds": "each in both directions; atom i of molecule m of a batch has the number m · length + i.  ",
    "kinds": "the categories of each bond.  ",
    "characters": "of RDKit's canonical SMILES, the code in ASCII less 32; 0 at padding.  ",
    "descriptors": "RDKit's, as they are.  ",
}


def _listed(features: Sequence[Feature]) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "method": each.method, "values": [str(value) for value in each.values]}
        for each in features
    ]
