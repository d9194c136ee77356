"""Scores without parameters: the inner product and the scaled inner product."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from heedful.errors import OptionError
from heedful.ops.scores.base import PreparedKey, Score, validate_equal_features


@dataclass(frozen=True)
class Dot(Score):
    r"""e(s, h) = sᵀh (Luong et al. 2015, https://arxiv.org/abs/1508.04025, "dot").

    Query and key need the same number of features; otherwise `attend` raises ShapeError.

    >>> import torch
    >>> float(Dot().pair(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])))
    11.0
    """

    name: ClassVar[str] = "dot"
    is_static: ClassVar[bool] = True

    def check(self, query: Tensor, key: Tensor | PreparedKey) -> None:
        features = key.features if isinstance(key, PreparedKey) else key
        validate_equal_features(self, query, features)

    def keeps_finite(self, query_features: int) -> bool:
        return True


@dataclass(frozen=True)
class ScaledDot(Dot):
    r"""e(s, h) = sᵀh · scale, scale = 1/√d_k by default (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    Raises:
        OptionError: `scale` is not a finite number.

    >>> import torch
    >>> score = ScaledDot()
    >>> query, key = torch.ones(1, 4), torch.ones(1, 4)
    >>> float(score.pair(score.prepare_query(query), score.prepare_key(key).features))
    2.0
    """

    scale: float | None = None
    name: ClassVar[str] = "scaled_dot"
    is_static: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.scale is not None:
            # Converted to a Python float, because the scale is passed to kernels and is part of cache keys. A NumPy
            # scalar equals the float as a key, so it would be cached in its place.
            object.__setattr__(self, "scale", _finite_float(self.scale))

    def scale_for(self, features: int) -> float:
        """The scale for queries of `features` features."""
        # Bitwise equal to the default scale of PyTorch's kernel.
        return 1.0 / math.sqrt(max(features, 1)) if self.scale is None else self.scale

    def keeps_finite(self, query_features: int) -> bool:
        return abs(self.scale_for(query_features)) <= 1

    def project_query(self, query: Tensor) -> Tensor:
        return query * self.scale_for(query.shape[-1])


def _finite_float(scale: object) -> float:
    learned = isinstance(scale, Tensor) and scale.requires_grad
    try:
        number = math.nan if learned else float(scale)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise OptionError(
            f"ScaledDot(scale={scale!r}): the scale is a finite number; to learn it, multiply the query by a parameter "
            f"and give scale=1.0."
        )
    return number
