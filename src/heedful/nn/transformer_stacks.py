"""Stacks of Transformer layers: encoder, decoder, and both together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.nn.transformer import (
    DecoderLayerCache,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
)
from heedful.ops.masks import Mask
from heedful.ops.positions import PositionBias

DecoderCache = tuple[DecoderLayerCache, ...]
"""The cache of a decoder: one entry per layer."""


class DecoderOutput(NamedTuple):
    """The return value of `TransformerDecoder` and `Transformer`."""

    output: Tensor
    """(*batch, length, embed_dim)."""
    weights: Tensor | None
    """Cross-attention weights (*batch, layers, num_heads, length, memory), or None without `return_weights`."""
    cache: DecoderCache
    """The cache for the next tokens."""


def run_encoder_layers(
    layers: nn.ModuleList,
    inputs: Tensor,
    *,
    mask: Mask | Tensor | None = None,
    bias: Tensor | PositionBias | None = None,
    between_layers: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Apply `TransformerEncoderLayer` modules, one after the other: (*batch, length, embed_dim) -> the same.

    `mask` and `bias` apply to the self-attention of every layer. `between_layers` is applied to the input of every
    layer except the first, for example to add positions again.

    >>> layers = nn.ModuleList(TransformerEncoderLayer(8, 2, 16) for _ in range(3))
    >>> run_encoder_layers(layers, torch.randn(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """
    states = inputs
    for index, layer in enumerate(layers):
        if index and between_layers is not None:
            states = between_layers(states)
        states = layer(states, mask=mask, bias=bias)
    return states


def prepare_decoder_layers(layers: nn.ModuleList, memory: Tensor) -> DecoderCache:
    """Project and prepare the memory once, in every `TransformerDecoderLayer`, for all decoding steps.

    >>> layers = nn.ModuleList(TransformerDecoderLayer(8, 2, 16) for _ in range(3))
    >>> len(prepare_decoder_layers(layers, torch.randn(2, 5, 8)))
    3
    """
    return tuple(cast(TransformerDecoderLayer, layer).prepare(memory) for layer in layers)


def run_decoder_layers(
    layers: nn.ModuleList,
    inputs: Tensor,
    cache: DecoderCache,
    *,
    memory_mask: Mask | Tensor | None = None,
    mask: Mask | Tensor | None = None,
    bias: Tensor | PositionBias | None = None,
    memory_bias: Tensor | None = None,
    return_weights: bool = False,
    between_layers: Callable[[Tensor], Tensor] | None = None,
) -> DecoderOutput:
    """Apply `TransformerDecoderLayer` modules, one after the other.

    The other arguments are those of `TransformerDecoderLayer` and apply to every layer. `between_layers` is applied to
    the input of every layer except the first.

    Raises:
        OptionError: `cache` is of another number of layers.

    >>> layers = nn.ModuleList(TransformerDecoderLayer(8, 2, 16) for _ in range(3))
    >>> cache = prepare_decoder_layers(layers, torch.randn(2, 5, 8))
    >>> run_decoder_layers(layers, torch.randn(2, 4, 8), cache, return_weights=True).weights.shape
    torch.Size([2, 3, 2, 4, 5])
    """
    if len(cache) != len(layers):
        raise OptionError(
            f"the cache is of {len(cache)} layers, but the decoder has {len(layers)}; start from the prepare method "
            f"of this decoder."
        )
    states, weights, after = inputs, [], []
    for index, (layer, before) in enumerate(zip(layers, cache, strict=True)):
        if index and between_layers is not None:
            states = between_layers(states)
        states, attended, layer_cache = layer(
            states,
            memory_mask=memory_mask,
            mask=mask,
            bias=bias,
            memory_bias=memory_bias,
            cache=before,
            return_weights=return_weights,
        )
        weights.append(attended)
        after.append(layer_cache)
    stacked = torch.stack(weights, dim=-4) if return_weights else None
    return DecoderOutput(states, stacked, tuple(after))


def _checked(layers: Iterable[nn.Module], kind: type[nn.Module]) -> nn.ModuleList:
    found = nn.ModuleList(layers)
    wrong = [type(layer).__name__ for layer in found if not isinstance(layer, kind)]
    if wrong or not len(found):
        got = f"a {wrong[0]}" if wrong else "no layer"
        raise OptionError(f"layers holds {got}; give one or more of heedful.nn.{kind.__name__}.")
    return found


class TransformerEncoder(nn.Module):
    r"""Transformer encoder layers, one after the other (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    .. math:: y = N(L_n(\dots L_1(x)))

    The counterpart of `torch.nn.TransformerEncoder`. It takes built layers instead of one layer to copy, so that the
    layers start from different weights and may differ.

    Args:
        layers: the layers, first to last.
        norm: the norm :math:`N` after the last layer; pre-norm layers need one. None: no norm.

    Shapes: (*batch, length, embed_dim) -> the same.

    Raises:
        OptionError: no layer, or one that is not a `TransformerEncoderLayer`.

    >>> encoder = TransformerEncoder([TransformerEncoderLayer(8, 2, 16) for _ in range(3)], norm=nn.LayerNorm(8))
    >>> encoder(torch.randn(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, layers: Iterable[TransformerEncoderLayer], *, norm: nn.Module | None = None):
        super().__init__()
        self.layers = _checked(layers, TransformerEncoderLayer)
        self.norm = norm

    def forward(
        self,
        inputs: Tensor,
        *,
        mask: Mask | Tensor | None = None,
        bias: Tensor | PositionBias | None = None,
        between_layers: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Map (*batch, length, embed_dim) to the same; the arguments are those of `run_encoder_layers`."""
        states = run_encoder_layers(
            self.layers, inputs, mask=mask, bias=bias, between_layers=between_layers
        )
        return states if self.norm is None else cast(Tensor, self.norm(states))


