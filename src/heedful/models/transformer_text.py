"""The decoder of a Transformer (Vaswani et al. 2017) over the states of any encoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from heedful.models.base import Decoded, TextDecoder
from heedful.models.transformer_config import TransformerDecoderConfig
from heedful.models.transformer_stacks import PositionedDecoder
from heedful.models.transformer_step import FusedState, fused_state
from heedful.nn.linear import Linear
from heedful.nn.recurrent import States
from heedful.nn.transformer import DecoderLayerCache
from heedful.nn.transformer_stacks import DecoderCache
from heedful.ops import masks

if TYPE_CHECKING:
    from heedful.models.transformer_compiled import CompiledState


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


AnyState: TypeAlias = "TransformerState | FusedState | CompiledState"


def _select(layer: DecoderLayerCache, rows: Tensor, sentences: Tensor | None) -> DecoderLayerCache:
    past, cross = layer.self_attention, layer.cross_attention
    return DecoderLayerCache(
        None if past is None else past.select(rows),
        cross if sentences is None else cross.select(sentences),
    )


class TransformerTextDecoder(TextDecoder[AnyState]):
    r"""A Transformer's decoder of text over the states of any encoder.

    The embedding is initialized from :math:`N(0, 1/\mathrm{width})` and multiplied by :math:`\sqrt{\mathrm{width}}`;
    with `tie_embeddings` the output layer shares its weight (Press and Wolf 2017, https://arxiv.org/abs/1608.05859).
    States of another width than the decoder's are first mapped to it.

    Args:
        config: sizes and options.
        vocabulary_size: number of token ids.
        memory: width of the states.

    >>> config = TransformerDecoderConfig(width=8, feed_forward=16, heads=2)
    >>> decoder = TransformerTextDecoder(config, 30, 6).eval()
    >>> memory = States(torch.ones(2, 5, 6), torch.tensor([5, 2]), ())
    >>> decoder.output(decoder.decode(memory, torch.tensor([[2, 7], [2, 9]])).states).shape
    torch.Size([2, 2, 30])
    """

    has_attention = True

    def __init__(self, config: TransformerDecoderConfig, vocabulary_size: int, memory: int):
        super().__init__()
        self.target_embedding = nn.Embedding(vocabulary_size, config.width)
        self._build(config, memory)
        self.reset_parameters()

    def _build(self, config: TransformerDecoderConfig, memory: int) -> None:
        """Add all modules but the embedding, for states of width `memory`."""
        self.config = config
        self.alignment_layer = max(0, config.decoder_layers - 2)
        self.memory_map: nn.Linear | None = None
        if memory != config.width:
            self.memory_map = Linear(memory, config.width)
            nn.init.xavier_uniform_(self.memory_map.weight)
            nn.init.zeros_(self.memory_map.bias)
        self.decoder = PositionedDecoder(config)
        self.output_projection = (
            None
            if config.tie_embeddings
            else Linear(config.width, self.target_embedding.num_embeddings, bias=False)
        )

    def reset_parameters(self) -> None:
        """Initialize the embedding and output weights; the layers initialize themselves."""
        nn.init.normal_(self.target_embedding.weight, std=self.config.width**-0.5)
        if self.output_projection is not None:
            nn.init.xavier_uniform_(self.output_projection.weight)

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
            self._prepare(memory),
            memory_mask=padding_mask(memory.values.shape[1], memory.lengths),
            memory_bias=None if key_bias is None else key_bias[:, None, None, :],
            mask=masks.Causal(),
            return_weights=return_weights,
        )
        return Decoded(states, weights)

    def output_layer(self) -> tuple[Tensor, Tensor | None]:
        owner = self.target_embedding if self.output_projection is None else self.output_projection
        return owner.weight, None

    def begin(self, memory: States, *, key_bias: Tensor | None = None) -> AnyState:
        # Imported here: its kernels are of use in searches alone.
        from heedful.models.transformer_compiled import compiled_state

        prepared = self._prepare(memory)
        mask = padding_mask(memory.values.shape[1], memory.lengths)
        bias = None if key_bias is None else key_bias[:, None, None, :]
        given = self.decoder, self.config, prepared, mask.keep, bias
        fused = compiled_state(*given) or fused_state(*given)
        return fused or TransformerState(prepared, mask, bias, position=0, beams=1)

    def step(self, token: Tensor, state: AnyState) -> tuple[Tensor, AnyState]:
        states, _, after = self._step(token, state)
        return states, after

    def step_with_weights(self, token: Tensor, state: AnyState) -> tuple[Tensor, AnyState, Tensor]:
        states, weights, after = self._step(token, state, return_weights=True)
        assert weights is not None
        return states, after, weights.mean(dim=1)

    def _step(
        self,
        token: Tensor,
        state: AnyState,
        *,
        return_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None, AnyState]:
        """Return states (rows, width), weights (rows, heads, source) of the alignment layer, and the next state."""
        layer = self.alignment_layer
        if not isinstance(state, TransformerState):
            embedded = self._embed(self.target_embedding, token)
            return state.run(embedded, layer if return_weights else None)
        states, weights, layers = self.decoder(
            self._embed(self.target_embedding, token[:, None]),
            state.layers,
            memory_mask=state.memory_mask,
            memory_bias=state.memory_bias,
            position=state.position,
            return_weights=return_weights,
        )
        aligned = None if weights is None else weights[:, layer, :, 0]
        return states[:, 0], aligned, replace(state, layers=layers, position=state.position + 1)

    def _prepare(self, memory: States) -> DecoderCache:
        values = memory.values if self.memory_map is None else self.memory_map(memory.values)
        return self.decoder.prepare(values)

    def _embed(self, embedding: nn.Embedding, tokens: Tensor) -> Tensor:
        embedded: Tensor = embedding(tokens) * self.config.width**0.5
        return embedded


def padding_mask(length: int, lengths: Tensor) -> masks.Dense:
    """Return the padding mask, (batch, 1, 1, length), True for tokens.

    Every layer would make `masks.Padding` dense again.
    """
    keep = torch.arange(length, device=lengths.device) < lengths[:, None]
    return masks.Dense(keep[:, None, None, :])
