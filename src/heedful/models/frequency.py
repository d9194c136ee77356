"""What can be done about frequent words: weigh them down, leave some out, and see how much is spent on them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from heedful.models.config import Section
from heedful.models.encoders.inputs import PADDING, TokenBatch


class FrequencyConfig(Section):
    """What is done about frequent words; nothing unless it is asked for."""

    down_weight: float = Field(
        0.0,
        ge=0,
        description="a: log(a / (a + p(w))) is added to the attention score of a word of frequency p, which "
        "weighs it down; 1e-3 to 1e-4 are usual, 0 leaves scores alone. The attention is the pooling's "
        "(pooling.kind = attention), or a translator's to the source.",
    )
    subsample: float = Field(
        0.0,
        ge=0,
        description="t: training keeps a word (of the source) of frequency p with probability sqrt(t / p); "
        "1e-3 to 1e-5 are usual, 0 keeps all.",
    )
    penalty: float = Field(
        0.0,
        ge=0,
        description="What the loss adds for the same attention spent on frequent words, times the share that "
        "they get.",
    )
    smoothing: float = Field(
        1e-3,
        gt=0,
        description="a of the penalty: a word of frequency p counts as p / (a + p) frequent.",
    )

    @property
    def acts(self) -> bool:
        """Whether anything is done."""
        return bool(self.down_weight or self.subsample or self.penalty)

    def bias(self, frequencies: Tensor) -> Tensor | None:
        """Return what is added to the scores of words of these frequencies, or None."""
        if not self.down_weight:
            return None
        return inverse_frequency(frequencies, self.down_weight).log()


def shares(counts: NDArray[np.int64], unknown: int) -> Tensor:
    """Turn how often each id stands in the training data into p(w), its share of all tokens.

    The id `unknown` gets 0: it stands for many words, each of which is rare.

    >>> shares(np.array([0, 2, 1, 1]), unknown=1).tolist()
    [0.0, 0.0, 0.25, 0.25]
    """
    found = torch.from_numpy(counts / max(1, counts.sum())).float()
    found[unknown] = 0.0
    return found


def inverse_frequency(frequencies: Tensor, smoothing: float) -> Tensor:
    r"""Return :math:`a / (a + p(w))`, the smoothed inverse frequency (Arora et al. 2017, https://openreview.net/forum?id=SyK00v5xx).

    Args:
        frequencies: p(w), the share of all tokens that are w.
        smoothing: a; the smaller, the less a frequent word weighs. The paper takes 1e-3 to 1e-4.

    >>> inverse_frequency(torch.tensor([0.0, 0.25, 0.75]), 0.25).tolist()
    [1.0, 0.5, 0.25]
    """
    return smoothing / (smoothing + frequencies)


def keep_probability(frequencies: Tensor, threshold: float) -> Tensor:
    r"""Return :math:`\min(1, \sqrt{t / p(w)})`, with which a word is kept (Mikolov et al. 2013, https://arxiv.org/abs/1310.4546).

    >>> keep_probability(torch.tensor([0.0, 0.01, 0.04]), 0.01).tolist()
    [1.0, 1.0, 0.5]
    """
    return (threshold / frequencies.clamp(min=threshold)).sqrt()


def fewer(ids: Tensor, lengths: Tensor, keep: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Draw which tokens stay, each with its own probability; at least one does in each sequence.

    Args:
        ids: (batch, length), padded on the right.
        lengths: (batch,)
        keep: for each id, the probability that it is kept.

    Returns:
        The places of what stays, in its order: (batch, longest); where they are none, being beyond the end,
        likewise; the lengths (batch,).

    >>> order, beyond, lengths = fewer(torch.tensor([[2, 3, 2], [3, 0, 0]]), torch.tensor([3, 1]), torch.eye(4)[2])
    >>> order.tolist(), beyond.tolist(), lengths.tolist()
    ([[0, 2], [0, 1]], [[False, False], [False, True]], [2, 1])
    """
    real = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
    kept = (torch.rand(ids.shape, device=ids.device) < keep[ids]) & real
    kept[:, 0] |= ~kept.any(dim=1)
    lengths = kept.sum(dim=1)
    # the kept tokens move to the front in their order
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)[:, : int(lengths.max())]
    beyond = torch.arange(order.shape[1], device=ids.device) >= lengths[:, None]
    return order, beyond, lengths


def subsample(batch: TokenBatch, keep: Tensor) -> TokenBatch:
    """Leave tokens out, each word with its own probability; at least one stays in each sequence.

    Args:
        batch: the sequences.
        keep: (words,), the probability that a word is kept.

    >>> ids = torch.tensor([[2, 3, 2], [3, 0, 0]])
    >>> batch = TokenBatch(ids, torch.tensor([3, 1]), ids, ids, torch.tensor([1, 1]))
    >>> rest = subsample(batch, torch.tensor([1.0, 1.0, 1.0, 0.0]))
    >>> rest.words.tolist(), rest.lengths.tolist()
    ([[2, 2], [3, 0]], [2, 1])
    """
    order, beyond, lengths = fewer(batch.words, batch.lengths, keep)
    return batch._replace(
        words=batch.words.gather(1, order).masked_fill(beyond, PADDING),
        lengths=lengths,
        forms=batch.forms.gather(1, order).masked_fill(beyond, 0),
    )


def spent_on_frequent(weights: Tensor, frequencies: Tensor, smoothing: float) -> Tensor:
    r"""Return the attention that frequent words get of each query: :math:`\sum_j \alpha_j\, p_j / (a + p_j)`.

    Args:
        weights: (batch, ..., queries, length); layers and heads between count alike.
        frequencies: (batch, length), p of each token, 0 at padding.
        smoothing: a.

    Returns:
        (batch, queries)

    >>> spent_on_frequent(torch.tensor([[[[0.25, 0.75]]]]), torch.tensor([[0.1, 0.0]]), 0.1).tolist()
    [[0.125]]
    """
    share = 1 - inverse_frequency(frequencies, smoothing)
    mean = weights.flatten(1, -3).mean(dim=1)
    return (mean @ share[:, :, None]).squeeze(2)


class WordFrequency(nn.Module):
    """Applies a `FrequencyConfig` to a classifier or regressor of words.

    Args:
        config: what is done.
        shares: (words,), p of each word; kept with the weights.

    >>> frequency = WordFrequency(FrequencyConfig(down_weight=0.1), torch.tensor([0.0, 0.0, 0.9])).eval()
    >>> ids = torch.tensor([[2, 1]])
    >>> batch = TokenBatch(ids, torch.tensor([2]), ids, ids, torch.tensor([1, 1]))
    >>> frequency.key_bias(batch).exp()
    tensor([[0.1000, 1.0000]])
    """

    shares: Tensor

    def __init__(self, config: FrequencyConfig, shares: Tensor):
        super().__init__()
        self.config = config
        self.register_buffer("shares", shares)

    @property
    def penalises(self) -> bool:
        """Whether the loss has a penalty now, for which the weights of the pooling are needed."""
        return self.training and bool(self.config.penalty)

    def subsample(self, batch: TokenBatch) -> TokenBatch:
        """Leave out frequent words at random while training; otherwise return the batch."""
        if not (self.training and self.config.subsample):
            return batch
        return subsample(batch, keep_probability(self.shares, self.config.subsample))

    def key_bias(self, batch: TokenBatch) -> Tensor | None:
        """Return the bias on attention scores that down-weights frequent words, (batch, length), or None."""
        return self.config.bias(self.shares[batch.words])

    def penalty(self, weights: Tensor, batch: TokenBatch) -> Tensor:
        """Return the penalty for the attention that frequent words get, summed over the batch."""
        spent = spent_on_frequent(weights, self.shares[batch.words], self.config.smoothing)
        return self.config.penalty * spent.sum()
