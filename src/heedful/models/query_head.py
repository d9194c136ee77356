"""A set of objects from the states of an encoder: a Transformer decoder with one learned query per object (DETR)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from heedful.models.config import Section, check_divides
from heedful.models.encoders import Encoder, States
from heedful.models.heads import HeadOutput
from heedful.nn.linear import Linear
from heedful.nn.transformer import TransformerDecoderLayer
from heedful.ops.masks import Padding


class ObjectsConfig(Section):
    """Decoder of object queries, matching and loss. The defaults suit some ten objects and thousands of images."""

    queries: int = Field(
        12, ge=1, description="Object queries: the most objects that an image can have."
    )
    layers: int = Field(2, ge=1, description="Layers of the decoder.")
    heads: int = Field(4, ge=1, description="Attention heads; must divide the width of the states.")
    feed_forward: int = Field(256, ge=1, description="Hidden features of the feed-forward layers.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout probability of the decoder.")
    no_object: float = Field(
        0.1, gt=0, description="Weight of the label 'no object', which most queries have."
    )
    label_cost: float = Field(1.0, ge=0, description="Weight of the label in matching and loss.")
    distance_cost: float = Field(
        5.0, ge=0, description="Weight of the L1 distance of boxes in matching and loss."
    )
    overlap_cost: float = Field(
        2.0,
        ge=0,
        description="Weight of the generalized intersection over union in matching and loss.",
    )


class QueryHead(nn.Module):
    """Labels and boxes of a fixed number of object queries (Carion et al. 2020, https://arxiv.org/abs/2005.12872).

    The learned queries are the inputs of a pre-norm Transformer decoder whose memory is the states of the encoder.
    A linear map gives the logits of each query's label, the last of them "no object", and three layers its box:
    center x, center y, width and height in shares of the image.

    Args:
        config: sizes.
        encoder: the encoder of the states.
        labels: number of labels, without "no object".

    Returns scores of (layers, batch, queries, labels + 1 + 4): the output after each layer of the decoder, the last
    layer last; the box in the last four. Weights, if requested, are those of the last layer,
    (batch, heads, queries, length).

    Raises: OptionError if the heads do not divide the width of the states.

    >>> from heedful.models.encoders.local import NoContextConfig, NoContextEncoder
    >>> encoder = NoContextEncoder(NoContextConfig(hidden=8), 4)
    >>> head = QueryHead(ObjectsConfig(queries=5, heads=2), encoder, 3)
    >>> head(encoder(torch.ones(2, 9, 4), torch.tensor([9, 4]))).scores.shape
    torch.Size([2, 2, 5, 8])
    """

    def __init__(self, config: ObjectsConfig, encoder: Encoder, labels: int):
        super().__init__()
        width = encoder.width
        check_divides("objects.heads", config.heads, "the width of the states", width)
        self.queries = nn.Parameter(torch.randn(config.queries, width))
        self.layers = nn.ModuleList(
            TransformerDecoderLayer(
                width, config.heads, config.feed_forward, dropout=config.dropout
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.label = Linear(width, labels + 1)
        self.box = nn.Sequential(
            Linear(width, width), nn.ReLU(), Linear(width, width), nn.ReLU(), Linear(width, 4)
        )

    def forward(
        self, states: States, *, key_bias: Tensor | None = None, return_weights: bool = False
    ) -> HeadOutput:
        """Predict the objects of each image; `key_bias` (batch, length) is added to the scores of the states."""
        output = self.queries.expand(len(states.values), -1, -1)
        mask, weights, outputs = Padding(states.lengths), None, []
        memory_bias = None if key_bias is None else key_bias[:, None, None]
        for layer in self.layers:
            output, weights, _ = layer(
                output,
                memory=states.values,
                memory_mask=mask,
                memory_bias=memory_bias,
                return_weights=return_weights,
            )
            outputs.append(self._predict(self.norm(output)))
        return HeadOutput(torch.stack(outputs), weights)

    def _predict(self, output: Tensor) -> Tensor:
        return torch.cat([self.label(output), self.box(output).sigmoid()], dim=-1)
