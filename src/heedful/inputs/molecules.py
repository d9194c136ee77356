"""Molecules as an input: atoms are the positions, bonds the edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from torch import nn

from heedful.data.molecules.contributions import CONTRIBUTIONS, ScaledContributions
from heedful.data.molecules.descriptors import ScaledDescriptors
from heedful.data.molecules.features import ATOM_FEATURES, BOND_FEATURES
from heedful.data.molecules.molecule import (
    Molecule,
    atom_names,
    canonical_smiles,
    random_smiles,
)
from heedful.data.molecules.spelling import CHARACTERS, character_ids
from heedful.inputs.base import EmbeddedInput
from heedful.models.encoders.atoms import AtomBatch, AtomFeatures, AtomsConfig
from heedful.models.encoders.spelling import CharacterFeatures
from heedful.models.model import Model

DESCRIPTORS: Final = "descriptors.json"
"""File in the run folder with the names and scales of descriptors."""
CONTRIBUTED: Final = "contributions.json"
"""File in the run folder with the scales of the contributions of atoms."""


@dataclass(frozen=True)
class Molecules(EmbeddedInput[str, Molecule]):
    """SMILES as graphs of atoms. The categories are fixed; of the training data only the scales of
    descriptors are learned.

    Reads the section inputs (`AtomsConfig`).

    >>> molecules = Molecules(AtomsConfig())
    >>> batch = molecules.collate(molecules.encode(["OCC", "C"]))
    >>> batch.atoms.shape, batch.lengths.tolist(), batch.bonds.tolist()
    (torch.Size([2, 3, 9]), [3, 1], [[0, 1, 1, 2], [1, 0, 2, 1]])
    """

    options: AtomsConfig
    descriptors: ScaledDescriptors | None = None
    """Descriptors of the whole molecule, if the model reads them."""
    contributions: ScaledContributions | None = None
    """Contributions of the atoms, if the model reads them."""

    @classmethod
    def learn(cls, config: Any, examples: Sequence[str]) -> Self:
        options = config.inputs
        return cls(
            options,
            ScaledDescriptors.fit(examples) if options.descriptors else None,
            ScaledContributions.fit(examples) if options.contributions else None,
        )

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        options = config.inputs
        return cls(
            options,
            ScaledDescriptors.load(folder / DESCRIPTORS) if options.descriptors else None,
            ScaledContributions.load(folder / CONTRIBUTED) if options.contributions else None,
        )

    def save(self, folder: Path) -> None:
        if self.descriptors is not None:
            self.descriptors.save(folder / DESCRIPTORS)
        if self.contributions is not None:
            self.contributions.save(folder / CONTRIBUTED)

    def encode(self, examples: Sequence[str]) -> list[Molecule]:
        molecules = [Molecule.of(smiles) for smiles in examples]
        if self.reads_characters:
            # One spelling for all of a molecule, so that its prediction does not depend on how it was written.
            molecules = [
                replace(each, characters=character_ids(canonical_smiles(each.smiles)))
                for each in molecules
            ]
        if self.contributions is not None:
            molecules = [
                replace(each, contributions=self.contributions(each.smiles)) for each in molecules
            ]
        if self.descriptors is None:
            return molecules
        rows = self.descriptors(examples)
        return [replace(each, descriptors=row) for each, row in zip(molecules, rows, strict=True)]

    @property
    def reads_characters(self) -> bool:
        """Whether a network reads the characters of the SMILES."""
        return self.options.view != "atoms"

    def augmentation(self) -> Callable[[Molecule, np.random.Generator], Molecule] | None:
        return _respelled if self.reads_characters and self.options.random_spellings else None

    def length(self, encoded: Molecule) -> int:
        return len(encoded.characters if self.options.view == "characters" else encoded.atoms)

    def collate(self, encoded: Sequence[Molecule]) -> AtomBatch:
        sizes = [len(molecule.atoms) for molecule in encoded]
        longest = max(sizes)
        atoms = np.zeros((len(encoded), longest, len(ATOM_FEATURES)), dtype=np.int64)
        numbers = np.zeros((*atoms.shape[:2], self._contributed), dtype=np.float32)
        for row, molecule in enumerate(encoded):
            atoms[row, : sizes[row]] = molecule.atoms
            if self.contributions is not None:
                numbers[row, : sizes[row]] = molecule.contributions
        hidden = np.zeros((len(encoded), longest), dtype=bool)
        for row, molecule in enumerate(encoded):
            hidden[row, list(molecule.hidden)] = True
        starts = accumulate([longest] * (len(encoded) - 1), initial=0)
        bonds = [molecule.bonds + start for molecule, start in zip(encoded, starts, strict=True)]
        features = [molecule.bond_features for molecule in encoded]
        return AtomBatch(
            torch.from_numpy(atoms),
            torch.tensor(sizes),
            torch.from_numpy(np.concatenate(bonds, axis=1)),
            torch.from_numpy(np.concatenate(features)),
            torch.from_numpy(np.stack([molecule.descriptors for molecule in encoded])),
            torch.from_numpy(hidden),
            nn.utils.rnn.pad_sequence(
                [torch.from_numpy(molecule.characters) for molecule in encoded], batch_first=True
            ),
            torch.tensor([len(molecule.characters) for molecule in encoded]),
            torch.from_numpy(numbers),
        )

    def embedding(self) -> nn.Module:
        """Return the features of the view; of both, of the atoms."""
        return self.embedding_of("atoms" if self.options.view == "both" else self.options.view)

    def embedding_of(self, view: str) -> nn.Module:
        """Return the features of the view "atoms" or "characters"."""
        descriptors = 0 if self.descriptors is None else self.descriptors.width
        if view == "characters":
            return CharacterFeatures(self.options, CHARACTERS, descriptors)
        return AtomFeatures(
            self.options,
            [feature.size for feature in ATOM_FEATURES],
            [feature.size for feature in BOND_FEATURES],
            descriptors,
            self._contributed,
        )

    @property
    def _contributed(self) -> int:
        """Number of contributions of an atom."""
        return 0 if self.contributions is None else len(CONTRIBUTIONS)

    def explains(self, member: Model) -> bool:
        """Of both views the networks of atoms are explained."""
        return self.options.view != "both" or isinstance(member.inputs, AtomFeatures)

    @property
    def can_hide(self) -> bool:
        return self.options.view == "atoms"

    def hide(self, encoded: Molecule, positions: Sequence[int]) -> Molecule:
        """Hide the features of atoms; bonds and descriptors stay."""
        return replace(encoded, hidden=(*encoded.hidden, *positions))

    def sizes(self) -> dict[str, int]:
        return {}

    def positions(self, example: str) -> list[str]:
        if self.options.view == "characters":
            return list(canonical_smiles(example))
        return atom_names(example)

    def structure(self, example: str) -> str | None:
        return None if self.options.view == "characters" else example

    def title(self, example: str) -> str:
        return example.strip()


def _respelled(molecule: Molecule, generator: np.random.Generator) -> Molecule:
    """Return a molecule with the characters of a random spelling."""
    seed = int(generator.integers(2**31))
    return replace(molecule, characters=character_ids(random_smiles(molecule.smiles, seed)))
