"""Features of atoms and bonds: a learned embedding of each category, summed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.models.config import OneOf, Section
from heedful.models.encoders.base import GraphEdges
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear

VIEWS: Final = ("atoms", "characters", "both")
"""What is read of a molecule: its graph of atoms, the characters of its SMILES, or both by networks of their own."""


class AtomsConfig(Section):
    """Features of atoms and bonds, or of the characters of a SMILES."""

    view: Annotated[str, OneOf("view", VIEWS)] = Field(
        "atoms",
        description="What is read of a molecule: the graph of its atoms; the characters of its SMILES, by "
        "character_encoder; or both, by an ensemble of ensemble.members networks for each.",
    )
    random_spellings: bool = Field(
        True,
        description="Train on another spelling of each SMILES in each epoch, where characters are read.",
    )
    width: int = Field(64, ge=1, description="Features of an atom, or of a character.")
    bond_width: int = Field(
        32, ge=0, description="Features of a bond in the score of graph encoders; 0: none."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout probability of the features.")
    descriptors: bool = Field(
        False,
        description="Join RDKit's descriptors of the whole molecule with the pooled vector of its atoms.",
    )
    descriptor_dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Dropout probability of a descriptor in training, apart from pooling.dropout of the atoms.",
    )
    contributions: bool = Field(
        False,
        description="Add to the features of an atom what it contributes to log P, refractivity and surface of its "
        "molecule, and its partial charge.",
    )

    @model_validator(mode="after")
    def _reads_atoms(self) -> Self:
        if self.contributions and self.view == "characters":
            raise OptionError(
                "inputs.contributions are numbers of atoms, and the view 'characters' reads none; choose the view "
                "'atoms' or 'both', or leave them out"
            )
        return self


class AtomBatch(NamedTuple):
    """Molecules, padded to the largest."""

    atoms: Tensor
    """(batch, length, atom features), long: categories; arbitrary at padding."""
    lengths: Tensor
    """(batch,), long."""
    bonds: Tensor
    """(2, edges), long: atom i of molecule m has number m · length + i; each bond in both directions."""
    bond_features: Tensor
    """(edges, bond features), long: categories."""
    descriptors: Tensor
    """(batch, descriptors), of the whole molecules, standardised; of no features if the model reads none."""
    hidden: Tensor
    """(batch, length), bool: atoms whose features are 0."""
    characters: Tensor
    """(batch, characters), long: ids of the SMILES, 0 at padding; (batch, 1) zeros if only atoms are read."""
    character_lengths: Tensor
    """(batch,), long."""
    contributions: Tensor
    """(batch, length, contributions) of the atoms, standardised, 0 at padding; of no features if the model reads
    none."""


class AtomFeatures(nn.Module):
    r"""Sums of embeddings (as in the Open Graph Benchmark): an `AtomBatch` -> (batch, length, width).

    .. math:: x_i = \sum_f E_f[c_{if}] + W n_i

    with the categories c and the contributions n of an atom, if there are any.

    Args:
        config: the options.
        atom_sizes: number of categories of each feature of an atom.
        bond_sizes: of each feature of a bond.
        descriptors: number of descriptors of the whole molecule.
        contributions: number of contributions of an atom.

    >>> features = AtomFeatures(AtomsConfig(width=4, bond_width=3), [5, 2], [4])
    >>> bonds, kinds = torch.tensor([[0, 1], [1, 0]]), torch.tensor([[2], [2]])
    >>> atoms, none = torch.tensor([[[4, 1], [0, 0]]]), torch.zeros(1, 2, dtype=torch.bool)
    >>> batch = AtomBatch(atoms, torch.tensor([2]), bonds, kinds, torch.zeros(1, 0), none, none, none[0],
    ...     torch.zeros(1, 2, 0))
    >>> features(batch).shape, features.edges(batch).features.shape
    (torch.Size([1, 2, 4]), torch.Size([2, 3]))
    """

    def __init__(
        self,
        config: AtomsConfig,
        atom_sizes: Sequence[int],
        bond_sizes: Sequence[int],
        descriptors: int = 0,
        contributions: int = 0,
    ):
        super().__init__()
        self.width, self.edge_width = config.width, config.bond_width
        self.whole_width = descriptors
        self.atoms = _Embeddings(atom_sizes, config.width)
        self.bonds = _Embeddings(bond_sizes, config.bond_width) if config.bond_width else None
        self.numbers = Linear(contributions, config.width, bias=False) if contributions else None
        self.dropout = Dropout(config.dropout)
        self.whole_dropout = Dropout(config.descriptor_dropout)

    def forward(self, batch: AtomBatch) -> Tensor:
        features = self.atoms(batch.atoms)
        if self.numbers is not None:
            features = features + self.numbers(batch.contributions)
        features = features.masked_fill(batch.hidden[..., None], 0.0)
        output: Tensor = self.dropout(features)
        return output

    def edges(self, batch: AtomBatch) -> GraphEdges:
        """Return the bonds of the molecules, with the features of each."""
        features = None if self.bonds is None else self.bonds(batch.bond_features)
        return GraphEdges(batch.bonds, features)

    def whole(self, batch: AtomBatch) -> Tensor:
        """Return the features of whole molecules, (batch, whole_width)."""
        dropped: Tensor = self.whole_dropout(batch.descriptors)
        return dropped


class _Embeddings(nn.Module):
    """The sum of one embedding a feature: (..., features), long -> (..., width)."""

    def __init__(self, sizes: Sequence[int], width: int):
        super().__init__()
        # One table: the categories of a feature follow those of the features before it.
        starts = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self.register_buffer("starts", starts, persistent=False)
        self.table = nn.EmbeddingBag(sum(sizes), width, mode="sum")
        nn.init.normal_(self.table.weight, std=(len(sizes) * width) ** -0.5 * width**0.5)

    starts: Tensor

    def forward(self, categories: Tensor) -> Tensor:
        rows = (categories + self.starts).flatten(0, -2)
        output: Tensor = self.table(rows).unflatten(0, categories.shape[:-1])
        return output
