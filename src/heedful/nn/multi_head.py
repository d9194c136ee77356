"""Multi-head attention with any score and normalizer, and a key-value cache passed as a value."""

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
from heedful.ops.scores import Score
from heedful.ops.scores.rotated import rotated


class MultiHeadOutput(NamedTuple):
    """The return value of `MultiHeadAttention`.

    >>> output, weights, cache = MultiHeadAttention(8, num_heads=2)(torch.randn(3, 5, 8))
    >>> output.shape, weights is None, cache.length
    (torch.Size([3, 5, 8]), True, 5)
    """

    output: Tensor
    """(*batch, query, embed_dim)."""
    weights: Tensor | None
    """(*batch, num_heads, query, key), or None without `return_weights`."""
    cache: KeyValueCache
    """The keys and values attended to."""


class MultiHeadAttention(nn.Module):
    r"""Multi-head attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762) with any score and normalizer.

    .. math:: y = W_o\,[\mathrm{attend}(W_q^1 x, W_k^1 h, W_v^1 h); \dots; \mathrm{attend}(W_q^n x, W_k^n h, W_v^n h)]

    Args:
        embed_dim: features of the queries and of the output.
        num_heads: number of query heads.
        num_kv_heads: number of key and value heads, each shared by `num_heads / num_kv_heads` query heads
            (grouped-query attention, Ainslie et al. 2023, https://arxiv.org/abs/2305.13245). Default: `num_heads`.
        head_dim: features of a head. Default: `embed_dim / num_heads`.
        kdim: features of the input keys. Default: `embed_dim`.
        vdim: features of the input values. Default: `kdim` (`torch.nn.MultiheadAttention`: `embed_dim`), since
            without a value the keys are the values.
        score: a name from `SCORE_MODULES`, or a module built for queries and keys of (num_heads, ..., head_dim).
        normalizer: maps scores to weights.
        dropout: dropout probability of the weights in training mode.
        bias: whether the four projections have a bias.
        rotary: rotary position embedding of queries and keys (Su et al. 2021, https://arxiv.org/abs/2104.09864);
            needs a score that is an inner product.
        kind: label of the module in the explorer: "encoder", "decoder", "cross" or "self".

    Shapes: query (*batch, query, embed_dim), key (*batch, key, kdim), value (*batch, key, vdim);
    output (*batch, query, embed_dim), weights (*batch, num_heads, query, key).

    Raises:
        ShapeError: `num_heads` does not divide `embed_dim` and `head_dim` is not given; `num_kv_heads` does not divide
            `num_heads`; a size is below 1; the features of an input do not match; or the batch axes of a cache do
            not match those of the appended keys.
        OptionError: unknown score; a score or normalizer of the wrong type; dropout outside [0, 1); or rotary with a
            score that is not an inner product, or positions without rotary.

    >>> attention = MultiHeadAttention(8, num_heads=2)
    >>> attention(torch.randn(3, 5, 8)).output.shape
    torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        kdim: int | None = None,
        vdim: int | None = None,
        score: str | ScoreModule = "scaled_dot",
        normalizer: Normalizer | NormalizerModule = Softmax(),
        dropout: float = 0.0,
        bias: bool = True,
        rotary: Rotary | None = None,
        kind: str = "self",
    ):
        super().__init__()
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = self.kdim if vdim is None else vdim
        self.head_dim = (
            _divide("embed_dim", embed_dim, "num_heads", num_heads)
            if head_dim is None
            else head_dim
        )
        _divide("num_heads", num_heads, "num_kv_heads", self.num_kv_heads)
        sizes = ("embed_dim", "kdim", "vdim", "head_dim")
        check_sizes({name: getattr(self, name) for name in sizes})
        if isinstance(score, str):
            score = build_score(
                score,
                self.head_dim,
                self.head_dim,
                num_heads=num_heads,
                num_kv_heads=self.num_kv_heads,
            )
        self.score = checked_score(score)
        self.normalizer = checked_normalizer(normalizer)
        self.dropout = probability(dropout)
        self.rotary = rotary
        self.kind = kind
        if rotary is not None:
            rotated(self.score(), rotary)  # raises here rather than in the first call
        query_dim, key_dim = num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        self.query_projection = Linear(embed_dim, query_dim, bias=bias)
        self.key_projection = Linear(self.kdim, key_dim, bias=bias)
        self.value_projection = Linear(self.vdim, key_dim, bias=bias)
        self.output_projection = Linear(query_dim, embed_dim, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the projections (Xavier uniform, zero bias) and the parameters of the score."""
        projections = (self.query_projection, self.key_projection, self.value_projection)
        for projection in (*projections, self.output_projection):
            nn.init.xavier_uniform_(projection.weight)
            if projection.bias is not None:
                nn.init.zeros_(projection.bias)
        self.score.reset_parameters()

    def prepare(self, key: Tensor, value: Tensor | None = None) -> KeyValueCache:
        """Project and prepare keys and values for any number of calls with `cache` and without `key`.

        Without `value` the keys are the values.
        """
        (projected_key, projected_value) = self._project(
            (self.key_projection, self.value_projection), (key, key if value is None else value)
        )
        return KeyValueCache(self._score(0).prepare_key(projected_key), projected_value)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        mask: Mask | Tensor | None = None,
        bias: Tensor | PositionBias | None = None,
        cache: KeyValueCache | None = None,
        positions: Tensor | None = None,
        return_weights: bool = False,
    ) -> MultiHeadOutput:
        """Attend from `query` to keys and values; without `value` the keys are the values.

        What is attended to:

        - neither `key` nor `cache`: the queries (self-attention);
        - `key`: the keys;
        - `key` and `cache`: the cached keys followed by `key` (decoding: pass the new tokens as query and key);
        - `cache`: the cached keys.

        `positions` are those of the queries and of the keys passed with them, for the rotary embedding: (length,), or
        (*batch, length) where sequences are packed or padded on the left. Without them tokens are counted, from the
        length of the cache on.

        The returned cache holds everything that was attended to.
        """
        if positions is not None and self.rotary is None:
            raise OptionError(
                "positions were given to a MultiHeadAttention without rotary; build it with rotary=Rotary(head_dim)."
            )
        start: int | Tensor = 0 if cache is None or key is None else cache.length
        if positions is not None:
            start = positions
        score = self._score(start)
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
            new = KeyValueCache(score.prepare_key(new_key), new_value)
            cache = new if cache is None else cache.append(new)
        output, weights = attend(
            projected_query,
            cache.key,
            cache.value,
            score=score,
            mask=mask,
            bias=bias,
            normalizer=normalizer_value(self.normalizer),
            dropout_p=self.dropout if self.training else 0.0,
            enable_gqa=self.num_kv_heads != self.num_heads,
            return_weights=return_weights,
        )
        merged = output.transpose(-3, -2).flatten(-2)
        return MultiHeadOutput(self.output_projection(merged), weights, cache)

    def _score(self, start: int | Tensor) -> Score:
        score: Score = self.score()
        if self.rotary is None:
            return score
        return rotated(score, self.rotary, query_start=start, key_start=start)

    def _project(
        self, projections: tuple[nn.Linear, ...], inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Project each input and split it into heads.

        For gradients one tensor is projected by one multiplication, since the backward pass then has one too. Without
        them that saves less than it takes to copy the weights into one.
        """
        for projection, given, what in zip(projections, inputs, _names(projections), strict=True):
            _check_features(what, given, projection.in_features)
        first = inputs[0]
        if len(inputs) > 1 and torch.is_grad_enabled() and all(given is first for given in inputs):
            return self._project_jointly(projections, first)
        return tuple(
            [
                self._into_heads(linear(given, projection.weight, projection.bias))
                for projection, given in zip(projections, inputs, strict=True)
            ]
        )

    def _project_jointly(
        self, projections: tuple[nn.Linear, ...], given: Tensor
    ) -> tuple[Tensor, ...]:
        """Project one tensor by one multiplication, and divide the result after it is split into heads."""
        weights: list[Tensor] = [projection.weight for projection in projections]
        biases: list[Tensor] = [bias for p in projections if (bias := p.bias) is not None]
        joined = linear(given, torch.cat(weights), torch.cat(biases) if biases else None)
        heads = [projection.out_features // self.head_dim for projection in projections]
        return self._into_heads(joined).split_with_sizes(heads, dim=-3)

    def _into_heads(self, features: Tensor) -> Tensor:
        """Split (*batch, length, heads * head_dim) into heads: (*batch, heads, length, head_dim)."""
        # Explicit sizes: view cannot infer the number of heads from an empty tensor.
        *lead, width = features.shape
        return features.view(*lead, width // self.head_dim, self.head_dim).transpose(-3, -2)


def _names(projections: tuple[nn.Linear, ...]) -> tuple[str, ...]:
    return {1: ("query",), 2: ("key", "value"), 3: ("query", "key", "value")}[len(projections)]


def _check_features(what: str, given: Tensor, wanted: int) -> None:
    if given.ndim < 2 or given.shape[-1] != wanted:
        raise ShapeError(
            f"{what} has shape {tuple(given.shape)}, wanted (*batch, length, {wanted}); "
            f"build the module for the features of {what}, or project {what} first."
        )


def _divide(what: str, number: int, by: str, divisor: int) -> int:
    if divisor < 1 or number % divisor:
        raise ShapeError(
            f"{by}={divisor} does not divide {what}={number}; choose {by} among the divisors of {number}."
        )
    return number // divisor
