"""The configurations of a Transformer and of its decoder alone."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from heedful.models.config import Section, check_divides
from heedful.models.fields import Activation, Norm, Normalizer, Positions, Score


class TransformerDecoderConfig(Section):
    """The decoder of a Transformer.

    >>> TransformerDecoderConfig(width=256, heads=8).norm
    'pre'
    """

    kind: Literal["transformer"] = Field("transformer", description="The model.")
    width: int = Field(128, ge=1, description="Features of embeddings and layers.")
    feed_forward: int = Field(256, ge=1, description="Hidden features of the feed-forward layers.")
    decoder_layers: int = Field(4, ge=1, description="Layers of the decoder.")
    heads: int = Field(4, ge=1, description="Attention heads; must divide width.")
    key_heads: int | None = Field(
        None, ge=1, description="Key heads of grouped-query attention; unset: as many as heads."
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout probability of states.")
    attention_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Dropout probability of attention weights; above 0 attention is slower.",
    )
    activation_dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Dropout probability of the hidden features of the feed-forward layers; unset: dropout.",
    )
    norm: Norm = Field(
        "pre", description="Layer normalization before (pre) or after (post) each sublayer."
    )
    activation: Activation = Field(
        "relu", description="Activation of the feed-forward layers; gated: SwiGLU."
    )
    positions: Positions = Field("sinusoidal", description="Position encoding.")
    positions_how: Literal["add", "concat", "every_layer"] = Field(
        "add",
        description="Sinusoidal or learned positions: add to the embeddings, concatenate to them, or add before every "
        "layer.",
    )
    score: Score = Field("scaled_dot", description="Score function of query and key.")
    normalizer: Normalizer = Field(
        "softmax", description="Normalizer of attention scores to weights; entmax has alpha 1.5."
    )
    max_length: int = Field(
        512, ge=1, description="Maximum tokens of a sequence, for learned positions only."
    )
    tie_embeddings: bool = Field(
        True, description="Share the weight of the target embedding with the output layer."
    )

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        check_divides("heads", self.heads, "width", self.width)
        if self.key_heads is not None:
            check_divides("key_heads", self.key_heads, "heads", self.heads)
        return self


class TransformerConfig(TransformerDecoderConfig):
    """Transformer; the defaults suit some ten thousand sentence pairs.

    >>> TransformerConfig(width=256, heads=8).norm
    'pre'
    """

    encoder_layers: int = Field(4, ge=1, description="Layers of the encoder.")
    share_embeddings: bool = Field(
        False,
        description="Share one embedding between source and target; needs a shared vocabulary.",
    )
