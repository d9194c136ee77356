"""Multi-head attention: owner of projections and a score, with a cache of prepared keys as a value."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from heedful.errors import OptionError, ShapeError
from heedful.nn.attention import (
    checked_normalizer,
    checked_score,
    normalizer_value,
    probability,
)
from heedful.nn.cache import KeyValueCache
from heedful.nn.linear import Linear
from heedful.nn.normalizers import NormalizerModule
from heedful.nn.scores import ScoreModule, build_score
from heedful.nn.sizes import check_sizes
from heedful.ops.attend import attend
from heedful.ops.masks import Mask
from heedful.ops.normalizers import Normalizer, Softmax
from heedful.ops.positions import PositionBias, Rotary
from heedful.ops.products import linear
from heedful.ops.scores import Rotated, Score


class MultiHeadOutput(NamedTuple):
    """What `MultiHeadAttention` returns, always these three.

    >>> output, weights, cache = MultiHeadAttention(8, heads=2)(torch.randn(3, 5, 8))
    >>> output.shape, weights is None, cache.length
    (torch.Size([3, 5, 8]), True, 5)
    """

    output: Tensor
    """(*batch, query, width)."""
    weights: Tensor | None
    """(*batch, heads, query, key), or None unless asked for."""
    cache: KeyValueCache
    """The keys and values attended to."""


class MultiHeadAttention(nn.Module):
    r"""Attention in several learned projections at once (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    .. math:: y = W_o\,[\mathrm{attend}(W_q^1 x, W_k^1 h, W_v^1 h); \dots; \mathrm{attend}(W_q^n x, W_k^n h, W_v^n h)]

    Args:
        width: features of the queries and of the output.
        heads: how many query heads.
        key_heads: how many key and value heads, each shared by `heads / key_heads` query heads (Ainslie et al. 2023,
            https://arxiv.org/abs/2305.13245); None: as many as `heads`.
        key_width: features of the keys that come in; None: `width`.
        value_width: features of the values that come in; None: `key_width`.
        head_width: features of a head; None: `width / heads`.
        score: a name from `SCORE_MODULES`, or a module built for queries (heads, ..., head_width) and keys alike.
        normalizer: how scores become weights.
        dropout: probability of dropping a weight while training.
        bias: whether the four projections add a bias.
        rotary: positions turned into queries and keys (Su et al. 2021, https://arxiv.org/abs/2104.09864), for
            scores paired by inner product.
        kind: what the explorer calls the module: "encoder", "decoder", "cross" or "self".

    Shapes: query (*batch, query, width), key (*batch, key, key_width), value (*batch, key, value_width);
    output (*batch, query, width), weights (*batch, heads, query, key).

    Raises:
        ShapeError: when `heads` does not divide `width` (and no `head_width` is given), when `key_heads` does not
            divide `heads`, for a size below 1, when an input has other features than the module was built for, or
            when a cache has other batch rows than the keys that are to follow it.
        OptionError: for an unknown score, a score or normalizer of another kind than said above, a dropout outside
            [0, 1), or rotary with a score that has no inner product.

    >>> attention = MultiHeadAttention(8, heads=2)
    >>> attention(torch.randn(3, 5, 8)).output.shape
    torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        key_heads: int | None = None,
        key_width: int | None = None,
        value_width: int | None = None,
        head_width: int | None = None,
        score: str | ScoreModule = "scaled_dot",
        normalizer: Normalizer | NormalizerModule = Softmax(),
        dropout: float = 0.0,
        bias: bool = True,
        rotary: Rotary | None = None,
        kind: str = "self",
    ):
        super().__init__()
        self.width, self.heads = width, heads
        self.key_heads = heads if key_heads is None else key_heads
        self.key_width = width if key_width is None else key_width
        self.value_width = self.key_width if value_width is None else value_width
        self.head_width = (
            _divide("width", width, "heads", heads) if head_width is None else head_width
        )
        _divide("heads", heads, "key_heads", self.key_heads)
        widths = ("width", "key_width", "value_width", "head_width")
        check_sizes({name: getattr(self, name) for name in widths})
        if isinstance(score, str):
            sizes = {"heads": heads, "key_heads": self.key_heads}
            score = build_score(score, self.head_width, self.head_width, **sizes)
        self.score = checked_score(score)
        self.normalizer = checked_normalizer(normalizer)
        self.dropout = probability(dropout)
        self.rotary = rotary
        self.kind = kind
        if rotary is not None:
            Rotated(
                self.score(), rotary
            )  # refuses now, not in the first call, a score it cannot rotate
        grouped_width = self.key_heads * self.head_width
        self.query_projection = Linear(width, heads * self.head_width, bias=bias)
        self.key_projection = Linear(self.key_width, grouped_width, bias=bias)
        self.value_projection = Linear(self.value_width, grouped_width, bias=bias)
        self.output_projection = Linear(heads * self.head_width, width, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the projections anew (Xavier uniform), set their biases to 0, and draw the score anew."""
        projections = (self.query_projection, self.key_projection, self.value_projection)
        for projection in (*projections, self.output_projection):
            nn.init.xavier_uniform_(projection.weight)
            if projection.bias is not None:
                nn.init.zeros_(projection.bias)
        self.score.reset_parameters()

    def prepare(self, key: Tensor, value: Tensor | None = None) -> KeyValueCache:
        """Project and prepare a memory once: the cache serves any number of calls without keys.

        `value` None: the keys are the values too.
        """
        (projected_key, projected_value) = self._project(
            (self.key_projection, self.value_projection), (key, key if value is None else value)
        )
        return self._prepared(projected_key, projected_value, 0)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        mask: Mask | Tensor | None = None,
        bias: Tensor | PositionBias | None = None,
        cache: KeyValueCache | None = None,
        return_weights: bool = False,
    ) -> MultiHeadOutput:
        """Attend from `query` to keys and values.

        Without `key` and `cache` the queries attend to themselves. With `key` alone, to it; with `key` and `cache`,
        to the cache followed by `key` (decoding: pass the new tokens as query and key); with `cache` alone, to the
        cache as it is. `value` None: the keys are the values too. The cache returned is what was attended to.
        """
        start = 0 if cache is None or key is None else cache.length
        if key is None and cache is not None:
            if value is not None:
                raise OptionError(
                    "a value without a key has no place in the cache; pass the key too."
                )
            (projected_query,) = self._project((self.query_projection,), (query,))
        else:
            key = query if key is None else key
            projected_query, new_key, new_value = self._project(
                (self.query_projection, self.key_projection, self.value_projection),
                (query, key, key if value is None else value),
            )
            new = self._prepared(new_key, new_value, start)
            cache = new if cache is None else cache.append(new)
        output, weights = attend(
            projected_query,
            cache.key,
            cache.value,
            score=self._score(start),
            mask=mask,
            bias=bias,
            normalizer=normalizer_value(self.normalizer),
            dropout_p=self.dropout if self.training else 0.0,
            enable_gqa=self.key_heads != self.heads,
            return_weights=return_weights,
        )
        merged = output.transpose(-3, -2).flatten(-2)
        return MultiHeadOutput(self.output_projection(merged), weights, cache)

    def _score(self, start: int) -> Score:
        score: Score = self.score()
        if self.rotary is None:
            return score
        return Rotated(score, self.rotary, query_start=start, key_start=start)

    def _prepared(self, key: Tensor, value: Tensor, start: int) -> KeyValueCache:
        return KeyValueCache(self._score(start).prepare_key(key), value)

    def _project(
        self, projections: tuple[nn.Linear, ...], inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Project each input and split it into heads; inputs that are one tensor share one multiplication."""
        for projection, given, what in zip(projections, inputs, _names(projections), strict=True):
            _check_features(what, given, projection.in_features)
        if all(given is inputs[0] for given in inputs) and len(inputs) > 1:
            weights: list[Tensor] = [projection.weight for projection in projections]
            biases: list[Tensor] = [p.bias for p in projections if p.bias is not None]
            bias = torch.cat(biases) if biases else None
            joined = linear(inputs[0], torch.cat(weights), bias)
            sizes = [projection.out_features for projection in projections]
            parts = tuple(joined.split_with_sizes(sizes, dim=-1))
        else:
            parts = tuple(
                projection(given) for projection, given in zip(projections, inputs, strict=True)
            )
        return tuple(
            # Sizes in full: how many heads cannot be inferred where there is no token.
            part.view(
                *part.shape[:-1], part.shape[-1] // self.head_width, self.head_width
            ).transpose(-3, -2)
            for part in parts
        )


def _names(projections: tuple[nn.Linear, ...]) -> tuple[str, ...]:
    return {1: ("query",), 2: ("key", "value"), 3: ("query", "key", "value")}[len(projections)]


def _check_features(what: str, given: Tensor, wanted: int) -> None:
    if given.ndim < 2 or given.shape[-1] != wanted:
        raise ShapeError(
            f"{what} has shape {tuple(given.shape)}, wanted (*batch, length, {wanted}); "
            f"build the module with the width that {what} has, or project {what} first."
        )


def _divide(what: str, number: int, by: str, divisor: int) -> int:
    if divisor < 1 or number % divisor:
        raise ShapeError(
            f"{by}={divisor} does not divide {what}={number}; choose {by} among the divisors of {number}."
        )
    return number // divisor
