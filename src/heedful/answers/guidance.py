"""Attention that learns given word alignments (guided alignment): targets with links, and the loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from heedful.data.batching import pad_ids
from heedful.data.dataset import Dataset
from heedful.data.encoding import Encoding
from heedful.data.links import parse_links
from heedful.data.packed_ids import Ids, PackedIds
from heedful.data.preparation import report_items
from heedful.data.vocabulary import Vocabulary
from heedful.errors import DataError
from heedful.models.config import Section


class GuidanceConfig(Section):
    """Training of attention on given word alignments (data.alignments)."""

    weight: float = Field(
        0.1,
        ge=0,
        description="Weight of the alignments in the loss, beside the translation; 0: they are not learned.",
    )


class GuidedBatch(NamedTuple):
    """Target texts as a `TargetBatch`, with the links of their tokens."""

    ids: Tensor
    lengths: Tensor
    links: Tensor
    """(links, 3), long: row of the batch, target token (0 is the one after the begin token), source token."""
    shares: Tensor
    """(links,), 1 / number of links of the same target token."""

    def moved(self, places: Tensor) -> GuidedBatch:
        """Return the links after source tokens were moved; those of tokens that were left out are dropped.

        Args:
            places: (batch, source), the new position of each source token, -1 for those left out.
        """
        source = places[self.links[:, 0], self.links[:, 2]]
        kept = source >= 0
        links = torch.cat([self.links[:, :2], source[:, None]], dim=1)[kept]
        return self._replace(links=links, shares=self.shares[kept])


def guided_loss(weights: Tensor, targets: GuidedBatch) -> Tensor:
    r"""Return the summed cross-entropy of attention against the links of target tokens.

    .. math:: -\sum_t \frac{1}{|S_t|} \sum_{i \in S_t} \log a_{ti}

    over the target tokens t that have links to source tokens :math:`S_t` (Chen et al. 2016,
    https://arxiv.org/abs/1607.01628; Garg et al. 2019, https://arxiv.org/abs/1909.02074).

    Args:
        weights: attention (batch, target, source).
        targets: the links.

    >>> targets = GuidedBatch(*torch.zeros(2, 1), torch.tensor([[0, 0, 1]]), torch.ones(1))
    >>> guided_loss(torch.tensor([[[0.5, 0.5]]]), targets)
    tensor(0.6931)
    """
    rows, tokens, sources = targets.links.unbind(1)
    chosen = weights[rows, tokens, sources].clamp_min(torch.finfo(weights.dtype).tiny)
    return -(targets.shares.to(weights.dtype) * chosen.log()).sum()


GUIDED = 0
"""First number of an example with links: that of padding, which no text begins with. Then follow the number of links,
the links, and the ids."""


def encode_guided(
    data: Dataset,
    alignments: Sequence[str],
    ids: Sequence[Ids],
    source: Vocabulary,
    target: Vocabulary,
) -> PackedIds:
    """Return target ids with the links of their tokens, packed.

    Args:
        data: the pairs.
        alignments: of each pair in Pharaoh format, between the words of `Vocabulary.words`.
        ids: the targets with begin and end tokens.
        source, target: the vocabularies.

    Raises: DataError for what is no alignment of a pair.
    """

    def encoded() -> Iterator[list[list[int]]]:
        rows = zip(data.inputs, data.answers, alignments, ids, strict=True)
        steps = report_items(rows, "aligning", "pairs", len(alignments))
        for row, (text, translation, links, own) in enumerate(steps):
            try:
                found = _piece_links(
                    parse_links(links).possible,
                    source.encode(text),
                    target.encode(translation),
                )
            except DataError as error:
                raise data.error(row, str(error)) from None
            flat = [number for link in found for number in link]
            yield [[GUIDED, len(found), *flat, *own.tolist()]]

    return PackedIds.of(encoded(), 1 << 20)


def _piece_links(
    links: frozenset[tuple[int, int]], source: Encoding, target: Encoding
) -> list[tuple[int, int]]:
    """Return (target piece, source piece) for the pieces of linked words."""
    sources, targets = _pieces_of_words(source), _pieces_of_words(target)
    found: set[tuple[int, int]] = set()
    for left, right in links:
        if left not in sources or right not in targets:
            raise DataError(
                f"the link {left}-{right} is beyond the words of the pair; words are what spaces separate, from 0."
            )
        found.update((token, piece) for token in targets[right] for piece in sources[left])
    return sorted(found)


def _pieces_of_words(encoding: Encoding) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    spans = zip(encoding.word_ids, encoding.last_word_ids, strict=True)
    for piece, (first, last) in enumerate(spans):
        for word in range(first, last + 1):
            found.setdefault(word, []).append(piece)
    return found


def is_guided(target: Ids | Sequence[int]) -> bool:
    """Whether an encoded target has links."""
    return int(target[0]) == GUIDED


def guided_lengths(targets: PackedIds) -> NDArray[np.int32]:
    """Return how many numbers of each target are ids."""
    starts = targets.offsets[:-1]
    lengths = targets.lengths()
    if not len(starts):
        return lengths
    guided = targets.values[starts] == GUIDED
    counts = targets.values[np.minimum(starts + 1, len(targets.values) - 1)].astype(np.int64)
    return np.asarray(lengths - np.where(guided, 2 + 2 * counts, 0), dtype=np.int32)


def collate_guided(targets: Sequence[Ids], padding: int) -> GuidedBatch:
    """Pad targets, of which some have links, into one batch."""
    ids, links = [], []
    for row, target in enumerate(targets):
        if not is_guided(target):
            ids.append(target)
            continue
        count = int(target[1])
        pairs = np.asarray(target[2 : 2 + 2 * count], dtype=np.int64).reshape(count, 2)
        links.append(np.concatenate([np.full((count, 1), row), pairs], axis=1))
        ids.append(target[2 + 2 * count :])
    table = np.concatenate(links) if links else np.zeros((0, 3), np.int64)
    _, group, counts = np.unique(table[:, :2], axis=0, return_inverse=True, return_counts=True)
    shares = (1 / counts[group.reshape(-1)]).astype(np.float32)
    return GuidedBatch(*pad_ids(ids, padding), torch.from_numpy(table), torch.from_numpy(shares))
