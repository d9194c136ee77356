"""The configuration of a Transformer."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from heedful.models.config import Section, check_divides
from heedful.models.fields import Activation, Norm, Normalizer, Positions, Score


class TransformerConfig(Section):
    """Sizes and options of a `Transformer`; the defaults suit some ten thousand sentence pairs.

    >>> TransformerConfig(width=256, heads=8).norm
    'pre'
    """

    kind: Literal["transformer"] = Field("transformer", description="Which model this configures.")
    width: int = Field(128, ge=1, description="Features of embeddings and layers.")
    feed_forward: int = Field(256, ge=1, description="Hidden features of the feed-forward maps.")
    encoder_layers: int = Field(4, ge=1, description="Layers of the encoder.")
    decoder_layers: int = Field(4, ge=1, description="Layers of the decoder.")
    heads: int = Field(4, ge=1, description="Attention heads; they must divide width.")
    key_heads: int | None = Field(
        None, ge=1, description="Key heads shared by groups of heads; unset: as many as heads."
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Probability of dropping a feature.")
    attention_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Probability of dropping an attention weight; above 0 attention is slower.",
    )
    norm: Norm = Field("pre", description="Normalise before or after each part of a layer.")
    activation: Activation = Field(
        "relu", description="Activation of the feed-forward maps; gated is SwiGLU."
    )
    positions: Positions = Field("sinusoidal", description="How tokens get their positions.")
    positions_how: Literal["add", "concat", "every_layer"] = Field(
        "add",
        description="Sinusoidal or learned positions: added to the embeddings, concatenated to "
        "them, or added before every layer.",
    )
    score: Score = Field("scaled_dot", description="How a query and a key are compared.")
    normalizer: Normalizer = Field(
        "softmax", description="How scores become weights; entmax has alpha 1.5."
    )
    max_length: int = Field(
        512, ge=1, description="Longest sequence in tokens, for learned positions alone."
    )
    tie_embeddings: bool = Field(
        True, description="Use the target embedding as the weight of the output layer."
    )
    share_embeddings: bool = Field(
        False, description="Use one embedding for both sides; needs one shared vocabulary."
    )

    @model_validator(mode="after")
    def _heads_share_out_the_width(self) -> Self:
        check_divides("heads", self.heads, "width", self.width)
        if self.key_heads is not None:
            check_divides("key_heads", self.key_heads, "heads", self.heads)
        return self
