"""The training loss: cross-entropy of the positions that hold a token, with label smoothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from heedful.data.batching import Batch
from heedful.models.base import EncoderDecoder
from heedful.models.encoders.inputs import PADDING
from heedful.models.frequency import fewer, keep_probability, spent_on_frequent
from heedful.tasks.base import Loss
from heedful.tasks.cross_entropy import smoothed_cross_entropy


class TranslationLoss(Loss):
    """The summed loss of a batch.

    With smoothing s over V tokens the target distribution is (1 - s) at the true token plus s / V at
    every token (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567). Padding is dropped from the
    states before the output layer, the widest multiplication of all, sees it. While training, the model's
    `frequency` says whether frequent source tokens are left out, and what attention to them costs.
    """

    model: EncoderDecoder[Any]

    def __init__(self, model: EncoderDecoder[Any], label_smoothing: float):
        super().__init__()
        self.model = model
        self.label_smoothing = label_smoothing

    def forward(self, batch: Batch) -> Tensor:
        """Return the sum of the losses of the batch's `count(batch)` tokens."""
        lengths = batch.target_lengths - 1
        read, wanted = batch.target[:, :-1], batch.target[:, 1:]
        source, source_lengths = self._source(batch)
        options = self.model.frequency
        states, weights = self.model(
            source, source_lengths, read, return_weights=self.training and bool(options.penalty)
        )
        kept = torch.arange(read.shape[1], device=lengths.device) < lengths[:, None]
        smoothing = self.label_smoothing if self.training else 0.0
        weight, bias = self.model.output_layer()
        loss = smoothed_cross_entropy(states[kept], weight, bias, wanted[kept], smoothing)
        if weights is not None:
            found = self.model.source_frequencies[source]
            spent = spent_on_frequent(weights, found, options.smoothing)
            loss = loss + options.penalty * spent[kept].sum()
        return loss

    def _source(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The source tokens and their lengths, some of the frequent ones left out while training."""
        source, threshold = batch.source, self.model.frequency.subsample
        if not (self.training and threshold):
            return source, batch.source_lengths
        keep = keep_probability(self.model.source_frequencies, threshold)
        order, beyond, lengths = fewer(source, batch.source_lengths, keep)
        return source.gather(1, order).masked_fill(beyond, PADDING), lengths

    @staticmethod
    def count(batch: Batch) -> int:
        """Count the target tokens that the model predicts: all but the first of each sentence."""
        return int((batch.target_lengths - 1).sum())
