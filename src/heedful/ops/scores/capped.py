"""Scores that a soft cap keeps within bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from heedful.errors import OptionError
from heedful.ops.scores.base import PairKind, PreparedKey, Score
from heedful.ops.scores.dot import ScaledDot


@dataclass(frozen=True, eq=False)
class SoftCapped(Score):
    r"""e(s, h) = cap · tanh(inner(s, h) / cap), between −cap and cap (Gemma 2, 2024, https://arxiv.org/abs/2408.00118).

    `inner` is any score whose pair is an inner product, by default the scaled one. Biases are added after the cap. For
    rotary positions cap the rotated score: SoftCapped(50.0, Rotated(inner, rotary)). Keys are prepared as by `inner`.

    Raises:
        OptionError: a cap that is no finite number above 0, or an inner score with a pair of its own.

    >>> import torch
    >>> score, query, key = SoftCapped(2.0), torch.full((1, 4), 3.0), torch.full((1, 4), 5.0)
    >>> float(score.pair(score.prepare_query(query), score.prepare_key(key).features))
    2.0
    """

    cap: float = 50.0
    inner: Score | None = None
    name: ClassVar[str] = "soft_capped"
    _known_pair_kind: ClassVar[PairKind] = "capped_dot"

    def __post_init__(self) -> None:
        if not isinstance(self.cap, int | float) or not 0 < self.cap < math.inf:
            raise OptionError(f"SoftCapped(cap={self.cap!r}): the cap is a finite number above 0.")
        if not isinstance(self.product, Score) or self.product.pair_kind != "dot":
            name = self.inner.name if isinstance(self.inner, Score) else repr(self.inner)
            raise OptionError(
                f"SoftCapped caps a score whose pair is an inner product, such as scores.ScaledDot(), but inner is "
                f"{name}."
            )

    @property
    def product(self) -> Score:
        """The score that is capped: `inner`, or the scaled inner product."""
        # Not the field's default: a compiler that traces the constructor knows no defaults of our classes.
        return ScaledDot() if self.inner is None else self.inner

    @property
    def key_kind(self) -> str:
        return self.product.key_kind

    def tensors(self) -> tuple[Tensor, ...]:
        return self.product.tensors()

    def maps(self) -> tuple[Tensor | None, Tensor | None]:
        return self.product.maps()

    def query_lead(self) -> tuple[int, ...]:
        return self.product.query_lead()

    def key_lead(self) -> tuple[int, ...]:
        return self.product.key_lead()

    def pair_features(self, query_features: int) -> int:
        return self.product.pair_features(query_features)

    def keeps_finite(self, query_features: int) -> bool:
        return self.product.keeps_finite(query_features)

    def check(self, query: Tensor, key: Tensor | PreparedKey) -> None:
        self.product.check(query, key)

    def project_query(self, query: Tensor) -> Tensor:
        return self.product.project_query(query)

    def project_key(self, key: Tensor) -> Tensor:
        return self.product.project_key(key)

    def finish_query(self, query: Tensor) -> Tensor:
        return self.product.finish_query(query)

    def finish_key(self, key: Tensor) -> Tensor:
        return self.product.finish_key(key)

    def pair(self, query: Tensor, key: Tensor) -> Tensor:
        return self.cap * (self.product.pair(query, key) / self.cap).tanh()


def uncapped(score: Score) -> tuple[Score, float]:
    """The score under a soft cap, and the cap; 0 where there is none."""
    return (score.product, float(score.cap)) if isinstance(score, SoftCapped) else (score, 0.0)
