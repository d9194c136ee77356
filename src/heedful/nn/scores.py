"""Modules that own the parameters of a score; calling one gives the score as a value."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from torch import nn

from heedful.errors import ShapeError, unknown_choice
from heedful.nn.sizes import check_sizes
from heedful.ops import scores


@dataclass(frozen=True, kw_only=True)
class ScoreSizes:
    """The sizes a score is built for.

    `heads` and `key_heads` are None for attention with one head; `hidden` is the hidden size of `additive`
    (default: `key_dim`) and the rank of `low_rank` (default: half of the smaller of the two sizes). A size below 1
    raises ShapeError.

    >>> ScoreSizes(query_dim=8, key_dim=6).hidden is None
    True
    """

    query_dim: int
    key_dim: int
    heads: int | None = None
    key_heads: int | None = None
    hidden: int | None = None

    def __post_init__(self) -> None:
        check_sizes(vars(self))


class ScoreModule(nn.Module, abc.ABC):
    """Owner of a score's parameters. `module()` returns the score value that `attend` takes.

    >>> build_score("low_rank", 4, 4)().name
    'low_rank'
    """

    def __init__(self, sizes: ScoreSizes):
        super().__init__()
        self.sizes = sizes

    @abc.abstractmethod
    def forward(self) -> scores.Score:
        """Return the score made of the parameters as they are now."""

    @property
    def projected_dim(self) -> int:
        """Features of a query or key once projected: those that rotary positions turn."""
        return self.sizes.key_dim

    def reset_parameters(self) -> None:
        """Draw the parameters anew; a score without any does nothing."""

    def extra_repr(self) -> str:
        return f"query_dim={self.sizes.query_dim}, key_dim={self.sizes.key_dim}"


def _unset(*shape: int | None) -> nn.Parameter:
    """A parameter still to be drawn; an axis that is None (no heads) is left out."""
    return nn.Parameter(torch.empty([size for size in shape if size is not None]))


def _same_features(name: str, sizes: ScoreSizes) -> None:
    if sizes.query_dim != sizes.key_dim:
        raise ShapeError(
            f"the score {name!r} needs queries and keys of one size, got query_dim={sizes.query_dim} "
            f"and key_dim={sizes.key_dim}; 'bilinear', 'low_rank' and 'additive' take different sizes."
        )


class DotScore(ScoreModule):
    r""":math:`e(s, h) = s^\top h` (Luong et al. 2015, https://arxiv.org/abs/1508.04025). Owns no parameters.

    Raises:
        ShapeError: when `query_dim` and `key_dim` differ.

    >>> DotScore(ScoreSizes(query_dim=8, key_dim=8))().name
    'dot'
    """

    def __init__(self, sizes: ScoreSizes):
        super().__init__(sizes)
        _same_features("dot", sizes)

    def forward(self) -> scores.Dot:
        return scores.Dot()


class ScaledDotScore(ScoreModule):
    r""":math:`e(s, h) = s^\top h / \sqrt{d}` (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    Owns no parameters.

    Raises:
        ShapeError: when `query_dim` and `key_dim` differ.

    >>> ScaledDotScore(ScoreSizes(query_dim=8, key_dim=8))().name
    'scaled_dot'
    """

    def __init__(self, sizes: ScoreSizes):
        super().__init__(sizes)
        _same_features("scaled_dot", sizes)

    def forward(self) -> scores.ScaledDot:
        return scores.ScaledDot()


class BilinearScore(ScoreModule):
    r""":math:`e(s, h) = s^\top W h` (Luong et al. 2015, https://arxiv.org/abs/1508.04025, "general").

    `weight` is ([heads,] query_dim, key_dim).

    >>> BilinearScore(ScoreSizes(query_dim=8, key_dim=5, heads=2)).weight.shape
    torch.Size([2, 8, 5])
    """

    def __init__(self, sizes: ScoreSizes):
        super().__init__(sizes)
        self.weight = _unset(sizes.heads, sizes.query_dim, sizes.key_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # Scores of unit-variance inputs then have unit variance, as those of the scaled dot have.
        nn.init.normal_(self.weight, std=(self.sizes.query_dim * self.sizes.key_dim) ** -0.5)

    def forward(self) -> scores.Bilinear:
        return scores.Bilinear(self.weight)


class LowRankScore(ScoreModule):
    r""":math:`e(s, h) = (sU)^\top (hV)`, a bilinear score of rank `hidden` (reduced-rank multiplicative).

    `query_factor` is ([heads,] query_dim, rank) and `key_factor` ([key_heads,] key_dim, rank).

    >>> LowRankScore(ScoreSizes(query_dim=8, key_dim=6, hidden=3)).key_factor.shape
    torch.Size([6, 3])
    """

    def __init__(self, sizes: ScoreSizes):
        super().__init__(sizes)
        rank = sizes.hidden or max(1, min(sizes.query_dim, sizes.key_dim) // 2)
        self.query_factor = _unset(sizes.heads, sizes.query_dim, rank)
        self.key_factor = _unset(sizes.key_heads or sizes.heads, sizes.key_dim, rank)
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

    `log_temperature` is ([heads]) and starts at :math:`\tau = \sqrt{d}`, where random inputs score as the
    scaled dot scores them.

    Raises:
        ShapeError: when `query_dim` and `key_dim` differ.

    >>> CosineScore(ScoreSizes(query_dim=8, key_dim=8, heads=2)).log_temperature.shape
    torch.Size([2])
    """

    def __init__(self, sizes: ScoreSizes):
        super().__init__(sizes)
        _same_features("cosine", sizes)
        self.log_temperature = _unset(sizes.heads)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.log_temperature, 0.5 * math.log(self.sizes.query_dim))

    def forward(self) -> scores.Cosine:
        return scores.Cosine(self.log_temperature.exp())


class GaussianScore(ScoreModule):
    r""":math:`e(s, h) = -\lVert s - h \rVert^2 / 2\sigma^2` with a learned :math:`\sigma > 0` a head.

    Under softmax this is kernel regression (Nadaraya 1964, Watson 1964). `log_bandwidth` is ([heads]), or (1)
    where query heads share key heads; it starts at :math:`\sigma = d^{1/4}`, where the cross term is that of
    the scaled dot.

    Raises:
        ShapeError: when `query_dim` and `key_dim` differ.

    >>> GaussianScore(ScoreSizes(query_dim=16, key_dim=16))().name
    'gaussian'
    """

    def __init__(self, sizes: ScoreSizes):
        super().__init__(sizes)
        _same_features("gaussian", sizes)
        # Both sides are divided by the bandwidth, so a key head that several query heads share fixes theirs.
        grouped = sizes.key_heads not in (None, sizes.heads)
        self.log_bandwidth = _unset(1 if grouped else sizes.heads)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.log_bandwidth, 0.25 * math.log(self.sizes.query_dim))

    def forward(self) -> scores.Gaussian:
        return scores.Gaussian(self.log_bandwidth.exp())


class AdditiveScore(ScoreModule):
    r""":math:`e(s, h) = v^\top \tanh(W_1 s + W_2 h)` (Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473).

    `query_weight` is ([heads,] query_dim, hidden), `key_weight` ([key_heads,] key_dim, hidden) and `vector`
    ([heads,] hidden).

    >>> AdditiveScore(ScoreSizes(query_dim=8, key_dim=6, hidden=4)).key_weight.shape
    torch.Size([6, 4])
    """

    def __init__(self, sizes: ScoreSizes):
        super().__init__(sizes)
        hidden = sizes.hidden or sizes.key_dim
        self.query_weight = _unset(sizes.heads, sizes.query_dim, hidden)
        self.key_weight = _unset(sizes.key_heads or sizes.heads, sizes.key_dim, hidden)
        self.vector = _unset(sizes.heads, hidden)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for weight in (self.query_weight, self.key_weight):
            bound = math.sqrt(6 / sum(weight.shape[-2:]))
            nn.init.uniform_(weight, -bound, bound)
        bound = self.vector.shape[-1] ** -0.5
        nn.init.uniform_(self.vector, -bound, bound)

    def forward(self) -> scores.Additive:
        return scores.Additive(self.query_weight, self.key_weight, self.vector)


SCORE_MODULES: dict[str, type[ScoreModule]] = {
    "dot": DotScore,
    "scaled_dot": ScaledDotScore,
    "bilinear": BilinearScore,
    "low_rank": LowRankScore,
    "cosine": CosineScore,
    "gaussian": GaussianScore,
    "additive": AdditiveScore,
}
"""Every score a module can be built for, by its name in configurations and on the command line."""


def build_score(
    name: str,
    query_dim: int,
    key_dim: int,
    *,
    heads: int | None = None,
    key_heads: int | None = None,
    hidden: int | None = None,
) -> ScoreModule:
    """Build the score module `name` for queries and keys of the given sizes.

    Args:
        name: a name from `SCORE_MODULES`.
        query_dim: features of a query.
        key_dim: features of a key.
        heads: heads that each get parameters of their own; None for attention without a head axis.
        key_heads: heads of the keys where several query heads share one; None: as many as `heads`.
        hidden: hidden size of `additive`, rank of `low_rank`; the other scores have none and ignore it.

    Raises:
        OptionError: for an unknown name.
        ShapeError: when the score needs equal sizes and they differ, or for a size below 1.

    >>> build_score("additive", 8, 6, hidden=4)().name
    'additive'
    """
    if name not in SCORE_MODULES:
        raise unknown_choice("score", name, SCORE_MODULES)
    return SCORE_MODULES[name](
        ScoreSizes(
            query_dim=query_dim, key_dim=key_dim, heads=heads, key_heads=key_heads, hidden=hidden
        )
    )
