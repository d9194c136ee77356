"""The base class of scores: work per token (prepare) and work per query-key pair (pair)."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from torch import Tensor

from heedful.errors import OptionError, ShapeError, unknown_choice
from heedful.ops.static import CallPart

PairKind = Literal["dot", "capped_dot", "additive", "custom"]
PAIR_KINDS: tuple[PairKind, ...] = ("dot", "capped_dot", "additive", "custom")
PRODUCT_KINDS: tuple[PairKind, ...] = ("dot", "capped_dot")
"""Pairs that are one matrix product: they make one number of a query and a key, whatever the features."""


@dataclass(frozen=True, eq=False)
class PreparedKey:
    """Keys after the per-token work of a score, to pass to `attend` in place of keys.

    A decoder prepares its memory once for all steps, and a key cache holds prepared keys.

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
    """The `key_kind` of the score that prepared them; `attend` rejects a score of another kind."""

    def with_features(self, features: Tensor) -> PreparedKey:
        """Return prepared keys of the same kind with other features, as after beam selection or growing a cache."""
        return replace(self, features=features)


class Score(CallPart, abc.ABC):
    r"""e(s, h) = pair(prepare_query(s), prepare_key(h)).

    A score is an immutable value that holds its tensors. `prepare` has two steps, `project` (the learned maps) and
    `finish` (such as normalizing), so that rotary positions can be applied between them.

    `pair_kind` tells backends how `pair` combines prepared features. "dot" is an inner product, the default
    implementation; "capped_dot" is that of `SoftCapped` and "additive" that of `Additive`. A class that overrides
    `pair` is "custom" by default: only backends that call `pair` compute it (reference, chunked, and the block path of
    band).

    Raises:
        OptionError: a subclass declares an unknown `pair_kind`, or one that contradicts its `pair`.

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
        """The learned matrices by which `prepare` multiplies queries and keys; None if there is none."""
        return None, None

    def query_lead(self) -> tuple[int, ...]:
        """Leading axes `*` of the parameters applied to queries, which broadcast against heads; () if shared by all."""
        return ()

    def key_lead(self) -> tuple[int, ...]:
        """Leading axes `*` of the parameters applied to keys."""
        return ()

    def pair_features(self, query_features: int) -> int:
        """Number of prepared features that `pair` combines, for queries of `query_features` features."""
        return query_features

    def keeps_finite(self, query_features: int) -> bool:
        """Whether finite queries and keys are guaranteed to have finite prepared features."""
        return False

    @property
    def key_kind(self) -> str:
        """Identifies how keys are prepared; stored in `PreparedKey` and compared by `attend`."""
        return self.name

    @abc.abstractmethod
    def check(self, query: Tensor, key: Tensor | PreparedKey) -> None:
        """Raise ShapeError if the numbers of features do not fit the score."""

    def project_query(self, query: Tensor) -> Tensor:
        """First step of `prepare_query`: the learned map of queries."""
        return query

    def project_key(self, key: Tensor) -> Tensor:
        """First step of `prepare_key`: the learned map of keys."""
        return key

    def finish_query(self, query: Tensor) -> Tensor:
        """Second step of `prepare_query`, applied after rotary positions."""
        return query

    def finish_key(self, key: Tensor) -> Tensor:
        """Second step of `prepare_key`, applied after rotary positions."""
        return key

    def prepare_query(self, query: Tensor) -> Tensor:
        """Prepare queries: (..., query, query_dim) -> (..., query, prepared)."""
        return self.finish_query(self.project_query(query))

    def prepare_key(self, key: Tensor) -> PreparedKey:
        """Prepare keys: (..., key, key_dim) -> PreparedKey of features (..., key, prepared)."""
        return PreparedKey(self.finish_key(self.project_key(key)), self.key_kind)

    def pair(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores of prepared features: (..., query, p), (..., key, p) -> (..., query, key).

        Inner products, unless overridden.
        """
        return query @ key.transpose(-2, -1)


def validate_features(
    what: str, tensor: Tensor, wanted: int, owner: str, held: Tensor | None = None
) -> None:
    """Check that `tensor` has `wanted` features.

    `what` and `owner` name the argument and the score in the error; `held` is the parameter that sets the size.

    Raises:
        ShapeError: the last axis has another size.
    """
    got = tensor.shape[-1]
    if got != wanted:
        shape = "" if held is None else f" {tuple(held.shape)}"
        raise ShapeError(
            f"{what} has {got} features (shape {tuple(tensor.shape)}), but {owner}{shape} wants {wanted}."
        )


def validate_equal_features(score: Score, query: Tensor, key: Tensor) -> None:
    """Check that query and key have equally many features.

    Raises:
        ShapeError: their last axes differ.
    """
    if query.shape[-1] != key.shape[-1]:
        raise ShapeError(
            f"query has {query.shape[-1]} features and key {key.shape[-1]} (shapes {tuple(query.shape)} and "
            f"{tuple(key.shape)}), but the {score.name} score wants them equal; project one of them, or use "
            f"scores.Bilinear, scores.LowRank or scores.Additive, which take unequal sizes."
        )
