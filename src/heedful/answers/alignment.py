"""Soft alignments of the words of a generated text with those of its source."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.data.encoding import Encoding


@dataclass(frozen=True)
class Alignment:
    """Soft alignment of target words with source words."""

    source_words: list[str]
    target_words: list[str]
    weights: list[list[float]]
    """(target words, source words)."""
    method: str
    """"attention" or, for a model without attention, "gradient" (gradient times input)."""

    def pharaoh(self) -> str:
        """Return hard links in Pharaoh format: zero-based `i-j`, with i the source word of largest weight for target j.

        >>> Alignment(["a", "dog"], ["ein", "Hund"], [[0.9, 0.1], [0.2, 0.8]], "attention").pharaoh()
        '0-0 1-1'
        """
        return " ".join(
            f"{max(range(len(row)), key=row.__getitem__)}-{j}" for j, row in enumerate(self.weights)
        )


def merge_pieces(
    weights: Tensor, source: Encoding, source_words: int, target: Encoding, target_words: int
) -> Tensor:
    """Convert weights of pieces to weights of words: sums over source pieces, means over target pieces.

    A piece may span several words in scripts without spaces; its weight is divided evenly among them.

    Args:
        weights: (≥ target pieces, ≥ source pieces); rows and columns after the pieces (end tokens) are ignored.
        source: the pieces of the source and their word indices.
        source_words: the number of words of the source.
        target: as `source`, for the target.
        target_words: as `source_words`, for the target.

    Returns:
        (target_words, source_words).

    >>> pieces = Encoding([5, 6, 7], ["a", "do", "g"], word_ids=[0, 1, 1], last_word_ids=[0, 1, 1])
    >>> merge_pieces(torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [1.0, 0, 0]]), pieces, 2, pieces, 2)
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    merged = torch.zeros(weights.shape[0], source_words)
    for column, (first, last) in enumerate(zip(source.word_ids, source.last_word_ids, strict=True)):
        merged[:, first : last + 1] += weights[:, column, None] / (last + 1 - first)
    by_word, pieces = torch.zeros(target_words, source_words), torch.zeros(target_words, 1)
    for row, (first, last) in enumerate(zip(target.word_ids, target.last_word_ids, strict=True)):
        by_word[first : last + 1] += merged[row]
        pieces[first : last + 1] += 1
    return by_word / pieces
