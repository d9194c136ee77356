"""The additive (Bahdanau) score: a feed-forward network with one hidden layer of query and key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from heedful.errors import ShapeError, unknown_choice
from heedful.ops.products import matmul
from heedful.ops.rows import broadcast
from heedful.ops.scores.base import PairKind, PreparedKey, Score, validate_features
from heedful.ops.validate import validate_tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "leaky_relu": lambda hidden: F.leaky_relu(hidden, 0.2),
}


@dataclass(frozen=True, eq=False)
class Additive(Score):
    r"""e(s, h) = vᵀ φ(W_qᵀ s + W_kᵀ h) (Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473).

    `query_weight` W_q is (*, query_dim, hidden), `key_weight` W_k (*, key_dim, hidden), `vector` v (*, hidden);
    leading axes broadcast against heads. φ is tanh, or leaky_relu with slope 0.2 (GATv2, Brody et al. 2022,
    https://arxiv.org/abs/2105.14491). For a bias inside φ, append a constant feature to the keys, or add the bias to
    the prepared keys.

    Raises:
        DtypeError: a parameter is not a tensor.
        OptionError: an unknown activation.
        ShapeError: too few axes, or hidden sizes that differ.

    >>> import torch
    >>> from heedful import attend
    >>> score = Additive(torch.randn(3, 8), torch.randn(4, 8), torch.randn(8))
    >>> query, memory = torch.randn(2, 5, 3), torch.randn(2, 7, 4)
    >>> attend(query, score.prepare_key(memory), memory, score=score).output.shape
    torch.Size([2, 5, 4])
    """

    query_weight: Tensor
    key_weight: Tensor
    vector: Tensor
    activation: Literal["tanh", "leaky_relu"] = "tanh"
    name: ClassVar[str] = "additive"
    _known_pair_kind: ClassVar[PairKind] = "additive"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise unknown_choice("activation", self.activation, ACTIVATIONS)
        validate_tensor("query_weight", self.query_weight, "(*, query_dim, hidden)")
        validate_tensor("key_weight", self.key_weight, "(*, key_dim, hidden)")
        validate_tensor("vector", self.vector, "(*, hidden)")
        shapes = [tuple(tensor.shape) for tensor in self.tensors()]
        if len(shapes[0]) < 2 or len(shapes[1]) < 2 or len(shapes[2]) < 1:
            raise ShapeError(
                f"Additive got query_weight {shapes[0]}, key_weight {shapes[1]} and vector {shapes[2]}; it wants "
                f"(*, query_dim, hidden), (*, key_dim, hidden) and (*, hidden)."
            )
        if not shapes[0][-1] == shapes[1][-1] == shapes[2][-1]:
            raise ShapeError(
                f"Additive got query_weight {shapes[0]}, key_weight {shapes[1]} and vector {shapes[2]}; their last "
                f"axes, the hidden size, must be equal."
            )

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.query_weight, self.key_weight, self.vector)

    def maps(self) -> tuple[Tensor, Tensor]:
        return self.query_weight, self.key_weight

    def query_lead(self) -> tuple[int, ...]:
        query_weight, vector = tuple(self.query_weight.shape[:-2]), tuple(self.vector.shape[:-1])
        lead = broadcast(query_weight, vector)
        if lead is None:
            raise ShapeError(
                f"Additive's query_weight has leading axes {query_weight} and vector {vector}; make them broadcast."
            )
        return lead

    def key_lead(self) -> tuple[int, ...]:
        return tuple(self.key_weight.shape[:-2])

    def pair_features(self, query_features: int) -> int:
        return self.vector.shape[-1]

    def check(self, query: Tensor, key: Tensor | PreparedKey) -> None:
        weight = self.query_weight
        validate_features("query", query, weight.shape[-2], "Additive's query_weight", weight)
        if isinstance(key, PreparedKey):
            validate_features(
                "prepared key", key.features, weight.shape[-1], "Additive's hidden size"
            )
        else:
            weight = self.key_weight
            validate_features("key", key, weight.shape[-2], "Additive's key_weight", weight)

    def project_query(self, query: Tensor) -> Tensor:
        return matmul(query, self.query_weight)

    def project_key(self, key: Tensor) -> Tensor:
        return matmul(key, self.key_weight)

    def pair(self, query: Tensor, key: Tensor) -> Tensor:
        hidden = ACTIVATIONS[self.activation](query[..., :, None, :] + key[..., None, :, :])
        vector = self.vector.to(hidden.dtype)
        if vector.ndim == 1:
            return hidden @ vector  # one matrix-vector product for all batches and heads
        return (hidden @ vector[..., None, :, None]).squeeze(-1)
