"""Features of the characters of a SMILES."""

from __future__ import annotations

from torch import Tensor, nn

from heedful.models.encoders.atoms import AtomBatch, AtomsConfig
from heedful.nn.dropout import Dropout


class CharacterFeatures(nn.Module):
    """An embedding of each character: an `AtomBatch` -> (batch, characters, width).

    Args:
        config: the options, of which the width and both dropouts count.
        characters: number of ids.
        descriptors: number of descriptors of the whole molecule.

    >>> import torch
    >>> features = CharacterFeatures(AtomsConfig(width=4), 9)
    >>> none = torch.zeros(2, 0)
    >>> batch = AtomBatch(none, none, none, none, none, none, torch.ones(2, 3).long(), torch.tensor([3, 1]),
    ...     none)
    >>> features(batch).shape, features.own_lengths(batch).tolist()
    (torch.Size([2, 3, 4]), [3, 1])
    """

    def __init__(self, config: AtomsConfig, characters: int, descriptors: int = 0):
        super().__init__()
        self.width, self.whole_width = config.width, descriptors
        self.table = nn.Embedding(characters, config.width)
        self.dropout = Dropout(config.dropout)
        self.whole_dropout = Dropout(config.descriptor_dropout)

    def forward(self, batch: AtomBatch) -> Tensor:
        output: Tensor = self.dropout(self.table(batch.characters))
        return output

    def own_lengths(self, batch: AtomBatch) -> Tensor:
        """Return the number of characters of each molecule, (batch,)."""
        return batch.character_lengths

    def whole(self, batch: AtomBatch) -> Tensor:
        """Return the features of whole molecules, (batch, whole_width)."""
        dropped: Tensor = self.whole_dropout(batch.descriptors)
        return dropped
