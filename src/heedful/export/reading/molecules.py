"""Molecules as categories of atoms and bonds, or as characters of their SMILES."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from heedful.atomic_files import write_text
from heedful.data.molecules.contributions import CONTRIBUTIONS, ScaledContributions
from heedful.data.molecules.descriptors import CUT, LIMIT, ScaledDescriptors
from heedful.data.molecules.features import ATOM_FEATURES, BOND_FEATURES, Feature
from heedful.data.molecules.spelling import FIRST
from heedful.data.standardize import Standardizer
from heedful.export.program import Given
from heedful.export.reading.base import BATCH, LENGTH, Code, Reading
from heedful.models.encoders.atoms import AtomBatch
from heedful.strict_json import to_strict_json

FEATURES: Final = "features.json"
"""File with the categories of atoms and bonds, and the methods of RDKit that tell them."""
BONDS: Final = 7
SPELLED: Final = 11
"""Characters of the example."""

CONTRIBUTION_LINES: Final = (
    "rdPartialCharges.ComputeGasteigerCharges(molecule)",
    "columns = [*zip(*rdMolDescriptors._CalcCrippenContribs(molecule))]",
    "columns += [rdMolDescriptors._CalcTPSAContribs(molecule)]",
    "columns += [rdMolDescriptors._CalcLabuteASAContribs(molecule)[0]]",
    'for name in "_GasteigerCharge", "_GasteigerHCharge":',
    "    columns.append([atom.GetDoubleProp(name) for atom in molecule.GetAtoms()])",
    "columns.append(EState.EStateIndices(molecule))",
    "contributions = np.array([list(map(list, zip(*columns)))], dtype=np.float64)",
)
"""Code of the README that computes the contributions of atoms."""


class MoleculesReading(Reading):
    """Of atoms: `atoms` (batch, length, features), the category of each feature of `features.json`, with anything at
    padding, `lengths` (batch,), `bonds` (2, bonds), each in both directions, atom i of molecule m having the number m ·
    length + i, `kinds` (bonds, features), and, if the model reads them, `contributions` (batch, length,
    contributions), 0 at padding. Of characters: `characters` (batch, characters), 0 at padding. Of whole molecules, if
    the model reads them: `descriptors` (batch, descriptors), those of `descriptors.json`.
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
    def reads_contributions(self) -> bool:
        """Whether a network reads what atoms contribute."""
        return self.reads_atoms and self.input.contributions is not None

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
        if self.reads_contributions:
            names = len(CONTRIBUTIONS)
            values = torch.zeros(BATCH, LENGTH, names, dtype=torch.float64)
            parts.append(Given("contributions", ("batch", "length", names), values))
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
        contributions = own.get("contributions", torch.zeros(*atoms.shape[:2], 0))
        descriptors = own.get("descriptors", torch.zeros(size, 0))
        return AtomBatch(
            atoms.masked_fill(~real[..., None], 0),
            lengths,
            own.get("bonds", torch.zeros(2, 0).long()),
            own.get("kinds", torch.zeros(0, len(BOND_FEATURES)).long()),
            _scaled_descriptors(descriptors, self.input.descriptors),
            torch.zeros_like(real),
            characters,
            (characters != 0).sum(1).clamp(min=1),
            _scaled_contributions(contributions, self.input.contributions),
        )

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
        imports = ["from rdkit import Chem"]
        if self.reads_contributions:
            imports += [
                "from rdkit.Chem import rdMolDescriptors, rdPartialCharges",
                "from rdkit.Chem.EState import EState",
            ]
            lines += CONTRIBUTION_LINES
        if self.input.reads_characters:
            lines.append(
                f"characters = np.array([[ord(c) - {FIRST - 1} for c in Chem.MolToSmiles(molecule)]])"
            )
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
    "contributions": "of the atoms, as RDKit computes them; 0 at padding.  ",
    "characters": "of RDKit's canonical SMILES, the code in ASCII less 32; 0 at padding.  ",
    "descriptors": "RDKit's, as they are.  ",
}


def _standardized(values: Tensor, scales: Standardizer) -> Tensor:
    scaled = (values - torch.from_numpy(scales.mean)) / torch.from_numpy(scales.scale)
    # Infinity and NaN are what RDKit cannot compute: the mean stands for them.
    return torch.where(scaled.isfinite(), scaled, 0.0)


def _squashed(values: Tensor, scales: Standardizer) -> Tensor:
    return (LIMIT * torch.tanh(_standardized(values, scales) / LIMIT)).float()


def _scaled_descriptors(values: Tensor, learned: ScaledDescriptors | None) -> Tensor:
    """Return what `ScaledDescriptors` makes of descriptors; no features if nothing is learned."""
    if learned is None:
        return values
    if not learned.has_logarithms:
        return _standardized(values, learned.standardizer).clamp(-CUT, CUT).float()
    logarithms = values.sign() * values.abs().log1p()
    return _squashed(torch.cat([values, logarithms], dim=-1), learned.standardizer)


def _scaled_contributions(values: Tensor, learned: ScaledContributions | None) -> Tensor:
    return values if learned is None else _squashed(values, learned.standardizer)


def _listed(features: Sequence[Feature]) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "method": each.method, "values": [str(value) for value in each.values]}
        for each in features
    ]
