"""Shortlists of target tokens: the few that may translate the tokens of a source, learned from aligned pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heedful import run_folder
from heedful.data.packed_ids import Ids
from heedful.errors import OptionError, RunError

SHORTLIST: Final = "shortlist.safetensors"
"""File of a run folder with the tokens of `Shortlist`."""
ITERATIONS: Final = 5
PAIRS: Final = 30_000
"""Pairs that a list is learned from; of more, some that lie evenly apart."""

Counts = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shortlist:
    r"""For each source token the target tokens of highest :math:`p(t \mid s)` of IBM Model 1, and the frequent ones.

    (Brown et al. 1993, https://aclanthology.org/J93-2003; shortlists: Jean et al. 2015,
    https://arxiv.org/abs/1412.2007.)

    >>> pairs = [[4, 5], [5, 4], [4]], [[7, 8], [8, 7], [7]]
    >>> lists = Shortlist.learn(*pairs, sizes=(9, 9), size=1)
    >>> lists.best[4:6, 0].tolist(), lists.tokens(torch.tensor([[4, 4]]), 1, always=[3]).tolist()
    ([7, 8], [3, 7])
    """

    best: Tensor
    """(source vocabulary, size), int32, the likeliest first; -1 where there are no more."""
    frequent: Tensor
    """(size,), int32, the most frequent target tokens."""

    @classmethod
    def learn(
        cls,
        sources: Sequence[Ids | Sequence[int]],
        targets: Sequence[Ids | Sequence[int]],
        *,
        sizes: tuple[int, int],
        size: int,
    ) -> Self:
        """Learn from the ids of pairs, which begin and end tokens may be part of.

        Args:
            sources, targets: of equal number.
            sizes: of the vocabularies.
            size: target tokens of each source token, and frequent ones that are on every list.
        """
        rows = range(0, len(sources), -(-len(sources) // PAIRS))
        keys, starts = _links(
            [np.asarray(sources[row], np.int64) for row in rows],
            [np.asarray(targets[row], np.int64) for row in rows],
            sizes[1],
        )
        links, of_link = np.unique(keys, return_inverse=True)
        source = links // sizes[1]
        probabilities = _translation_probabilities(source, of_link, starts, sizes[0])
        order = np.lexsort((links, -probabilities, source))
        first = np.searchsorted(source[order], np.arange(sizes[0]))
        ranks = np.arange(len(order)) - first[source[order]]
        chosen, kept = order[ranks < size], ranks[ranks < size]
        table = np.full((sizes[0], size), -1, np.int32)
        table[source[chosen], kept] = links[chosen] % sizes[1]
        counts = np.bincount(np.concatenate([targets[row] for row in rows]), minlength=sizes[1])
        common = np.argsort(-counts, kind="stable")[:size]
        return cls(torch.from_numpy(table), torch.from_numpy(common.astype(np.int32)))

    def check_size(self, size: int) -> None:
        """Raise OptionError for more tokens of each source token than were learned."""
        learned = self.best.shape[1]
        if size > learned:
            raise OptionError(
                f"shortlist must be at most {learned}, the target tokens for each source token that this model has "
                f"learned; got {size}."
            )

    def tokens(self, source: Tensor, size: int, *, always: Sequence[int] = ()) -> Tensor:
        """Return the target tokens that a batch of sources may be translated with, in increasing order.

        Args:
            source: ids of any shape.
            size: tokens of each source token, and frequent ones.
            always: further tokens, such as the end token and those of a prefix.
        """
        found = self.best[source.unique().cpu(), :size].flatten()
        parts = (found[found >= 0], self.frequent[:size], torch.tensor(always, dtype=torch.int32))
        distinct: Tensor = torch.cat(parts).unique()
        return distinct.long()

    def save(self, folder: Path) -> None:
        """Write the lists to a run folder."""
        run_folder.write_tensors(folder / SHORTLIST, {"best": self.best, "frequent": self.frequent})

    @classmethod
    def load(cls, folder: Path, sizes: tuple[int, int]) -> Self:
        """Read the lists of a run folder for vocabularies of these sizes.

        Raises: RunError for a damaged file.
        """
        path = folder / SHORTLIST
        tensors, _ = run_folder.read_tensors(path)
        best, frequent = tensors.get("best"), tensors.get("frequent")
        if (
            best is None
            or frequent is None
            or (best.dtype, frequent.dtype) != (torch.int32, torch.int32)
            or (best.dim(), frequent.dim(), len(best)) != (2, 1, sizes[0])
            or not bool(((best >= -1) & (best < sizes[1])).all())
            or not bool(((frequent >= 0) & (frequent < sizes[1])).all())
        ):
            raise RunError(f"{path} is damaged; copy the run folder again")
        return cls(best, frequent)


def _links(
    sources: Sequence[NDArray[np.int64]], targets: Sequence[NDArray[np.int64]], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return source · size + target for each source token of each target token, and where target tokens begin."""
    keys = [
        (source[None, :] * size + target[:, None]).ravel()
        for source, target in zip(sources, targets, strict=True)
        if len(source)
    ]
    lengths = [
        np.full(len(target), len(source))
        for source, target in zip(sources, targets, strict=True)
        if len(source)
    ]
    starts = np.cumsum(np.concatenate(lengths))
    return np.concatenate(keys), np.concatenate([[0], starts[:-1]]).astype(np.int64)


def _translation_probabilities(
    source: NDArray[np.int64], of_link: NDArray[np.int64], starts: NDArray[np.int64], size: int
) -> Counts:
    """Return p(t | s) of each distinct link by expectation maximization, from equal probabilities on.

    `source` is the source token of each distinct link, `of_link` the distinct link of each link.
    """
    lengths = np.diff(np.append(starts, len(of_link)))
    probabilities: Counts = np.ones(len(source))
    for _ in range(ITERATIONS):
        shares = probabilities[of_link]
        shares /= np.repeat(np.add.reduceat(shares, starts), lengths)
        counts = np.bincount(of_link, shares, minlength=len(source))
        probabilities = counts / np.bincount(source, counts, minlength=size)[source]
    return probabilities
