"""Multiplicative scores: a learned bilinear form of query and key, of full or low rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from heedful.errors import ShapeError
from heedful.ops.scores.base import PreparedKey, Score, validate_features
from heedful.ops.validate import validate_tensor


@dataclass(frozen=True, eq=False)
class Bilinear(Score):
    r"""e(s, h) = sᵀ W h (Luong et al. 2015, https://arxiv.org/abs/1508.04025, "general"; "multiplicative").

    `weight` W is (*, query_dim, key_dim); leading axes broadcast against heads.

    Raises:
        DtypeError: `weight` is not a tensor.
        ShapeError: `weight` has fewer than two axes, or does not fit query or key. The latter is raised by `attend`.

    >>> import torch
    >>> from heedful import attend
    >>> query, key = torch.randn(2, 5, 3), torch.randn(2, 7, 4)
    >>> attend(query, key, key, score=Bilinear(torch.randn(3, 4))).output.shape
    torch.Size([2, 5, 4])
    """

    weight: Tensor
    name: ClassVar[str] = "bilinear"

    def __post_init__(self) -> None:
        _validate_matrix("weight", self.weight, "query_dim, key_dim")

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.weight,)

    def maps(self) -> tuple[Tensor, None]:
        return self.weight, None

    def query_lead(self) -> tuple[int, ...]:
        return tuple(self.weight.shape[:-2])

    def pair_features(self, query_features: int) -> int:
        return self.weight.shape[-1]

    def check(self, query: Tensor, key: Tensor | PreparedKey) -> None:
        weight = self.weight
        validate_features("query", query, weight.shape[-2], "Bilinear with weight", weight)
        features = key.features if isinstance(key, PreparedKey) else key
        validate_features("key", features, weight.shape[-1], "Bilinear with weight", weight)

    def project_query(self, query: Tensor) -> Tensor:
        return query @ self.weight


@dataclass(frozen=True, eq=False)
class LowRank(Score):
    r"""e(s, h) = (sᵀU)(hᵀV)ᵀ, a bilinear score of rank at most `rank` ("reduced-rank multiplicative").

    `query_factor` U is (*, query_dim, rank), `key_factor` V is (*, key_dim, rank); leading axes broadcast
    against heads. With one U and V per head this is the score of multi-head attention without its scale (Vaswani et
    al. 2017, https://arxiv.org/abs/1706.03762).

    Raises:
        DtypeError: a factor is not a tensor.
        ShapeError: a factor has fewer than two axes, or the ranks differ.

    >>> import torch
    >>> score = LowRank(torch.randn(3, 2), torch.randn(4, 2))
    >>> query, key = torch.randn(5, 3), torch.randn(7, 4)
    >>> got = score.pair(score.prepare_query(query), score.prepare_key(key).features)
    >>> torch.allclose(got, query @ score.query_factor @ score.key_factor.T @ key.T, atol=1e-5)
    True
    """

    query_factor: Tensor
    key_factor: Tensor
    name: ClassVar[str] = "low_rank"

    def __post_init__(self) -> None:
        _validate_matrix("query_factor", self.query_factor, "query_dim, rank")
        _validate_matrix("key_factor", self.key_factor, "key_dim, rank")
        if self.query_factor.shape[-1] != self.key_factor.shape[-1]:
            raise ShapeError(
                f"query_factor has rank {self.query_factor.shape[-1]} and key_factor {self.key_factor.shape[-1]}; "
                f"give both the same last axis."
            )

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.query_factor, self.key_factor)

    def maps(self) -> tuple[Tensor, Tensor]:
        return self.query_factor, self.key_factor

    def query_lead(self) -> tuple[int, ...]:
        return tuple(self.query_factor.shape[:-2])

    def key_lead(self) -> tuple[int, ...]:
        return tuple(self.key_factor.shape[:-2])

    def pair_features(self, query_features: int) -> int:
        return self.query_factor.shape[-1]

    def check(self, query: Tensor, key: Tensor | PreparedKey) -> None:
        factor = self.query_factor
        validate_features("query", query, factor.shape[-2], "LowRank with query_factor", factor)
        factor = self.key_factor
        if isinstance(key, PreparedKey):
            validate_features("prepared key", key.features, factor.shape[-1], "LowRank's rank")
        else:
            validate_features("key", key, factor.shape[-2], "LowRank with key_factor", factor)

    def project_query(self, query: Tensor) -> Tensor:
        return query @ self.query_factor

    def project_key(self, key: Tensor) -> Tensor:
        return key @ self.key_factor


def _validate_matrix(name: str, tensor: Tensor, axes: str) -> None:
    validate_tensor(name, tensor, f"(*, {axes})")
    if tensor.ndim < 2:
        raise ShapeError(f"{name} has shape {tuple(tensor.shape)}; give it (*, {axes}).")
