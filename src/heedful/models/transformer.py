"""The Transformer encoder–decoder (Vaswani et al. 2017), with every score, normalizer and position scheme."""

from __future__ import annotations

from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.models.base import EncoderDecoder
from heedful.models.frequency import FrequencyConfig
from heedful.models.transformer_config import TransformerConfig
from heedful.models.transformer_stacks import PositionedEncoder
from heedful.models.transformer_text import (
    AnyState,
    TransformerState,
    TransformerTextDecoder,
    padding_mask,
)
from heedful.nn.recurrent import States

__all__ = ["TransformerConfig", "TransformerEncoderDecoder", "TransformerState"]


class TransformerEncoderDecoder(TransformerTextDecoder, EncoderDecoder[AnyState]):
    r"""A Transformer encoder–decoder.

    Embeddings are initialized from :math:`N(0, 1/\mathrm{width})` and multiplied by :math:`\sqrt{\mathrm{width}}`;
    with `tie_embeddings` the output layer shares the weight of the target embedding (Press and Wolf 2017,
    https://arxiv.org/abs/1608.05859).

    Args:
        config: sizes and options.
        source_vocabulary_size: number of source token ids.
        target_vocabulary_size: number of target token ids.
        frequency: handling of frequent source tokens; None: off.

    Raises:
        OptionError: for shared embeddings of vocabularies of different sizes, or incompatible options.

    >>> import torch
    >>> model = TransformerEncoderDecoder(TransformerConfig(width=8, feed_forward=16, heads=2), 20, 30)
    >>> source, target = torch.randint(20, (3, 5)), torch.randint(30, (3, 4))
    >>> decoded = model(source, torch.tensor([5, 4, 2]), target, return_weights=True)
    >>> model.output(decoded.states).shape, decoded.weights.shape
    (torch.Size([3, 4, 30]), torch.Size([3, 4, 2, 4, 5]))
    """

    def __init__(
        self,
        config: TransformerConfig,
        source_vocabulary_size: int,
        target_vocabulary_size: int,
        frequency: FrequencyConfig | None = None,
    ):
        EncoderDecoder.__init__(self, frequency, source_vocabulary_size)
        self.target_embedding = nn.Embedding(target_vocabulary_size, config.width)
        if not config.share_embeddings:
            self.source_embedding = nn.Embedding(source_vocabulary_size, config.width)
        elif source_vocabulary_size == target_vocabulary_size:
            self.source_embedding = self.target_embedding
        else:
            raise OptionError(
                f"share_embeddings needs one vocabulary, but the source has {source_vocabulary_size} tokens and the "
                f"target {target_vocabulary_size}; share the vocabulary or set share_embeddings to false."
            )
        self.encoder = PositionedEncoder(config)
        self._build(config, config.width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize embeddings and output weights; the layers initialize themselves."""
        nn.init.normal_(self.source_embedding.weight, std=self.source_embedding.embedding_dim**-0.5)
        super().reset_parameters()

    def encode(self, source: Tensor, source_lengths: Tensor) -> States:
        keep = padding_mask(source.shape[1], source_lengths)
        values = self.encoder(self._embed(self.source_embedding, source), keep)
        return States(values, source_lengths, ())
