"""Modules that own the parameters of a score. Calling one returns the score as a value."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from heedful.errors import ShapeError, unknown_choice
from heedful.nn.sizes import check_sizes
from heedful.ops import scores


@dataclass(frozen=True, kw_only=True)
class ScoreSizes:
    """Sizes of a score module.

    `num_heads` and `num_kv_heads` are None for attention without a head axis. `hidden_dim` is the hidden size of
    `additive` (default: `key_dim`) and the rank of `low_rank` (default: half of the smaller of `query_dim` and
    `key_dim`).

    Raises:
        ShapeError: a size is below 1.

    >>> ScoreSizes(query_dim=8, key_dim=6).hidden_dim is None
    True
    """

    query_dim: int
    key_dim: int
    num_heads: int | None = None
    num_kv_heads: int | None = None
    hidden_dim: int | None = None

    def __post_init__(self) -> None:
        check_sizes(vars(self))


class ScoreModule(nn.Module, abc.ABC):
    """Base class of score modules. `module()` returns the value for the argument `score` of `attend`.

    Raises:
        ShapeError: `needs_equal_dims` is set, and `query_dim` and `key_dim` differ.

    >>> build_score("low_rank", 4, 4)().name
    'low_rank'
    """

    score: ClassVar[type[scores.Score]]
    """Class of the value that `forward` returns. Its `name` is the key in `SCORE_MODULES`."""
    needs_equal_dims: ClassVar[bool] = False
    """Whether queries and keys must have the same number of features."""

    def __init__(self, sizes: ScoreSizes):
        super().__init__()
        if self.needs_equal_dims and sizes.query_dim != sizes.key_dim:
            others = [name for name, each in SCORE_MODULES.items() if not each.needs_equal_dims]
            raise ShapeError(
                f"the score {self.score.name!r} needs equal query_dim and key_dim, got query_dim={sizes.query_dim} "
                f"and key_dim={sizes.key_dim}; the scores {', '.join(map(repr, others))} take different sizes."
            )
        self.sizes = sizes

    @abc.abstractmethod
    def forward(self) -> scores.Score:
        """Return the score with the current parameters."""

    @property
    def projected_dim(self) -> int:
        """Features of a projected query or key, to which rotary positions are applied."""
        return self.sizes.key_dim

    def reset_parameters(self) -> None:
        """Initialize the parameters, if there are any."""

    def extra_repr(self) -> str:
        return f"query_dim={self.sizes.query_dim}, key_dim={self.sizes.key_dim}"


def _unset(*shape: int | None) -> nn.Parameter:
    """An uninitialized parameter; sizes that are None (no head axis) are omitted."""
    return nn.Parameter(torch.empty([size for size in shape if size is not None]))


class DotScore(ScoreModule):
    r""":math:`e(s, h) = s^\top h` (Luong et al. 2015, https://arxiv.org/abs/1508.04025). Owns no parameters.

    Raises:
        ShapeError: `query_dim` and `key_dim` differ.

    >>> DotScore(ScoreSizes(query_dim=8, key_dim=8))().name
    'dot'
    """

    score = scores.Dot
    needs_equal_dims = True

    def forward(self) -> scores.Dot:
        return scores.Dot()


class ScaledDotScore(ScoreModule):
    r""":math:`e(s, h) = s^\top h / \sqrt{d}` (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    Owns no parameters.

    Raises:
        ShapeError: `query_dim` and `key_dim` differ.

    >>> ScaledDotScore(ScoreSizes(query_dim=8, key_dim=8))().name
    'scaled_dot'
    """

    score = scores.ScaledDot
    needs_equal_dims = True

    def forward(self) -> scores.ScaledDot:
        return scores.ScaledDot()


class BilinearScore(ScoreModule):
    r""":math:`e(s, h) = s^\top W h` (Luong et al. 2015, https://arxiv.org/abs/1508.04025, "general").

    `weight` is ([num_heads,] query_dim, key_dim).

    >>> BilinearScore(ScoreSizes(query_dim=8, key_dim=5, num_heads=2)).weight.shape
    torch.Size([2, 8, 5])
    """

    score = scores.Bilinear

    def __init__(self, sizes: ScoreSizes):
        super().__init__(sizes)
        self.weight = _unset(sizes.num_heads, sizes.query_dim, sizes.key_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # Unit-variance inputs then give unit-variance scores, as with the scaled dot product.
        nn.init.normal_(self.weight, std=(self.sizes.query_dim * self.sizes.key_dim) ** -0.5)

    def forward(self) -> scores.Bilinear:
        return scores.Bilinear(self.weight)


class LowRankScore(ScoreModule):
    r""":math:`e(s, h) = (sU)^\top (hV)`, a bilinear score of rank `hidden_dim` (reduced-rank multiplicative).

    `query_factor` is ([num_heads,] query_dim, rank) and `key_factor` ([num_kv_heads,] key_dim, rank).

    >>> LowRankScore(ScoreSizes(query_dim=8, key_dim=6, hidden_dim=3)).key_factor.shape
    torch.Size([6, 3])
    """

    score = scores.LowRank

    def __init__(self, sizes: ScoreSizes):
        super().__init__(sizes)
        rank = sizes.hidden_dim or max(1, min(sizes.query_dim, sizes.key_dim) // 2)
        self.query_factor = _unset(sizes.num_heads, sizes.query_dim, rank)
        self.key_factor = _unset(sizes.num_kv_heads or sizes.num_heads, sizes.key_dim, rank)
        self.reset_parameters()

    @property
    def projected_dim(self) -> int:
        """The rank."""
        return self.key_factor.shape[-1]

    def reset_parameters(self) -> None:
        for factor in (self.query_factor, self.key_factor):
            features, rank = factor.shape[-2:]
            nn.init.normal_(factor, std=features**-0.5 * rank**-0.25)

    def forward(self) -> scores.LowRank:
        return scores.LowRank(self.query_factor, self.key_factor)


class CosineScore(ScoreModule):
    r""":math:`e(s, h) = \tau \cos(s, h)` with a learned :math:`\tau > 0` a head (Graves et al. 2014,
    https://arxiv.org/abs/1410.5401).

    `log_temperature` is ([num_heads]) and starts at :math:`\tau = \sqrt{d}`, where random inputs score as the
    scaled dot scores them.

    Raises:
        ShapeError: `query_dim` and `key_dim` differ.

    >>> CosineScore(ScoreSizes(query_dim=8, key_dim=8, num_heads=2)).log_temperature.shape
    torch.Size([2])
    """

    score = scores.Cosine
    needs_equal_dims = True

    def __init__(self, sizes: ScoreSizes):
        super().__init__(sizes)
        self.log_temperature = _unset(sizes.num_heads)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.log_temperature, 0.5 * math.log(self.sizes.query_dim))

    def forward(self) -> scores.Cosine:
        return scores.Cosine(self.log_temperature.exp())


class GaussianScore(ScoreModule):
    r""":math:`e(s, h) = -\lVert s - h \rVert^2 / 2\sigma^2` with a learned :math:`\sigma > 0` a head.

    Under softmax this is kernel regression (Nadaraya 1964, Watson 1964). `log_bandwidth` is ([num_heads]), or (1)
    where query heads share key heads; it starts at :math:`\sigma = d^{1/4}`, where the cross term is that of
    the scaled dot.

    Raises:
        ShapeError: `query_dim` and `key_dim` differ.

    >>> GaussianScore(ScoreSizes(query_dim=16, key_dim=16))().name
    'gaussian'
    """

    score = scores.Gaussian
    needs_equal_dims = True

    def __init__(self, sizes: ScoreSizes):
        super().__init__(sizes)
        # Both sides are divided by the bandwidth, so query heads that share a key head share its bandwidth.
        grouped = sizes.num_kv_heads not in (None, sizes.num_heads)
        self.log_bandwidth = _unset(1 if grouped else sizes.num_heads)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.log_bandwidth, 0.25 * math.log(self.sizes.query_dim))

    def forward(self) -> scores.Gaussian:
        return scores.Gaussian(self.log_bandwidth.exp())


class AdditiveScore(ScoreModule):
    r""":math:`e(s, h) = v^\top \tanh(W_1 s + W_2 h)` (Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473).

    `query_weight` is ([num_heads,] query_dim, hidden), `key_weight` ([num_kv_heads,] key_dim, hidden) and `vector`
    ([num_heads,] hidden).

    >>> AdditiveScore(ScoreSizes(query_dim=8, key_dim=6, hidden_dim=4)).key_weight.shape
    torch.Size([6, 4])
    """

    score = scores.Additive

    def __init__(self, sizes: ScoreSizes):
        super().__init__(sizes)
        hidden = sizes.hidden_dim or sizes.key_dim
        self.query_weight = _unset(sizes.num_heads, sizes.query_dim, hidden)
        self.key_weight = _unset(sizes.num_kv_heads or sizes.num_heads, sizes.key_dim, hidden)
        self.vector = _unset(sizes.num_heads, hidden)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for weight in (self.query_weight, self.key_weight):
            bound = math.sqrt(6 / sum(weight.shape[-2:]))
            nn.init.uniform_(weight, -bound, bound)
        bound = self.vector.shape[-1] ** -0.5
        nn.init.uniform_(self.vector, -bound, bound)

    def forward(self) -> scores.Additive:
        return scores.Additive(self.query_weight, self.key_weight, self.vector)


class SoftCappedScore(ScoreModule):
    r""":math:`e(s, h) = c \tanh(s^\top h / (c \sqrt{d}))` with :math:`c = 50` (Gemma 2, 2024, https://arxiv.org/abs/2408.00118).

    Owns no parameters.

    Raises:
        ShapeError: `query_dim` and `key_dim` differ.

    >>> SoftCappedScore(ScoreSizes(query_dim=8, key_dim=8))().cap
    50.0
    """

    score = scores.SoftCapped
    needs_equal_dims = True

    def forward(self) -> scores.SoftCapped:
        return scores.SoftCapped()


SCORE_MODULES: dict[str, type[ScoreModule]] = {
    module.score.name: module
    for module in (
        DotScore,
        ScaledDotScore,
        BilinearScore,
        LowRankScore,
        CosineScore,
        GaussianScore,
        AdditiveScore,
        SoftCappedScore,
    )
}
"""Score modules by name. A new one is a class above and a line here."""


def build_score(
    name: str,
    query_dim: int,
    key_dim: int,
    *,
    num_heads: int | None = None,
    num_kv_heads: int | None = None,
    hidden_dim: int | None = None,
) -> ScoreModule:
    """Build the score module `name` for queries and keys of the given sizes.

    Args:
        name: a name from `SCORE_MODULES`.
        query_dim: features of a query.
        key_dim: features of a key.
        num_heads: number of heads, each with parameters of its own; None for attention without a head axis.
        num_kv_heads: number of key heads when query heads share them. Default: `num_heads`.
        hidden_dim: hidden size of `additive`, rank of `low_rank`; the other scores ignore it.

    Raises:
        OptionError: unknown name.
        ShapeError: a size below 1, or different sizes for a score that needs equal ones.

    >>> build_score("additive", 8, 6, hidden_dim=4)().name
    'additive'
    """
    if name not in SCORE_MODULES:
        raise unknown_choice("score", name, SCORE_MODULES)
    return SCORE_MODULES[name](
        ScoreSizes(
            query_dim=query_dim,
            key_dim=key_dim,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            hidden_dim=hidden_dim,
        )
    )
