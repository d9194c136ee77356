"""Self-attention encoders: plain attention and feed-forward layers, and the Transformer."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.models.config import check_divides
from heedful.models.encoders.base import UNBOUNDED, Context, Encoder, EncoderConfig
from heedful.models.fields import Activation, Norm, Normalizer, Positions, Score
from heedful.nn.dropout import Dropout
from heedful.nn.feed_forward import FeedForward
from heedful.nn.linear import Linear
from heedful.nn.multi_head import MultiHeadAttention
from heedful.nn.normalizers import build_normalizer
from heedful.nn.positions import build_bias, build_input_positions, build_rotary
from heedful.nn.transformer import TransformerEncoderLayer
from heedful.ops import masks
from heedful.ops.grid import Grid
from heedful.ops.positions import Rotary


class SelfAttentionConfig(EncoderConfig):
    """Options shared by both encoders."""

    width: int = Field(128, ge=1, description="Features of a state.")
    heads: int = Field(4, ge=1, description="Attention heads; must divide width.")
    feed_forward: int = Field(256, ge=1, description="Hidden features of the feed-forward layers.")
    layers: int = Field(2, ge=1, description="Layers of attention and feed-forward.")
    score: Score = Field("scaled_dot", description="Score function of query and key.")
    normalizer: Normalizer = Field(
        "softmax", description="Normalizer of attention scores to weights."
    )
    mask: Literal["full", "window", "causal", "tiles"] = Field(
        "full",
        description="Positions attended to: all, a window, the preceding ones or, of images, those of the same tile; "
        "every other layer shifts the tiles by half.",
    )
    window: int = Field(
        64,
        ge=0,
        description="Positions on each side, for mask = window; of images rows and columns on each side, and for "
        "mask = tiles the rows and columns of a tile.",
    )
    window_after: int | None = Field(
        None,
        ge=0,
        description="Positions after, for mask = window; 0: a causal window; unset: as window.",
    )
    global_positions: int = Field(
        0,
        ge=0,
        description="First positions that attend to all and that all attend to, for mask = window.",
    )
    positions: Positions = Field("sinusoidal", description="Position encoding.")
    max_length: int = Field(
        512,
        ge=1,
        description="Maximum tokens of a sequence, for learned positions only; images have as many as cells.",
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout probability of states.")

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        check_divides("heads", self.heads, "width", self.width)
        return self


class AttentionConfig(SelfAttentionConfig):
    """Attention and feed-forward layers without the norms of a Transformer."""

    kind: Literal["attention"] = Field("attention", description="The encoder.")
    residual: bool = Field(
        True, description="Residual connections around attention and feed-forward."
    )


class TransformerEncoderConfig(SelfAttentionConfig):
    """The encoder of a Transformer."""

    kind: Literal["transformer"] = Field("transformer", description="The encoder.")
    norm: Norm = Field(
        "pre", description="Layer normalization before (pre) or after (post) each sublayer."
    )
    activation: Activation = Field(
        "relu", description="Activation of the feed-forward layers; gated: SwiGLU."
    )
    attention_dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout probability of attention weights."
    )
    activation_dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Dropout probability of the hidden features of the feed-forward layers; unset: dropout.",
    )


def _check_mask(config: SelfAttentionConfig, grid: Grid | None) -> None:
    """Raise OptionError for tiles without an image, or without a cell."""
    if config.mask != "tiles":
        return
    if grid is None:
        raise OptionError("encoder.mask is tiles, which only the cells of images have; use window")
    if config.window < 1:
        raise OptionError("encoder.window is 0; tiles have 1 row and column or more")


class _SelfAttentionEncoder(Encoder):
    """Input projection, position encoding and mask."""

    has_attention = True
    reads_grid = True

    def __init__(self, config: SelfAttentionConfig, input_width: int, grid: Grid | None = None):
        super().__init__(input_width, config.width)
        _check_mask(config, grid)
        self.config, self.grid = config, grid
        self.widen = Linear(input_width, config.width)
        nn.init.xavier_uniform_(self.widen.weight)
        nn.init.zeros_(self.widen.bias)
        self.positions = build_input_positions(
            config.positions, config.width, max_length=config.max_length, grid=grid
        )
        self.bias = build_bias(
            config.positions,
            config.heads,
            bidirectional=config.mask != "causal" and config.window_after != 0,
            grid=grid,
        )
        self.dropout = Dropout(config.dropout)

    def _rotary(self) -> Rotary | None:
        config = self.config
        return build_rotary(
            config.positions, config.width // config.heads, score=config.score, grid=self.grid
        )

    def _start(self, inputs: Tensor) -> Tensor:
        states = self.widen(inputs)
        placed: Tensor = self.dropout(states if self.positions is None else self.positions(states))
        return placed

    def _masks(self, length: int, lengths: Tensor) -> list[masks.Mask | None]:
        """Return the attention mask of each layer."""
        layers, grid = self.config.layers, self.grid
        if grid is None or self.config.mask == "causal":
            return [self._mask(length, lengths)] * layers
        if self.config.mask == "full":
            return [None] * layers
        size = self.config.window
        if self.config.mask == "window":
            return [masks.GridWindow(grid, size)] * layers
        return [masks.GridTiles(grid, size, layer % 2 * (size // 2)) for layer in range(layers)]

    def _sides(self) -> tuple[int, int]:
        """Return the positions before and after that a layer attends to, for a window."""
        config = self.config
        after = config.window if config.window_after is None else config.window_after
        return config.window, after

    @property
    def context(self) -> Context:
        config = self.config
        if config.mask != "window" or config.global_positions or self.positions is not None:
            return UNBOUNDED
        before, after = self._sides()
        return Context(before * config.layers, after * config.layers)

    def _mask(self, length: int, lengths: Tensor) -> masks.Mask:
        """Return the mask of a sequence; a `Window` is not made dense, so that backends compute only its band."""
        if self.config.mask == "window":
            near: masks.Mask = masks.Window(*self._sides())
            if self.config.global_positions:
                near = near | masks.Global(self.config.global_positions)
            return masks.Padding(lengths) & near
        if self.config.mask == "causal":
            return masks.Padding(lengths) & masks.Causal()
        keep = torch.arange(length, device=lengths.device) < lengths[:, None]
        # Every layer would make masks.Padding dense again.
        return masks.Dense(keep[:, None, None, :])


class AttentionEncoder(_SelfAttentionEncoder):
    r"""Alternating attention and feed-forward: :math:`x \to A(x) \to F(A(x)) \to \dots`

    With `residual` each sublayer f computes x + f(x). There are no norms, unlike in a Transformer.

    >>> encoder = AttentionEncoder(AttentionConfig(width=8, heads=2, feed_forward=8), 3)
    >>> encoder(torch.ones(2, 5, 3), torch.tensor([5, 2])).values.shape
    torch.Size([2, 5, 8])
    """

    configuration = AttentionConfig

    def __init__(self, config: AttentionConfig, input_width: int, grid: Grid | None = None):
        super().__init__(config, input_width, grid)
        self.residual = config.residual
        self.attentions = nn.ModuleList(
            MultiHeadAttention(
                config.width,
                config.heads,
                score=config.score,
                normalizer=build_normalizer(config.normalizer, num_heads=config.heads),
                rotary=self._rotary(),
                kind="encoder",
            )
            for _ in range(config.layers)
        )
        self.feed_forwards = nn.ModuleList(
            FeedForward(config.width, config.feed_forward, dropout=config.dropout)
            for _ in range(config.layers)
        )

    def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        states, layer_masks = self._start(inputs), self._masks(inputs.shape[1], lengths)
        bias = None if self.bias is None else self.bias()
        for attention, feed_forward, mask in zip(
            self.attentions, self.feed_forwards, layer_masks, strict=True
        ):
            states = self._add(states, attention(states, mask=mask, bias=bias).output)
            states = self._add(states, feed_forward(states))
        return states

    def _add(self, states: Tensor, output: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(output)
        return states + dropped if self.residual else dropped


class TransformerStates(_SelfAttentionEncoder):
    """The encoder of a Transformer (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    >>> encoder = TransformerStates(TransformerEncoderConfig(width=8, heads=2, feed_forward=8), 3)
    >>> encoder(torch.ones(2, 5, 3), torch.tensor([5, 2])).values.shape
    torch.Size([2, 5, 8])
    """

    configuration = TransformerEncoderConfig

    def __init__(
        self, config: TransformerEncoderConfig, input_width: int, grid: Grid | None = None
    ):
        super().__init__(config, input_width, grid)
        self.layers = nn.ModuleList(
            TransformerEncoderLayer(
                config.width,
                config.heads,
                config.feed_forward,
                dropout=config.dropout,
                activation=config.activation,
                norm=config.norm,
                score=config.score,
                normalizer=config.normalizer,
                rotary=self._rotary(),
                attention_dropout=config.attention_dropout,
                activation_dropout=config.activation_dropout,
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width) if config.norm == "pre" else nn.Identity()

    def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        states, layer_masks = self._start(inputs), self._masks(inputs.shape[1], lengths)
        bias = None if self.bias is None else self.bias()
        for layer, mask in zip(self.layers, layer_masks, strict=True):
            states = layer(states, mask=mask, bias=bias)
        output: Tensor = self.norm(states)
        return output
