"""Scores by angle or distance: cosine similarity and the Gaussian kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from heedful.errors import DtypeError, OptionError
from heedful.ops.scores.base import (
    PreparedKey,
    Score,
    validate_equal_features,
    validate_features,
)


@dataclass(frozen=True, eq=False)
class Cosine(Score):
    r"""e(s, h) = τ · sᵀh / (‖s‖‖h‖) (Graves et al. 2014, https://arxiv.org/abs/1410.5401, "content addressing").

    `temperature` τ is a factor, a number or a tensor (*) that broadcasts against heads. The cosine with a zero vector
    is 0.

    Raises:
        DtypeError: `temperature` is neither a number nor a tensor.

    >>> import torch
    >>> score = Cosine(10.0)
    >>> query = torch.tensor([[3.0, 4.0]])
    >>> float(score.pair(score.prepare_query(query), score.prepare_key(query * 7).features))
    10.0
    """

    temperature: float | Tensor
    name: ClassVar[str] = "cosine"

    def __post_init__(self) -> None:
        _validate_number("temperature", self.temperature)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.temperature,) if isinstance(self.temperature, Tensor) else ()

    def query_lead(self) -> tuple[int, ...]:
        return tuple(self.temperature.shape) if isinstance(self.temperature, Tensor) else ()

    def check(self, query: Tensor, key: Tensor | PreparedKey) -> None:
        features = key.features if isinstance(key, PreparedKey) else key
        validate_equal_features(self, query, features)

    def finish_query(self, query: Tensor) -> Tensor:
        return _unit(query) * per_head(self.temperature)

    def finish_key(self, key: Tensor) -> Tensor:
        return _unit(key)


@dataclass(frozen=True, eq=False)
class Gaussian(Score):
    r"""e(s, h) = −‖s − h‖² / 2σ²; with softmax this is kernel regression (Nadaraya 1964, Watson 1964).

    `bandwidth` σ > 0 is a number or a tensor (*) that broadcasts against heads. The square is expanded as
    sᵀh/σ² − ‖h‖²/2σ² − ‖s‖²/2σ². Each squared norm becomes one more prepared feature, so the pair is an inner
    product. Precision is lost for inputs far from the origin relative to σ: centre them, or use float64.

    Raises:
        DtypeError: `bandwidth` is neither a number nor a tensor.
        OptionError: `bandwidth` is a number that is not above 0.

    >>> import torch
    >>> score = Gaussian(2.0)
    >>> query, key = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 1.0]])
    >>> float(score.pair(score.prepare_query(query), score.prepare_key(key).features))  # -(4 + 1) / 8
    -0.625
    """

    bandwidth: float | Tensor
    name: ClassVar[str] = "gaussian"

    def __post_init__(self) -> None:
        _validate_number("bandwidth", self.bandwidth)
        if not isinstance(self.bandwidth, Tensor) and not self.bandwidth > 0:
            raise OptionError(f"bandwidth is {self.bandwidth}; it must be above 0.")

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.bandwidth,) if isinstance(self.bandwidth, Tensor) else ()

    def query_lead(self) -> tuple[int, ...]:
        return tuple(self.bandwidth.shape) if isinstance(self.bandwidth, Tensor) else ()

    def key_lead(self) -> tuple[int, ...]:
        return self.query_lead()

    def pair_features(self, query_features: int) -> int:
        return query_features + 2

    def check(self, query: Tensor, key: Tensor | PreparedKey) -> None:
        if isinstance(key, PreparedKey):
            validate_features("prepared key", key.features, query.shape[-1] + 2, "Gaussian")
        else:
            validate_equal_features(self, query, key)

    def finish_query(self, query: Tensor) -> Tensor:
        scaled = _wide(query) / per_head(self.bandwidth)
        square = scaled.square().sum(-1, keepdim=True) / -2
        return torch.cat([scaled, torch.ones_like(square), square], -1)

    def finish_key(self, key: Tensor) -> Tensor:
        scaled = _wide(key) / per_head(self.bandwidth)
        square = scaled.square().sum(-1, keepdim=True) / -2
        return torch.cat([scaled, square, torch.ones_like(square)], -1)


def per_head(parameter: float | Tensor) -> float | Tensor:
    """Reshape a parameter (*) to (*, 1, 1), which broadcasts against (*, length, features)."""
    return parameter[..., None, None] if isinstance(parameter, Tensor) else parameter


def _validate_number(name: str, value: object) -> None:
    if not isinstance(value, Tensor | float | int):
        raise DtypeError(
            f"{name} is a {type(value).__name__}; give a number, or a tensor (*) with one a head."
        )


def _wide(tensor: Tensor) -> Tensor:
    """Cast half precision to float32, for sums of squares, which overflow and cancel in half precision."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _unit(tensor: Tensor) -> Tensor:
    """Normalize features to unit length; a zero vector stays zero."""
    wide = _wide(tensor)
    return F.normalize(wide, dim=-1, eps=torch.finfo(wide.dtype).tiny).to(tensor.dtype)
