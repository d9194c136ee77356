"""Transformer layers: attention and feed-forward, each inside a residual connection with a norm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from heedful.errors import OptionError, ShapeError, unknown_choice
from heedful.nn.cache import KeyValueCache
from heedful.nn.dropout import Dropout
from heedful.nn.feed_forward import FeedForward
from heedful.nn.multi_head import MultiHeadAttention
from heedful.nn.normalizers import build_normalizer
from heedful.ops.masks import Mask
from heedful.ops.positions import PositionBias, Rotary

NORMS = ("pre", "post")


class _Layer(nn.Module):
    """What both kinds of layer share: where the norms stand and how attention is built."""

    def __init__(self, *, dropout: float, norm: str):
        super().__init__()
        if norm not in NORMS:
            raise unknown_choice("norm", norm, NORMS)
        self.norm = norm
        self.dropout = Dropout(dropout)

    def _residual(
        self, inputs: Tensor, norm: nn.LayerNorm, part: Callable[[Tensor], Tensor]
    ) -> Tensor:
        if self.norm == "pre":
            output: Tensor = inputs + self.dropout(part(norm(inputs)))
        else:
            output = norm(inputs + self.dropout(part(inputs)))
        return output


class TransformerEncoderLayer(_Layer):
    r"""Self-attention, then a feed-forward map (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    .. math::
        \text{pre:}\quad & x' = x + A(N_1(x)), \quad y = x' + F(N_2(x')) \\
        \text{post:}\quad & x' = N_1(x + A(x)), \quad y = N_2(x' + F(x'))

    Args:
        width: features of the input and of the output.
        heads: how many attention heads.
        hidden: hidden features of the feed-forward map.
        dropout: probability of dropping, inside the feed-forward map and before each residual sum.
        activation: a name from `heedful.nn.ACTIVATIONS`.
        norm: "pre" (Xiong et al. 2020, https://arxiv.org/abs/2002.04745; the last layer then wants a norm after it)
            or "post".
        score: a name from `heedful.nn.SCORE_MODULES`.
        normalizer: a name from `heedful.nn.NORMALIZER_NAMES`.
        key_heads: key heads that groups of query heads share; None: as many as `heads`.
        rotary: positions turned into queries and keys.
        attention_dropout: probability of dropping an attention weight; None: as `dropout`. Above 0, PyTorch's fused
            attention cannot serve.
        bias: whether linear maps and norms add a bias.

    Shapes: (*batch, length, width) -> the same.

    Raises:
        OptionError: for an unknown name, or rotary with a score that has no inner product.
        ShapeError: when `heads` does not divide `width`, or for inputs of another width.

    >>> import torch
    >>> TransformerEncoderLayer(8, 2, 16)(torch.randn(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        dropout: float = 0.1,
        activation: str = "relu",
        norm: str = "pre",
        score: str = "scaled_dot",
        normalizer: str = "softmax",
        key_heads: int | None = None,
        rotary: Rotary | None = None,
        attention_dropout: float | None = None,
        bias: bool = True,
    ):
        super().__init__(dropout=dropout, norm=norm)
        self.self_attention = MultiHeadAttention(
            width,
            heads,
            key_heads=key_heads,
            score=score,
            normalizer=build_normalizer(normalizer, heads=heads),
            dropout=dropout if attention_dropout is None else attention_dropout,
            bias=bias,
            rotary=rotary,
            kind="encoder",
        )
        self.feed_forward = FeedForward(
            width, hidden, activation=activation, dropout=dropout, bias=bias
        )
        self.attention_norm = nn.LayerNorm(width, bias=bias)
        self.feed_forward_norm = nn.LayerNorm(width, bias=bias)

    def forward(
        self,
        inputs: Tensor,
        *,
        mask: Mask | Tensor | None = None,
        bias: Tensor | PositionBias | None = None,
    ) -> Tensor:
        """Map (*batch, length, width) to the same; `mask` and `bias` as in `attend`."""

        def attention(queries: Tensor) -> Tensor:
            output: Tensor = self.self_attention(queries, mask=mask, bias=bias).output
            return output

        attended = self._residual(inputs, self.attention_norm, attention)
        return self._residual(attended, self.feed_forward_norm, self.feed_forward)


@dataclass(frozen=True, eq=False)
class DecoderLayerCache:
    """What a decoder layer keeps from step to step: its own earlier tokens, and the prepared memory."""

    self_attention: KeyValueCache | None
    """None before the first token."""
    cross_attention: KeyValueCache

    def select(self, index: Tensor) -> DecoderLayerCache:
        """Return the batch rows `index`, in that order; rows may repeat."""
        own = self.self_attention
        return DecoderLayerCache(
            None if own is None else own.select(index), self.cross_attention.select(index)
        )


class DecoderLayerOutput(NamedTuple):
    """What `TransformerDecoderLayer` returns, always these three."""

    output: Tensor
    """(*batch, length, width)."""
    weights: Tensor | None
    """Cross-attention weights (*batch, heads, length, memory), or None unless asked for."""
    cache: DecoderLayerCache
    """What the next tokens need."""


class TransformerDecoderLayer(_Layer):
    r"""Self-attention, cross-attention to a memory, then a feed-forward map (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    .. math::
        \text{pre:}\quad & x' = x + A(N_1(x)), \quad x'' = x' + C(N_2(x'), m), \quad y = x'' + F(N_3(x'')) \\
        \text{post:}\quad & x' = N_1(x + A(x)), \quad x'' = N_2(x' + C(x', m)), \quad y = N_3(x'' + F(x''))

    Args: as `TransformerEncoderLayer`; `rotary` turns the self-attention alone.

    Shapes: (*batch, length, width), memory (*batch, memory, width) -> (*batch, length, width).

    Raises:
        OptionError: for an unknown name, rotary with a score that has no inner product, or when not exactly one of
            memory and cache is given.
        ShapeError: when `heads` does not divide `width`, or for inputs of another width.

    >>> import torch
    >>> layer = TransformerDecoderLayer(8, 2, 16, dropout=0.0)
    >>> memory, inputs = torch.randn(3, 7, 8), torch.randn(3, 2, 8)
    >>> whole = layer(inputs, memory=memory, mask=torch.ones(2, 2, dtype=torch.bool).tril()).output
    >>> first = layer(inputs[:, :1], cache=layer.prepare(memory))
    >>> second = layer(inputs[:, 1:], cache=first.cache)
    >>> torch.allclose(second.output, whole[:, 1:], atol=1e-5)
    True
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        dropout: float = 0.1,
        activation: str = "relu",
        norm: str = "pre",
        score: str = "scaled_dot",
        normalizer: str = "softmax",
        key_heads: int | None = None,
        rotary: Rotary | None = None,
        attention_dropout: float | None = None,
        bias: bool = True,
    ):
        super().__init__(dropout=dropout, norm=norm)

        def attention(kind: str, turned: Rotary | None) -> MultiHeadAttention:
            return MultiHeadAttention(
                width,
                heads,
                key_heads=key_heads,
                score=score,
                normalizer=build_normalizer(normalizer, heads=heads),
                dropout=dropout if attention_dropout is None else attention_dropout,
                bias=bias,
                rotary=turned,
                kind=kind,
            )

        self.self_attention = attention("decoder", rotary)
        self.cross_attention = attention("cross", None)
        self.feed_forward = FeedForward(
            width, hidden, activation=activation, dropout=dropout, bias=bias
        )
        self.attention_norm = nn.LayerNorm(width, bias=bias)
        self.cross_norm = nn.LayerNorm(width, bias=bias)
        self.feed_forward_norm = nn.LayerNorm(width, bias=bias)

    def prepare(self, memory: Tensor) -> DecoderLayerCache:
        """Do the per-token work on the memory once, for every step."""
        return DecoderLayerCache(None, self.cross_attention.prepare(memory))

    def forward(
        self,
        inputs: Tensor,
        *,
        memory: Tensor | None = None,
        memory_mask: Mask | Tensor | None = None,
        mask: Mask | Tensor | None = None,
        bias: Tensor | PositionBias | None = None,
        memory_bias: Tensor | None = None,
        cache: DecoderLayerCache | None = None,
        return_weights: bool = False,
    ) -> DecoderLayerOutput:
        """Map inputs given a memory, or given a cache that holds the memory and the tokens before.

        `mask` and `bias` are those of the self-attention, over the cached tokens and the new ones; `memory_mask` and
        `memory_bias` are those of the attention to the memory. Without a cache the mask is the caller's to give
        (`masks.Causal()`): the layer does not hide the future by itself.

        A cache may hold the memory once for several consecutive rows of `inputs` (the beams of a sentence), with
        `memory_mask` likewise: (batch * beams, 1, width) then attends to a memory of `batch` rows, and neither is
        copied.
        """
        if (memory is None) == (cache is None):
            raise OptionError(
                "a decoder layer takes its memory or a cache that holds it: pass exactly one of them."
            )
        if cache is None:
            assert memory is not None
            cache = self.prepare(memory)
        own, cross = cache.self_attention, cache.cross_attention
        weights: Tensor | None = None

        def attention(queries: Tensor) -> Tensor:
            nonlocal own
            output: Tensor
            output, _, own = self.self_attention(queries, queries, mask=mask, bias=bias, cache=own)
            return output

        def cross_attention(queries: Tensor) -> Tensor:
            nonlocal weights
            output: Tensor
            output, weights, _ = self.cross_attention(
                _share_rows(queries, cross),
                mask=memory_mask,
                bias=memory_bias,
                cache=cross,
                return_weights=return_weights,
            )
            return output.reshape(queries.shape)

        attended = self._residual(inputs, self.attention_norm, attention)
        informed = self._residual(attended, self.cross_norm, cross_attention)
        output = self._residual(informed, self.feed_forward_norm, self.feed_forward)
        if weights is not None and weights.shape[0] != inputs.shape[0]:
            weights = weights.transpose(1, 2).flatten(0, 1)[:, :, None]
        return DecoderLayerOutput(output, weights, DecoderLayerCache(own, cross))


def _share_rows(queries: Tensor, cache: KeyValueCache) -> Tensor:
    """Put the single queries of rows that share a memory side by side: (batch * n, 1, w) -> (batch, n, w)."""
    rows = cache.value.shape[0]
    if queries.ndim != 3 or queries.shape[0] == rows:
        return queries
    if queries.shape[1] != 1 or queries.shape[0] % rows:
        raise ShapeError(
            f"inputs of shape {tuple(queries.shape)} meet a memory of {rows} rows; wanted as many rows, or, for "
            f"inputs one token long, a multiple of them."
        )
    return queries.view(rows, -1, queries.shape[-1])
