"""The Transformer encoder–decoder (Vaswani et al. 2017), with every score, normalizer and position scheme."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.models.base import Decoded, EncoderDecoder
from heedful.models.frequency import FrequencyConfig
from heedful.models.transformer_config import TransformerConfig
from heedful.models.transformer_stacks import PositionedDecoder, PositionedEncoder
from heedful.nn.linear import Linear
from heedful.nn.recurrent import States
from heedful.nn.transformer import DecoderLayerCache
from heedful.ops import masks

__all__ = ["TransformerConfig", "TransformerEncoderDecoder", "TransformerState"]


@dataclass(frozen=True, eq=False)
class TransformerState:
    """State of incremental decoding: `beams` consecutive rows per sentence share one row of memory.

    Reordering the hypotheses of a sentence therefore never copies the memory.
    """

    layers: tuple[DecoderLayerCache, ...]
    """For each layer: the past tokens, one row per hypothesis, and the prepared memory, one row per sentence."""
    memory_mask: masks.Dense
    """(sentences, 1, 1, source)."""
    memory_bias: Tensor | None
    """(sentences, 1, 1, source), or None."""
    position: int
    """Number of past tokens."""
    beams: int

    def select(self, index: Tensor) -> TransformerState:
        """Return the state of the rows `index`, in that order; rows may repeat."""
        sentences, counts = torch.unique_consecutive(index // self.beams, return_counts=True)
        beams = int(counts[0])
        if not bool((counts == beams).all()):
            sentences, beams = index // self.beams, 1
        rows = self.memory_mask.keep.shape[0]
        memory_unchanged = len(sentences) == rows and bool(
            (sentences == torch.arange(rows, device=index.device)).all()
        )
        memory_rows = None if memory_unchanged else sentences
        layers = tuple(_select(layer, index, memory_rows) for layer in self.layers)
        if memory_unchanged:
            return replace(self, layers=layers, beams=beams)
        mask = masks.Dense(self.memory_mask.keep[sentences])
        bias = None if self.memory_bias is None else self.memory_bias[sentences]
        return replace(self, layers=layers, memory_mask=mask, memory_bias=bias, beams=beams)


def _select(layer: DecoderLayerCache, rows: Tensor, sentences: Tensor | None) -> DecoderLayerCache:
    past, cross = layer.self_attention, layer.cross_attention
    return DecoderLayerCache(
        None if past is None else past.select(rows),
        cross if sentences is None else cross.select(sentences),
    )


class TransformerEncoderDecoder(EncoderDecoder[TransformerState]):
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

    >>> model = TransformerEncoderDecoder(TransformerConfig(width=8, feed_forward=16, heads=2), 20, 30)
    >>> source, target = torch.randint(20, (3, 5)), torch.randint(30, (3, 4))
    >>> decoded = model(source, torch.tensor([5, 4, 2]), target, return_weights=True)
    >>> model.output(decoded.states).shape, decoded.weights.shape
    (torch.Size([3, 4, 30]), torch.Size([3, 4, 2, 4, 5]))
    """

    has_attention = True

    def __init__(
        self,
        config: TransformerConfig,
        source_vocabulary_size: int,
        target_vocabulary_size: int,
        frequency: FrequencyConfig | None = None,
    ):
        super().__init__(frequency, source_vocabulary_size)
        self.config = config
        self.alignment_layer = max(0, config.decoder_layers - 2)
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
        self.decoder = PositionedDecoder(config)
        self.output_projection = (
            None
            if config.tie_embeddings
            else Linear(config.width, target_vocabulary_size, bias=False)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize embeddings and output weights; the layers initialize themselves."""
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=self.config.width**-0.5)
        if self.output_projection is not None:
            nn.init.xavier_uniform_(self.output_projection.weight)

    def encode(self, source: Tensor, source_lengths: Tensor) -> States:
        keep = _keep(source.shape[1], source_lengths)
        values = self.encoder(self._embed(self.source_embedding, source), keep)
        return States(values, source_lengths, ())

    def decode(
        self,
        memory: States,
        target: Tensor,
        *,
        key_bias: Tensor | None = None,
        return_weights: bool = False,
    ) -> Decoded:
        embedded = self._embed(self.target_embedding, target)
        states, weights, _ = self.decoder(
            embedded,
            self.decoder.prepare(memory.values),
            memory_mask=_keep(memory.values.shape[1], memory.lengths),
            memory_bias=None if key_bias is None else key_bias[:, None, None, :],
            mask=masks.Causal(),
            return_weights=return_weights,
        )
        return Decoded(states, weights)

    def output_layer(self) -> tuple[Tensor, Tensor | None]:
        owner = self.target_embedding if self.output_projection is None else self.output_projection
        return owner.weight, None

    def begin(self, memory: States, *, key_bias: Tensor | None = None) -> TransformerState:
        return TransformerState(
            self.decoder.prepare(memory.values),
            _keep(memory.values.shape[1], memory.lengths),
            None if key_bias is None else key_bias[:, None, None, :],
            position=0,
            beams=1,
        )

    def step(self, token: Tensor, state: TransformerState) -> tuple[Tensor, TransformerState]:
        embedded = self._embed(self.target_embedding, token[:, None])
        states, _, layers = self.decoder(
            embedded,
            state.layers,
            memory_mask=state.memory_mask,
            memory_bias=state.memory_bias,
            position=state.position,
        )
        return states[:, 0], replace(state, layers=layers, position=state.position + 1)

    def _embed(self, embedding: nn.Embedding, tokens: Tensor) -> Tensor:
        embedded: Tensor = embedding(tokens) * self.config.width**0.5
        return embedded


def _keep(length: int, lengths: Tensor) -> masks.Dense:
    """Return the padding mask, (batch, 1, 1, length), True for tokens.

    Every layer would make `masks.Padding` dense again.
    """
    keep = torch.arange(length, device=lengths.device) < lengths[:, None]
    return masks.Dense(keep[:, None, None, :])
