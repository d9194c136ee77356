"""Single-head attention with any score."""

from __future__ import annotations

from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.nn.normalizers import NormalizerModule
from heedful.nn.scores import ScoreModule
from heedful.ops.attend import attend
from heedful.ops.call import Attended
from heedful.ops.masks import Mask
from heedful.ops.normalizers import Normalizer, Softmax
from heedful.ops.positions import PositionBias
from heedful.ops.scores import PreparedKey, Score


class Attention(nn.Module):
    r"""Single-head attention with any score; keys and values are not projected.

    .. math:: y_i = \sum_j \mathrm{normalize}_j(e(s_i, h_j))\, v_j

    Args:
        score: score module, see `build_score`.
        normalizer: maps scores to weights.
        dropout: dropout probability of the weights in training mode.
        kind: label of the module in the explorer: "encoder", "decoder", "cross" or "self".

    Shapes: query (*batch, query, query_dim), key (*batch, key, key_dim), value (*batch, key, value_dim);
    output (*batch, query, value_dim), weights (*batch, query, key).

    Raises:
        OptionError: dropout outside [0, 1), or a score or normalizer of the wrong type.
        ShapeError: the inputs do not fit the score or each other.

    >>> import torch
    >>> from heedful.nn import build_score
    >>> attention = Attention(build_score("additive", 8, 6))
    >>> memory = torch.randn(2, 5, 6)
    >>> prepared = attention.prepare(memory)
    >>> attention(torch.randn(2, 1, 8), prepared, memory).output.shape
    torch.Size([2, 1, 6])
    """

    def __init__(
        self,
        score: ScoreModule,
        *,
        normalizer: Normalizer | NormalizerModule = Softmax(),
        dropout: float = 0.0,
        kind: str = "cross",
    ):
        super().__init__()
        self.score = checked_score(score)
        self.normalizer = checked_normalizer(normalizer)
        self.dropout = probability(dropout)
        self.kind = kind

    def prepare(self, key: Tensor) -> PreparedKey:
        """Prepare keys once for many calls."""
        score: Score = self.score()
        return score.prepare_key(key)

    def forward(
        self,
        query: Tensor,
        key: Tensor | PreparedKey,
        value: Tensor,
        *,
        mask: Mask | Tensor | None = None,
        bias: Tensor | PositionBias | None = None,
        return_weights: bool = False,
    ) -> Attended:
        return attend(
            query,
            key,
            value,
            score=self.score(),
            mask=mask,
            bias=bias,
            normalizer=normalizer_value(self.normalizer),
            dropout_p=self.dropout if self.training else 0.0,
            return_weights=return_weights,
        )


def checked_score(score: object) -> ScoreModule:
    """Return a score module unchanged; raise OptionError for anything else."""
    if isinstance(score, ScoreModule):
        return score
    raise OptionError(
        f"score is {score!r}, wanted a ScoreModule; build one with heedful.nn.build_score(name, query_dim, key_dim)."
    )


def checked_normalizer(normalizer: object) -> Normalizer | NormalizerModule:
    """Return a normalizer or normalizer module unchanged; raise OptionError for anything else."""
    if isinstance(normalizer, Normalizer | NormalizerModule):
        return normalizer
    raise OptionError(
        f"normalizer is {normalizer!r}, wanted a value of heedful.normalizers or a NormalizerModule; build one with "
        f"heedful.nn.build_normalizer(name)."
    )


def probability(dropout: float) -> float:
    """Return `dropout` unchanged; raise OptionError outside [0, 1)."""
    if not 0 <= dropout < 1:
        raise OptionError(f"dropout={dropout} is not a probability in [0, 1).")
    return dropout


def normalizer_value(normalizer: Normalizer | NormalizerModule) -> Normalizer:
    """Return the normalizer as a value for `attend`."""
    if isinstance(normalizer, NormalizerModule):
        made: Normalizer = normalizer()
        return made
    return normalizer
