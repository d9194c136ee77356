"""Shortlists of target tokens: the few that may translate the tokens of a source, learned from aligned pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import torch
from torch import Tensor

from heedful import run_folder
from heedful.errors import OptionError, RunError

if TYPE_CHECKING:
    from heedful.data.lexical import Texts

SHORTLIST: Final = "shortlist.safetensors"
"""File of a run folder with the tokens of `Shortlist`."""


@dataclass(frozen=True, eq=False)
class Shortlist:
    r"""For each source token the target tokens of highest :math:`p(t \mid s)` of IBM Model 1, and the frequent ones.

    (`heedful.data.lexical`; shortlists: Jean et al. 2015, https://arxiv.org/abs/1412.2007.)

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
        sources: Texts,
        targets: Texts,
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
        # Imported here: only trainings with a shortlist need it.
        from heedful.data.lexical import LexicalModel, sampled_rows

        lexical = LexicalModel.learn(sources, targets, sizes=sizes)
        read = np.concatenate([targets[row] for row in sampled_rows(len(targets))])
        counts = np.bincount(read.astype(np.int64), minlength=sizes[1])
        common = np.argsort(-counts, kind="stable")[:size].astype(np.int32)
        return cls(torch.from_numpy(lexical.best(size, sizes[0])), torch.from_numpy(common))

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
