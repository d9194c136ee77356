"""What a score is: work done once a token (prepare) and work done once a query-key pair (pair)."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from torch import Tensor

from heedful.errors import OptionError, ShapeError, unknown_choice
from heedful.ops.static import CallPart

PairKind = Literal["dot", "additive", "custom"]
PAIR_KINDS: tuple[PairKind, ...] = ("dot", "additive", "custom")


@dataclass(frozen=True, eq=False)
class PreparedKey:
    """Keys on which the per-token work of one score is already done.

    Pass it to `attend` in place of a key: a decoder prepares its memory once for all its steps, and
    a cache holds prepared keys.

    >>> import torch
    >>> from heedful import attend, scores
    >>> score = scores.Bilinear(torch.eye(3, 2))
    >>> memory = torch.randn(5, 2)
    >>> prepared = score.prepare_key(memory)
    >>> query = torch.randn(4, 3)
    >>> once = attend(query, prepared, memory, score=score).output
    >>> torch.equal(once, attend(query, memory, memory, score=score).output)
    True
    """

    features: Tensor
    """(*batch, heads, key, prepared) or (*batch, key, prepared)."""
    score: str
    """The `key_kind` of the score that prepared them; `attend` refuses them to a score of another kind."""

    def with_features(self, features: Tensor) -> PreparedKey:
        """The same kind of prepared key with other features (beams selected, a cache grown)."""
        return replace(self, features=features)


class Score(CallPart, abc.ABC):
    r"""e(s, h) = pair(prepare_query(s), prepare_key(h)).

    A score is a value that holds its tensors. `prepare` runs in two halves, so that a rotation of
    positions fits between them: `project` (the learned maps) and `finish` (what must come last).

    `pair_kind` tells backends how prepared features are combined. "dot": by an inner product, which is what `pair`
    does unless a class defines its own. "additive": as `Additive` does. A class that defines a `pair` of its own is
    "custom" without having to say so: it is served by backends that call `pair` (reference, chunked, band in blocks).

    Raises:
        OptionError: when a class is defined with an unknown `pair_kind`, or with one that contradicts its `pair`.

    >>> import torch
    >>> from heedful import scores
    >>> score, query, key = scores.ScaledDot(), torch.ones(2, 4), torch.ones(3, 4)
    >>> score.pair(score.prepare_query(query), score.prepare_key(key).features)
    tensor([[2., 2., 2.],
            [2., 2., 2.]])
    """

    name: ClassVar[str]
    pair_kind: ClassVar[PairKind] = "dot"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        owner = next(one for one in cls.__mro__ if "pair" in vars(one))
        kind: PairKind = "dot" if owner is Score else vars(owner).get("_known_pair_kind", "custom")
        declared = vars(cls).get("pair_kind")
        if declared is not None and declared not in PAIR_KINDS:
            raise unknown_choice(f"pair_kind of {cls.__name__}", declared, PAIR_KINDS)
        if declared not in (None, "custom", kind):
            raise OptionError(
                f"{cls.__name__} declares pair_kind={declared!r}, but its pair is {kind}, so backends would compute "
                f"something else; leave pair_kind out."
            )
        cls.pair_kind = declared or kind

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors the score holds, for device and dtype checks."""
        return ()

    def maps(self) -> tuple[Tensor | None, Tensor | None]:
        """The learned matrices that `prepare` multiplies queries and keys by, None where there is none."""
        return None, None

    def query_lead(self) -> tuple[int, ...]:
        """Leading axes `*` of what acts on queries, which broadcast against heads; () when shared by all."""
        return ()

    def key_lead(self) -> tuple[int, ...]:
        """Likewise of what acts on keys."""
        return ()

    def pair_features(self, query_features: int) -> int:
        """How many features a pair combines, for queries of that many features."""
        return query_features

    def keeps_finite(self, query_features: int) -> bool:
        """Whether what it prepares of finite numbers is sure to be finite."""
        return False

    @property
    def key_kind(self) -> str:
        """What a prepared key remembers of the score, so that a score that would misread it can refuse it."""
        return self.name

    @abc.abstractmethod
    def check(self, query: Tensor, key: Tensor | PreparedKey) -> None:
        """Raise ShapeError when the feature sizes do not fit the score."""

    def project_query(self, query: Tensor) -> Tensor:
        """Apply the learned map of queries; the first half of preparing."""
        return query

    def project_key(self, key: Tensor) -> Tensor:
        """Apply the learned map of keys; the first half of preparing."""
        return key

    def finish_query(self, query: Tensor) -> Tensor:
        """Do what must come after a rotation of positions; the second half of preparing."""
        return query

    def finish_key(self, key: Tensor) -> Tensor:
        """Do what must come after a rotation of positions; the second half of preparing."""
        return key

    def prepare_query(self, query: Tensor) -> Tensor:
        """Do the per-token work on queries: (..., query, query_dim) -> (..., query, prepared)."""
        return self.finish_query(self.project_query(query))

    def prepare_key(self, key: Tensor) -> PreparedKey:
        """Do the per-token work on keys: (..., key, key_dim) -> PreparedKey."""
        return PreparedKey(self.finish_key(self.project_key(key)), self.key_kind)

    def pair(self, query: Tensor, key: Tensor) -> Tensor:
        """Combine prepared features: (..., query, p), (..., key, p) -> (..., query, key); inner products by default."""
        return query @ key.transpose(-2, -1)


def expect_features(
    what: str, tensor: Tensor, wanted: int, owner: str, held: Tensor | None = None
) -> None:
    """Raise ShapeError unless the last axis of `tensor` has the wanted size, which `held` by the owner tells."""
    got = tensor.shape[-1]
    if got != wanted:
        shape = "" if held is None else f" {tuple(held.shape)}"
        raise ShapeError(
            f"{what} has {got} features (shape {tuple(tensor.shape)}), but {owner}{shape} wants {wanted}."
        )


def expect_equal_features(score: Score, query: Tensor, key: Tensor) -> None:
    """Raise ShapeError unless query and key have the same feature size."""
    if query.shape[-1] != key.shape[-1]:
        raise ShapeError(
            f"query has {query.shape[-1]} features and key {key.shape[-1]} (shapes {tuple(query.shape)} and "
            f"{tuple(key.shape)}), but the {score.name} score wants them equal; project one of them, or use "
            f"scores.Bilinear, scores.LowRank or scores.Additive, which take unequal sizes."
        )
