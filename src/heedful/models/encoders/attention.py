"""Encoders made of attention: alternating with feed-forward maps, and the Transformer."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from heedful.models.config import check_divides
from heedful.models.encoders.base import Encoder, EncoderConfig
from heedful.models.fields import Activation, Norm, Normalizer, Positions, Score
from heedful.nn.dropout import Dropout
from heedful.nn.feed_forward import FeedForward
from heedful.nn.linear import Linear
from heedful.nn.multi_head import MultiHeadAttention
from heedful.nn.normalizers import build_normalizer
from heedful.nn.positions import build_bias, build_input_positions, build_rotary
from heedful.nn.transformer import TransformerEncoderLayer
from heedful.nn.transformer_stacks import run_encoder_layers
from heedful.ops import masks
from heedful.ops.positions import Rotary


class AttendingConfig(EncoderConfig):
    """What both encoders of this file are configured by."""

    width: int = Field(128, ge=1, description="Features of a state.")
    heads: int = Field(4, ge=1, description="Attention heads; they must divide width.")
    feed_forward: int = Field(256, ge=1, description="Hidden features of the feed-forward maps.")
    layers: int = Field(2, ge=1, description="Attention and feed-forward map, so many times.")
    score: Score = Field("scaled_dot", description="How a query and a key are compared.")
    normalizer: Normalizer = Field("softmax", description="How scores become weights.")
    mask: Literal["full", "window", "causal"] = Field(
        "full", description="What a token sees: everything, its neighbours, or what came before."
    )
    window: int = Field(64, ge=0, description="Neighbours seen on each side, for mask = window.")
    positions: Positions = Field("sinusoidal", description="How tokens get their positions.")
    max_length: int = Field(
        512, ge=1, description="Longest sequence in tokens, for learned positions alone."
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Probability of dropping a feature.")

    @model_validator(mode="after")
    def _heads_share_out_the_width(self) -> Self:
        check_divides("heads", self.heads, "width", self.width)
        return self


class AttentionConfig(AttendingConfig):
    """Attention alternating with feed-forward maps, without the norms of a Transformer."""

    kind: Literal["attention"] = Field("attention", description="Which encoder this configures.")
    residual: bool = Field(True, description="Add to what comes in rather than replace it.")


class TransformerEncoderConfig(AttendingConfig):
    """The encoder of a Transformer."""

    kind: Literal["transformer"] = Field(
        "transformer", description="Which encoder this configures."
    )
    norm: Norm = Field("pre", description="Normalise before or after each part of a layer.")
    activation: Activation = Field(
        "relu", description="Activation of the feed-forward maps; gated is SwiGLU."
    )
    attention_dropout: float = Field(
        0.0, ge=0, lt=1, description="Probability of dropping an attention weight."
    )


class _Attending(Encoder):
    """Inputs brought to the width and given positions; the mask; positions as a bias."""

    attends = True

    def __init__(self, config: AttendingConfig, input_width: int):
        super().__init__(input_width, config.width)
        self.config = config
        self.widen = Linear(input_width, config.width)
        nn.init.xavier_uniform_(self.widen.weight)
        nn.init.zeros_(self.widen.bias)
        self.positions = build_input_positions(
            config.positions, config.width, max_length=config.max_length
        )
        self.bias = build_bias(
            config.positions, config.heads, bidirectional=config.mask != "causal"
        )
        self.dropout = Dropout(config.dropout)

    def _rotary(self) -> Rotary | None:
        config = self.config
        return build_rotary(config.positions, config.width // config.heads, score=config.score)

    def _start(self, inputs: Tensor) -> Tensor:
        states = self.widen(inputs)
        placed: Tensor = self.dropout(states if self.positions is None else self.positions(states))
        return placed

    def _mask(self, length: int, lengths: Tensor) -> masks.Mask:
        """What may be attended to; a window stays a value, so that its band is all that is computed."""
        if self.config.mask == "window":
            return masks.Padding(lengths) & masks.Window(self.config.window, self.config.window)
        if self.config.mask == "causal":
            return masks.Padding(lengths) & masks.Causal()
        keep = torch.arange(length, device=lengths.device) < lengths[:, None]
        # Dense once here, rather than masks.Padding, which every layer would make dense for itself.
        return masks.Dense(keep[:, None, None, :])


class AttentionEncoder(_Attending):
    r"""Attention, then a feed-forward map, and so on: :math:`x \to A(x) \to F(A(x)) \to \dots`

    With `residual` each part is added to what comes in. There are no norms: this is the step before the
    Transformer.

    >>> encoder = AttentionEncoder(AttentionConfig(width=8, heads=2, feed_forward=8), 3)
    >>> encoder(torch.ones(2, 5, 3), torch.tensor([5, 2])).values.shape
    torch.Size([2, 5, 8])
    """

    configuration = AttentionConfig

    def __init__(self, config: AttentionConfig, input_width: int):
        super().__init__(config, input_width)
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
        states, mask = self._start(inputs), self._mask(inputs.shape[1], lengths)
        bias = None if self.bias is None else self.bias()
        for attention, feed_forward in zip(self.attentions, self.feed_forwards, strict=True):
            states = self._join(states, attention(states, mask=mask, bias=bias).output)
            states = self._join(states, feed_forward(states))
        return states

    def _join(self, states: Tensor, part: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(part)
        return states + dropped if self.residual else dropped


class TransformerStates(_Attending):
    """The encoder of a Transformer (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    >>> encoder = TransformerStates(TransformerEncoderConfig(width=8, heads=2, feed_forward=8), 3)
    >>> encoder(torch.ones(2, 5, 3), torch.tensor([5, 2])).values.shape
    torch.Size([2, 5, 8])
    """

    configuration = TransformerEncoderConfig

    def __init__(self, config: TransformerEncoderConfig, input_width: int):
        super().__init__(config, input_width)
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
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width) if config.norm == "pre" else nn.Identity()

    def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        states, mask = self._start(inputs), self._mask(inputs.shape[1], lengths)
        bias = None if self.bias is None else self.bias()
        output: Tensor = self.norm(run_encoder_layers(self.layers, states, mask=mask, bias=bias))
        return output
