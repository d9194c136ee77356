"""The output layer of a search: all of its tokens or some of them, in full precision or in 8 bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from heedful.decode.extensions import Extensions, logsumexp
from heedful.models.base import TextDecoder
from heedful.ops.products import linear


class OutputLayer:
    """Scores extensions from the decoder's states.

    With `tokens` the other ones are impossible, and the probabilities of these sum to 1. With `int8` the rows of the
    weight and the states are rounded to 8 bits, each with a scale of its own, and multiplied in integers; other numbers
    than float32 on a CPU are multiplied as they are.

    Args:
        decoder: any decoder.
        tokens: ids in increasing order; None: all.
        int8: whether to multiply in 8 bits.

    >>> from heedful.models import RecurrentConfig, RecurrentEncoderDecoder
    >>> model = RecurrentEncoderDecoder(RecurrentConfig(embedding=8, hidden=8), 20, 20)
    >>> layer = OutputLayer(model, torch.tensor([3, 5]), int8=True)
    >>> values, tokens = layer.extensions(torch.randn(1, model.output_layer()[0].shape[1])).best(3)
    >>> sorted(tokens[0, :2].tolist()), values[0, 2].item()
    ([3, 5], -inf)
    """

    def __init__(self, decoder: TextDecoder[Any], tokens: Tensor | None, *, int8: bool):
        self.tokens = tokens
        self.logits: Callable[[Tensor], Tensor] = decoder.output
        if tokens is None and not int8:
            return
        weight, bias = decoder.output_layer()
        self.vocabulary = len(weight)
        if tokens is not None:
            weight, bias = weight[tokens], None if bias is None else bias[tokens]
        self.bias = bias
        if int8 and weight.dtype == torch.float32 and weight.is_cpu:
            # Imported here: few searches need it.
            from heedful.ops.decoding.rounded import RoundedMatrix

            self.rounded = RoundedMatrix(weight)
            self.logits = self._rounded_logits
        else:
            self.weight = weight
            self.logits = self._chosen_logits

    def _rounded_logits(self, states: Tensor) -> Tensor:
        logits = self.rounded.linear(states)
        return logits if self.bias is None else logits.add_(self.bias)

    def _chosen_logits(self, states: Tensor) -> Tensor:
        return linear(states, self.weight, self.bias)

    def extensions(self, states: Tensor) -> Extensions:
        """Return the scores of all extensions: (rows, features) -> those of (rows, vocabulary)."""
        logits = self.logits(states).float()
        if self.tokens is None:
            return Extensions.of(logits)
        whole = logits.new_full((len(logits), self.vocabulary), -math.inf)
        return Extensions(whole.index_copy_(1, self.tokens, logits), logsumexp(logits))
