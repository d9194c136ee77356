"""Handling of frequent words: down-weighting in attention, subsampling, and a penalty on attention to them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from heedful.models.config import Section
from heedful.models.encoders.inputs import PADDING, TokenBatch


class FrequencyConfig(Section):
    """Handling of frequent words; off by default."""

    down_weight: float = Field(
        0.0,
        ge=0,
        description="a: adds log(a / (a + p)) to the attention score of a word of relative frequency p, in attention "
        "pooling or a translator's attention to the source; typical: 1e-3 to 1e-4; 0: off.",
    )
    subsample: float = Field(
        0.0,
        ge=0,
        description="t: training keeps an input word of relative frequency p with probability sqrt(t / p); typical: "
        "1e-3 to 1e-5; 0: off.",
    )
    penalty: float = Field(
        0.0,
        ge=0,
        description="Weight of a loss term: the fraction of that attention spent on frequent words.",
    )
    smoothing: float = Field(
        1e-3,
        gt=0,
        description="a of the penalty: a word of relative frequency p counts as p / (a + p) frequent.",
    )

    @property
    def enabled(self) -> bool:
        """Whether any option is on."""
        return bool(self.down_weight or self.subsample or self.penalty)

    def bias(self, frequencies: Tensor) -> Tensor | None:
        """Return log(a / (a + p)) for a = `down_weight` and p = `frequencies`, or None if it is off."""
        if not self.down_weight:
            return None
        return inverse_frequency(frequencies, self.down_weight).log()


def relative_frequencies(counts: NDArray[np.int64], unknown: int) -> Tensor:
    """Return p(w) = count(w) / Σ counts, (ids,); 0 for the id `unknown`, which stands for many rare words.

    >>> relative_frequencies(np.array([0, 2, 1, 1]), unknown=1).tolist()
    [0.0, 0.0, 0.25, 0.25]
    """
    frequencies = torch.from_numpy(counts / max(1, counts.sum())).float()
    frequencies[unknown] = 0.0
    return frequencies


def inverse_frequency(frequencies: Tensor, smoothing: float) -> Tensor:
    r"""Return :math:`a / (a + p(w))`, the smoothed inverse frequency (Arora et al. 2017, https://openreview.net/forum?id=SyK00v5xx).

    Args:
        frequencies: p(w), the relative frequency of w.
        smoothing: a; the smaller, the lower the weight of frequent words. The paper uses 1e-3 to 1e-4.

    >>> inverse_frequency(torch.tensor([0.0, 0.25, 0.75]), 0.25).tolist()
    [1.0, 0.5, 0.25]
    """
    return smoothing / (smoothing + frequencies)


def keep_probability(frequencies: Tensor, threshold: float) -> Tensor:
    r"""Return :math:`\min(1, \sqrt{t / p(w)})`, the probability of keeping a word (Mikolov et al. 2013, https://arxiv.org/abs/1310.4546).

    >>> keep_probability(torch.tensor([0.0, 0.01, 0.04]), 0.01).tolist()
    [1.0, 1.0, 0.5]
    """
    return (threshold / frequencies.clamp(min=threshold)).sqrt()


def sample_positions(ids: Tensor, lengths: Tensor, keep: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sample positions of tokens to keep, independently; at least one in each sequence.

    Args:
        ids: (batch, length), right-padded.
        lengths: (batch,)
        keep: (ids,), the probability of keeping each id.

    Returns:
        Kept positions in increasing order, (batch, new length); True at padding, (batch, new length); new lengths,
        (batch,).

    >>> ids, lengths = torch.tensor([[2, 3, 2], [3, 0, 0]]), torch.tensor([3, 1])
    >>> order, padding, lengths = sample_positions(ids, lengths, torch.eye(4)[2])
    >>> order.tolist(), padding.tolist(), lengths.tolist()
    ([[0, 2], [0, 1]], [[False, False], [False, True]], [2, 1])
    """
    real = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
    kept = (torch.rand(ids.shape, device=ids.device) < keep[ids]) & real
    kept[:, 0] |= ~kept.any(dim=1)
    lengths = kept.sum(dim=1)
    # Kept tokens move to the front; the stable sort preserves their order.
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)[:, : int(lengths.max())]
    padding = torch.arange(order.shape[1], device=ids.device) >= lengths[:, None]
    return order, padding, lengths


def subsample(batch: TokenBatch, keep: Tensor) -> TokenBatch:
    """Drop tokens at random; at least one stays in each sequence.

    Args:
        batch: the sequences.
        keep: (words,), the probability of keeping each word.

    >>> ids = torch.tensor([[2, 3, 2], [3, 0, 0]])
    >>> batch = TokenBatch(ids, torch.tensor([3, 1]), ids, ids, torch.tensor([1, 1]))
    >>> kept = subsample(batch, torch.tensor([1.0, 1.0, 1.0, 0.0]))
    >>> kept.words.tolist(), kept.lengths.tolist()
    ([[2, 2], [3, 0]], [2, 1])
    """
    order, padding, lengths = sample_positions(batch.words, batch.lengths, keep)
    return batch._replace(
        words=batch.words.gather(1, order).masked_fill(padding, PADDING),
        lengths=lengths,
        spelling_ids=batch.spelling_ids.gather(1, order).masked_fill(padding, 0),
    )


def attention_to_frequent(weights: Tensor, frequencies: Tensor, smoothing: float) -> Tensor:
    r"""Return the attention of each query to frequent words: :math:`\sum_j \alpha_j\, p_j / (a + p_j)`.

    Args:
        weights: (batch, ..., queries, length); averaged over layers and heads.
        frequencies: (batch, length), p of each token; 0 at padding.
        smoothing: a.

    Returns:
        (batch, queries)

    >>> attention_to_frequent(torch.tensor([[[[0.25, 0.75]]]]), torch.tensor([[0.1, 0.0]]), 0.1).tolist()
    [[0.125]]
    """
    frequent = 1 - inverse_frequency(frequencies, smoothing)
    mean = weights.flatten(1, -3).mean(dim=1)
    return (mean @ frequent[:, :, None]).squeeze(2)


class WordFrequency(nn.Module):
    """Applies a `FrequencyConfig` to word inputs of a classifier or regressor.

    Args:
        config: the options.
        frequencies: (words,), p of each word; saved with the weights as `shares`.

    >>> frequency = WordFrequency(FrequencyConfig(down_weight=0.1), torch.tensor([0.0, 0.0, 0.9])).eval()
    >>> ids = torch.tensor([[2, 1]])
    >>> batch = TokenBatch(ids, torch.tensor([2]), ids, ids, torch.tensor([1, 1]))
    >>> frequency.key_bias(batch).exp()
    tensor([[0.1000, 1.0000]])
    """

    shares: Tensor

    def __init__(self, config: FrequencyConfig, frequencies: Tensor):
        super().__init__()
        self.config = config
        self.register_buffer("shares", frequencies)

    @property
    def has_penalty(self) -> bool:
        """Whether the loss has a penalty, which needs the weights of the pooling."""
        return self.training and bool(self.config.penalty)

    def subsample(self, batch: TokenBatch) -> TokenBatch:
        """Subsample frequent words in training; otherwise return the batch unchanged."""
        if not (self.training and self.config.subsample):
            return batch
        return subsample(batch, keep_probability(self.shares, self.config.subsample))

    def key_bias(self, batch: TokenBatch) -> Tensor | None:
        """Return the bias (batch, length) on attention scores that down-weights frequent words, or None."""
        return self.config.bias(self.shares[batch.words])

    def penalty(self, weights: Tensor, batch: TokenBatch) -> Tensor:
        """Return the penalty on attention to frequent words, summed over the batch."""
        frequent = attention_to_frequent(weights, self.shares[batch.words], self.config.smoothing)
        return self.config.penalty * frequent.sum()
