"""Rotary positions applied inside a score's prepare step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from heedful.errors import OptionError
from heedful.ops.positions.rotary import Rotary
from heedful.ops.scores.base import PreparedKey, Score
from heedful.ops.scores.capped import SoftCapped


@dataclass(frozen=True, eq=False)
class Rotated(Score):
    r"""The score `inner` of features rotated by position: it depends on positions i and j only through i − j.

    The rotation is applied between the two steps of `prepare`: after the learned maps, before normalizing or
    appending features. `query_start` and `key_start` are the positions of the first query and key, or tensors of
    positions, (length,) or one a sequence (*batch, length), as for packed or left-padded sequences (`Rotary.rotate`).
    To append to a cache of prepared keys, set `key_start` to its length.

    Raises:
        OptionError: `inner` is not an inner product of prepared features, so its value would not depend on i − j alone.

    >>> import torch
    >>> from heedful import attend, positions, scores
    >>> query = torch.randn(2, 5, 8)
    >>> score = Rotated(scores.ScaledDot(), positions.Rotary(8))
    >>> attend(query, query, query, score=score).output.shape
    torch.Size([2, 5, 8])
    """

    inner: Score
    rotary: Rotary
    query_start: int | Tensor = 0
    key_start: int | Tensor = 0
    name: ClassVar[str] = "rotated"

    def __post_init__(self) -> None:
        if self.inner.pair_kind != "dot":
            if isinstance(self.inner, SoftCapped):
                raise OptionError(
                    "rotary positions go inside a soft cap: SoftCapped(cap, Rotated(inner, rotary))."
                )
            raise OptionError(
                f"rotary positions want a score whose pair is an inner product, but {self.inner.name} is not; "
                f"give it positions by addition, or as a bias (positions.ALiBi, positions.RelativeBuckets)."
            )

    @property
    def key_kind(self) -> str:
        return f"{self.inner.key_kind} {self.rotary.description}"

    def tensors(self) -> tuple[Tensor, ...]:
        starts = (self.query_start, self.key_start)
        return (*self.inner.tensors(), *(start for start in starts if isinstance(start, Tensor)))

    def maps(self) -> tuple[Tensor | None, Tensor | None]:
        return self.inner.maps()

    def query_lead(self) -> tuple[int, ...]:
        return self.inner.query_lead()

    def key_lead(self) -> tuple[int, ...]:
        return self.inner.key_lead()

    def pair_features(self, query_features: int) -> int:
        return self.inner.pair_features(query_features)

    def check(self, query: Tensor, key: Tensor | PreparedKey) -> None:
        self.inner.check(query, key)

    def project_query(self, query: Tensor) -> Tensor:
        return self.rotary.rotate(self.inner.project_query(query), self.query_start)

    def project_key(self, key: Tensor) -> Tensor:
        return self.rotary.rotate(self.inner.project_key(key), self.key_start)

    def finish_query(self, query: Tensor) -> Tensor:
        return self.inner.finish_query(query)

    def finish_key(self, key: Tensor) -> Tensor:
        return self.inner.finish_key(key)


def rotated(
    score: Score, rotary: Rotary, query_start: int | Tensor = 0, key_start: int | Tensor = 0
) -> Score:
    """A score of rotated features: `Rotated`, inside a soft cap if the score has one.

    >>> from heedful.ops.scores.dot import Dot
    >>> rotated(SoftCapped(9.0, Dot()), Rotary(2)).inner.name
    'rotated'
    """
    if isinstance(score, SoftCapped):
        return replace(score, inner=Rotated(score.product, rotary, query_start, key_start))
    return Rotated(score, rotary, query_start, key_start)
