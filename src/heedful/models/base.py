"""The contract of every encoder–decoder: encode a source to `States`, and decode a target from `States`."""

from __future__ import annotations

import abc
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from heedful.models.frequency import FrequencyConfig
from heedful.nn.recurrent import States
from heedful.ops.products import linear


class Decoded(NamedTuple):
    """The decoder's states and, when asked for, what each looked at in the source.

    >>> import torch
    >>> Decoded(torch.zeros(2, 3, 8), None).states.shape
    torch.Size([2, 3, 8])
    """

    states: Tensor
    """(batch, target, width), ready for `EncoderDecoder.output`."""
    weights: Tensor | None
    """(batch, layers, heads, target, source), or None (not asked for, or a model without attention)."""


class DecoderState(Protocol):
    """All that decoding one more token needs: memory, masks, recurrent state or caches."""

    def select(self, index: Tensor) -> Self:
        """Return the state of the batch rows `index`, in that order (rows may repeat: beams)."""
        ...


State = TypeVar("State", bound=DecoderState)


class EncoderDecoder(nn.Module, abc.ABC, Generic[State]):
    """A model of target given source.

    Token ids are `long`, padded on the right; position t of `target` is what the decoder reads to predict
    token t + 1, so `target` starts with the begin token and lacks the end token.

    Where `frequency` does anything, `source_frequencies` (source vocabulary,) holds the share of the training
    tokens that each source token is, to be filled in before training and kept with the weights.

    Args:
        frequency: what is done about frequent source tokens; None: nothing.
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

    has_attention: bool
    """Whether the decoder looks at the source through attention (False: a fixed context vector)."""
    alignment_layer: int
    """Which entry of the layers axis of `Decoded.weights` aligns best."""
    source_embedding: nn.Embedding
    target_embedding: nn.Embedding
    source_frequencies: Tensor

    def __init__(self, frequency: FrequencyConfig | None = None, source_tokens: int = 0):
        super().__init__()
        self.frequency = FrequencyConfig() if frequency is None else frequency
        # A model that heeds no frequencies has none to keep.
        found = torch.zeros(source_tokens) if self.frequency.acts else None
        self.register_buffer("source_frequencies", found)

    @abc.abstractmethod
    def encode(self, source: Tensor, source_lengths: Tensor) -> States:
        """Embed and encode source ids (batch, source) of the given lengths (batch,)."""

    @abc.abstractmethod
    def decode(
        self,
        memory: States,
        target: Tensor,
        *,
        key_bias: Tensor | None = None,
        return_weights: bool = False,
    ) -> Decoded:
        """Decode with every earlier target token given (teacher forcing).

        Args:
            memory: the states of the source, (batch, source, width).
            target: ids (batch, target), the begin token first.
            key_bias: added to the attention scores of the source positions, (batch, source).
            return_weights: also return the attention weights.
        """

    @abc.abstractmethod
    def begin(self, memory: States, *, key_bias: Tensor | None = None) -> State:
        """Prepare everything that all decoding steps from these source states share."""

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

    @abc.abstractmethod
    def output_layer(self) -> tuple[Tensor, Tensor | None]:
        """Return the weight (target vocabulary, width) and the bias, or None, that make logits of states.

        Separate from `forward` so that a loss can drop padding before the widest multiplication, and
        multiply block by block.
        """

    def source_bias(self, source: Tensor) -> Tensor | None:
        """Return the bias on attention scores that down-weights frequent source tokens, (batch, source), or None."""
        if not self.frequency.down_weight:
            return None
        return self.frequency.bias(self.source_frequencies[source])

    def output(self, states: Tensor) -> Tensor:
        """Turn states (..., width) into logits (..., target vocabulary)."""
        return linear(states, *self.output_layer())

    @abc.abstractmethod
    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one token (batch,) and return the states (batch, width) and the next decoder state."""
