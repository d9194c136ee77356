"""Base classes of decoders of text and of encoder–decoders, which encode a source to `States` and decode from them."""

from __future__ import annotations

import abc
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.models.frequency import FrequencyConfig
from heedful.nn.recurrent import States
from heedful.ops.products import linear


class Decoded(NamedTuple):
    """The decoder's states and optionally its attention weights over the source.

    >>> import torch
    >>> Decoded(torch.zeros(2, 3, 8), None).states.shape
    torch.Size([2, 3, 8])
    """

    states: Tensor
    """(batch, target, width), the input of `EncoderDecoder.output`."""
    weights: Tensor | None
    """(batch, layers, heads, target, source); None if not requested or for a model without attention."""


class DecoderState(Protocol):
    """State of incremental decoding: memory, masks, recurrent state or caches."""

    def select(self, index: Tensor) -> Self:
        """Return the state of the batch rows `index`, in that order; rows may repeat, as in beam search."""
        ...


State = TypeVar("State", bound=DecoderState)


class TextDecoder(nn.Module, abc.ABC, Generic[State]):
    """A model of p(target | memory), the memory being the states of any encoder.

    From positions up to t of `target` the decoder predicts token t + 1, so `target` starts with the begin token and has
    no end token. Token ids are `long` and right-padded.
    """

    has_attention: bool
    """Whether the decoder attends to the source; otherwise it has a fixed context vector."""
    alignment_layer: int
    """Index of the layer of `Decoded.weights` that aligns best."""
    target_embedding: nn.Embedding
    summary_parts: int = 0
    """Parts of the memory's summary that the decoder starts from; 0: it reads none."""

    @abc.abstractmethod
    def decode(
        self,
        memory: States,
        target: Tensor,
        *,
        key_bias: Tensor | None = None,
        return_weights: bool = False,
    ) -> Decoded:
        """Decode with teacher forcing.

        Args:
            memory: the states of the source, (batch, source, width).
            target: ids (batch, target), starting with the begin token.
            key_bias: added to the attention scores of the source positions, (batch, source).
            return_weights: also return the attention weights.
        """

    @abc.abstractmethod
    def begin(self, memory: States, *, key_bias: Tensor | None = None) -> State:
        """Return the first decoder state; computes once what all decoding steps share."""

    @abc.abstractmethod
    def output_layer(self) -> tuple[Tensor, Tensor | None]:
        """Return weight (target vocabulary, width) and bias, or None, of the output layer.

        Separate from `forward` so that a loss can drop padding before this largest multiplication and
        compute it in blocks.
        """

    def output(self, states: Tensor) -> Tensor:
        """Return logits (..., target vocabulary) of states (..., width)."""
        return linear(states, *self.output_layer())

    @abc.abstractmethod
    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one token (batch,) and return the states (batch, width) and the next decoder state."""

    def step_with_weights(self, token: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """Do as `step`, and return the attention weights (batch, source) of the alignment layer, the mean over heads.

        Raises: OptionError for a decoder without attention.
        """
        raise OptionError(
            f"{type(self).__name__} has no attention weights; choose a model with attention."
        )


class EncoderDecoder(TextDecoder[State]):
    """A model of p(target | source).

    If `frequency` is enabled, the buffer `source_frequencies` (source vocabulary,) holds the relative frequency of
    each source token in the training data. Set it before training; it is saved with the weights.

    Args:
        frequency: handling of frequent source tokens; None: off.
        source_tokens: size of the source vocabulary.

    >>> import torch
    >>> from heedful.models import RecurrentConfig, RecurrentEncoderDecoder
    >>> config = RecurrentConfig(embedding=8, hidden=8)
    >>> model: EncoderDecoder = RecurrentEncoderDecoder(config, 20, 30).eval()
    >>> state = model.start(torch.tensor([[4, 5, 6]]), torch.tensor([3]))
    >>> states, state = model.step(torch.tensor([2]), state)
    >>> model.output(states).shape
    torch.Size([1, 30])
    """

    source_embedding: nn.Embedding
    source_frequencies: Tensor

    def __init__(self, frequency: FrequencyConfig | None = None, source_tokens: int = 0):
        super().__init__()
        self.frequency = FrequencyConfig() if frequency is None else frequency
        frequencies = torch.zeros(source_tokens) if self.frequency.enabled else None
        self.register_buffer("source_frequencies", frequencies)

    @abc.abstractmethod
    def encode(self, source: Tensor, source_lengths: Tensor) -> States:
        """Embed and encode source ids (batch, source) of the given lengths (batch,)."""

    def forward(
        self,
        source: Tensor,
        source_lengths: Tensor,
        target: Tensor,
        *,
        return_weights: bool = False,
    ) -> Decoded:
        """Encode and decode: (batch, source), (batch,), (batch, target) -> Decoded."""
        return self.decode(
            self.encode(source, source_lengths),
            target,
            key_bias=self.source_bias(source),
            return_weights=return_weights,
        )

    def start(self, source: Tensor, source_lengths: Tensor) -> State:
        """Encode the source and return the first decoder state."""
        return self.begin(self.encode(source, source_lengths), key_bias=self.source_bias(source))

    def source_bias(self, source: Tensor) -> Tensor | None:
        """Return the bias (batch, source) on attention scores that down-weights frequent tokens, or None."""
        if not self.frequency.down_weight:
            return None
        return self.frequency.bias(self.source_frequencies[source])
