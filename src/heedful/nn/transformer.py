"""Transformer layers: attention and a feed-forward network, each with a residual connection and a layer norm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from heedful.errors import OptionError, ShapeError, unknown_choice
from heedful.nn.cache import KeyValueCache
from heedful.nn.dropout import Dropout, dropout_residual
from heedful.nn.feed_forward import FeedForward
from heedful.nn.multi_head import MultiHeadAttention
from heedful.nn.normalizers import build_normalizer
from heedful.ops.masks import Mask
from heedful.ops.positions import PositionBias, Rotary

NORMS = ("pre", "post")


class _Layer(nn.Module):
    """Base class of both kinds of layer: the residual connection with pre-norm or post-norm."""

    def __init__(self, *, dropout: float, norm: str):
        super().__init__()
        if norm not in NORMS:
            raise unknown_choice("norm", norm, NORMS)
        self.norm = norm
        self.dropout = Dropout(dropout)

    def _residual(
        self, inputs: Tensor, norm: nn.LayerNorm, part: Callable[[Tensor], Tensor]
    ) -> Tensor:
        is_pre = self.norm == "pre"
        output = part(norm(inputs) if is_pre else inputs)
        if self.dropout.training:
            added = dropout_residual(output, inputs, self.dropout.probability)
        else:
            added = inputs + output
        return added if is_pre else norm(added)


class TransformerEncoderLayer(_Layer):
    r"""Self-attention, then a feed-forward map (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    .. math::
        \text{pre:}\quad & x' = x + A(N_1(x)), \quad y = x' + F(N_2(x')) \\
        \text{post:}\quad & x' = N_1(x + A(x)), \quad y = N_2(x' + F(x'))

    Args:
        embed_dim: features of the input and of the output (`d_model` of `torch.nn.TransformerEncoderLayer`).
        num_heads: number of attention heads.
        dim_feedforward: hidden features of the feed-forward network.
        dropout: dropout probability before each residual sum.
        activation: a name from `heedful.nn.ACTIVATIONS`.
        norm: "pre" (Xiong et al. 2020, https://arxiv.org/abs/2002.04745; needs a norm after the last layer) or
            "post".
        score: a name from `heedful.nn.SCORE_MODULES`.
        normalizer: a name from `heedful.nn.NORMALIZER_BUILDERS`.
        num_kv_heads: number of key and value heads, shared by groups of query heads. Default: `num_heads`.
        rotary: rotary position embedding of queries and keys.
        attention_dropout: dropout probability of the attention weights. Default: `dropout`. PyTorch's fused attention
            does not run with dropout.
        activation_dropout: dropout probability of the hidden features of the feed-forward network. Default: `dropout`.
        bias: whether linear maps and norms have a bias.

    Shapes: (*batch, length, embed_dim) -> the same.

    Raises:
        OptionError: unknown name, or rotary with a score that is not an inner product.
        ShapeError: `num_heads` does not divide `embed_dim`, or the features of the inputs do not match.

    >>> import torch
    >>> TransformerEncoderLayer(8, 2, 16)(torch.randn(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dim_feedforward: int,
        *,
        dropout: float = 0.1,
        activation: str = "relu",
        norm: str = "pre",
        score: str = "scaled_dot",
        normalizer: str = "softmax",
        num_kv_heads: int | None = None,
        rotary: Rotary | None = None,
        attention_dropout: float | None = None,
        activation_dropout: float | None = None,
        bias: bool = True,
    ):
        super().__init__(dropout=dropout, norm=norm)
        self.self_attention = MultiHeadAttention(
            embed_dim,
            num_heads,
            num_kv_heads=num_kv_heads,
            score=score,
            normalizer=build_normalizer(normalizer, num_heads=num_heads),
            dropout=dropout if attention_dropout is None else attention_dropout,
            bias=bias,
            rotary=rotary,
            kind="encoder",
        )
        self.feed_forward = FeedForward(
            embed_dim,
            dim_feedforward,
            activation=activation,
            dropout=dropout if activation_dropout is None else activation_dropout,
            bias=bias,
        )
        self.attention_norm = nn.LayerNorm(embed_dim, bias=bias)
        self.feed_forward_norm = nn.LayerNorm(embed_dim, bias=bias)

    def forward(
        self,
        inputs: Tensor,
        *,
        mask: Mask | Tensor | None = None,
        bias: Tensor | PositionBias | None = None,
    ) -> Tensor:
        """Map (*batch, length, embed_dim) to the same; `mask` and `bias` as in `attend`."""

        def attention(queries: Tensor) -> Tensor:
            output: Tensor = self.self_attention(queries, mask=mask, bias=bias).output
            return output

        attended = self._residual(inputs, self.attention_norm, attention)
        return self._residual(attended, self.feed_forward_norm, self.feed_forward)


@dataclass(frozen=True, eq=False)
class DecoderLayerCache:
    """Cache of a decoder layer: keys and values of the earlier tokens, and of the memory."""

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
    """The return value of `TransformerDecoderLayer`."""

    output: Tensor
    """(*batch, length, embed_dim)."""
    weights: Tensor | None
    """Cross-attention weights (*batch, num_heads, length, memory), or None without `return_weights`."""
    cache: DecoderLayerCache
    """The cache for the next tokens."""


class TransformerDecoderLayer(_Layer):
    r"""Self-attention, cross-attention to a memory, then a feed-forward map (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    .. math::
        \text{pre:}\quad & x' = x + A(N_1(x)), \quad x'' = x' + C(N_2(x'), m), \quad y = x'' + F(N_3(x'')) \\
        \text{post:}\quad & x' = N_1(x + A(x)), \quad x'' = N_2(x' + C(x', m)), \quad y = N_3(x'' + F(x''))

    Args: as `TransformerEncoderLayer`; `rotary` applies to the self-attention only.

    Shapes: inputs (*batch, length, embed_dim), memory (*batch, memory, embed_dim) -> (*batch, length, embed_dim).

    Raises:
        OptionError: unknown name, rotary with a score that is not an inner product, or not exactly one of memory and
            cache given.
        ShapeError: `num_heads` does not divide `embed_dim`, or the features of the inputs do not match.

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
        embed_dim: int,
        num_heads: int,
        dim_feedforward: int,
        *,
        dropout: float = 0.1,
        activation: str = "relu",
        norm: str = "pre",
        score: str = "scaled_dot",
        normalizer: str = "softmax",
        num_kv_heads: int | None = None,
        rotary: Rotary | None = None,
        attention_dropout: float | None = None,
        activation_dropout: float | None = None,
        bias: bool = True,
    ):
        super().__init__(dropout=dropout, norm=norm)

        def attention(kind: str, turned: Rotary | None) -> MultiHeadAttention:
            return MultiHeadAttention(
                embed_dim,
                num_heads,
                num_kv_heads=num_kv_heads,
                score=score,
                normalizer=build_normalizer(normalizer, num_heads=num_heads),
                dropout=dropout if attention_dropout is None else attention_dropout,
                bias=bias,
                rotary=turned,
                kind=kind,
            )

        self.self_attention = attention("decoder", rotary)
        self.cross_attention = attention("cross", None)
        self.feed_forward = FeedForward(
            embed_dim,
            dim_feedforward,
            activation=activation,
            dropout=dropout if activation_dropout is None else activation_dropout,
            bias=bias,
        )
        self.attention_norm = nn.LayerNorm(embed_dim, bias=bias)
        self.cross_norm = nn.LayerNorm(embed_dim, bias=bias)
        self.feed_forward_norm = nn.LayerNorm(embed_dim, bias=bias)

    def prepare(self, memory: Tensor) -> DecoderLayerCache:
        """Project and prepare the memory once for all decoding steps."""
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
        """Map inputs, given a memory, or a cache that holds the memory and the earlier tokens.

        `mask` and `bias` apply to the self-attention, over cached and new tokens. `memory_mask` and `memory_bias` apply
        to the cross-attention. The layer adds no causal mask: pass `mask=masks.Causal()`.

        Several consecutive rows of `inputs` (the beams of a sentence) may share one row of the memory: inputs of
        (batch * beams, 1, embed_dim) attend to a cached memory and `memory_mask` of `batch` rows, without copies.
        """
        if (memory is None) == (cache is None):
            raise OptionError(
                "a decoder layer takes either memory or a cache that holds it: pass exactly one of them."
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
    """Group the queries of rows that share a memory: (batch * n, 1, features) -> (batch, n, features)."""
    rows = cache.value.shape[0]
    if queries.ndim != 3 or queries.shape[0] == rows:
        return queries
    if queries.shape[1] != 1 or queries.shape[0] % rows:
        raise ShapeError(
            f"inputs of shape {tuple(queries.shape)} meet a memory of {rows} rows; wanted as many rows, or, for "
            f"inputs one token long, a multiple of them."
        )
    return queries.view(rows, -1, queries.shape[-1])