class TransformerDecoder(nn.Module):
    r"""Transformer decoder layers, one after the other (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    .. math:: y = N(L_n(\dots L_1(x, m), m))

    The counterpart of `torch.nn.TransformerDecoder`, with a cache for decoding token by token.

    Args:
        layers: the layers, first to last.
        norm: the norm :math:`N` after the last layer; pre-norm layers need one. None: no norm.

    Shapes: inputs (*batch, length, embed_dim), memory (*batch, memory, embed_dim) -> output
    (*batch, length, embed_dim).

    Raises:
        OptionError: no layer, or one that is not a `TransformerDecoderLayer`; in a call, not exactly one of memory and
            cache, or a cache of another number of layers.

    >>> from heedful import masks
    >>> decoder = TransformerDecoder([TransformerDecoderLayer(8, 2, 16, dropout=0.0) for _ in range(2)])
    >>> inputs, memory = torch.randn(3, 4, 8), torch.randn(3, 7, 8)
    >>> whole = decoder(inputs, memory=memory, mask=masks.Causal()).output
    >>> cache = decoder.prepare(memory)
    >>> steps = []
    >>> for token in inputs.split(1, dim=1):
    ...     output, _, cache = decoder(token, cache=cache)
    ...     steps.append(output)
    >>> torch.allclose(torch.cat(steps, dim=1), whole, atol=1e-5)
    True
    """

    def __init__(self, layers: Iterable[TransformerDecoderLayer], *, norm: nn.Module | None = None):
        super().__init__()
        self.layers = _checked(layers, TransformerDecoderLayer)
        self.norm = norm

    def prepare(self, memory: Tensor) -> DecoderCache:
        """Project and prepare the memory once, in every layer, for all decoding steps."""
        return prepare_decoder_layers(self.layers, memory)

    def forward(
        self,
        inputs: Tensor,
        *,
        memory: Tensor | None = None,
        memory_mask: Mask | Tensor | None = None,
        mask: Mask | Tensor | None = None,
        bias: Tensor | PositionBias | None = None,
        memory_bias: Tensor | None = None,
        cache: DecoderCache | None = None,
        return_weights: bool = False,
        between_layers: Callable[[Tensor], Tensor] | None = None,
    ) -> DecoderOutput:
        """Map inputs, given a memory, or a cache that holds the memory and the earlier tokens.

        The arguments are those of `TransformerDecoderLayer` and apply to every layer. No causal mask is added: pass
        `mask=masks.Causal()`. `between_layers` is applied to the input of every layer except the first.
        """
        if (memory is None) == (cache is None):
            raise OptionError(
                "a decoder takes either memory or a cache that holds it: pass exactly one of them."
            )
        if cache is None:
            assert memory is not None
            cache = self.prepare(memory)
        states, weights, after = run_decoder_layers(
            self.layers,
            inputs,
            cache,
            memory_mask=memory_mask,
            mask=mask,
            bias=bias,
            memory_bias=memory_bias,
            return_weights=return_weights,
            between_layers=between_layers,
        )
        return DecoderOutput(states if self.norm is None else self.norm(states), weights, after)


class Transformer(nn.Module):
    """An encoder and a decoder over embedded tokens; the counterpart of `torch.nn.Transformer`.

    `heedful.models.TransformerEncoderDecoder` adds embeddings, positions and the output layer.

    Args:
        encoder: maps the source to the memory.
        decoder: maps the target, given the memory.

    Shapes: source (*batch, source, embed_dim), target (*batch, target, embed_dim) -> output
    (*batch, target, embed_dim).

    >>> from heedful import masks
    >>> encoder = TransformerEncoder([TransformerEncoderLayer(8, 2, 16)], norm=nn.LayerNorm(8))
    >>> decoder = TransformerDecoder([TransformerDecoderLayer(8, 2, 16)], norm=nn.LayerNorm(8))
    >>> model = Transformer(encoder, decoder)
    >>> padding = masks.Padding(torch.tensor([5, 2]))
    >>> source, target = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    >>> model(source, target, source_mask=padding, memory_mask=padding, target_mask=masks.Causal()).output.shape
    torch.Size([2, 3, 8])
    """

    def __init__(self, encoder: TransformerEncoder, decoder: TransformerDecoder):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        *,
        source_mask: Mask | Tensor | None = None,
        target_mask: Mask | Tensor | None = None,
        memory_mask: Mask | Tensor | None = None,
        return_weights: bool = False,
    ) -> DecoderOutput:
        """Encode `source` and decode `target`.

        `source_mask` applies to the self-attention of the encoder, `target_mask` to that of the decoder (usually
        `masks.Causal()`), and `memory_mask` to the cross-attention (usually the padding of the source).
        """
        output: DecoderOutput = self.decoder(
            target,
            memory=self.encoder(source, mask=source_mask),
            memory_mask=memory_mask,
            mask=target_mask,
            return_weights=return_weights,
        )
        return output
