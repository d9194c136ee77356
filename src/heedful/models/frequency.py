"""What can be done about frequent words: weigh them down, leave some out, and see how much is spent on them."""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.models.encoders.inputs import PADDING, TokenBatch


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


def subsample(batch: TokenBatch, keep: Tensor) -> TokenBatch:
    """Leave tokens out, each word with its own probability; at least one stays in each sequence.

    Args:
        batch: the sequences.
        keep: (words,), the probability that a word is kept.

    >>> ids = torch.tensor([[2, 3, 2], [3, 0, 0]])
    >>> batch = TokenBatch(ids, torch.tensor([3, 1]), ids, ids, torch.tensor([1, 1]))
    >>> fewer = subsample(batch, torch.tensor([1.0, 1.0, 1.0, 0.0]))
    >>> fewer.words.tolist(), fewer.lengths.tolist()
    ([[2, 2], [3, 0]], [2, 1])
    """
    words = batch.words
    real = torch.arange(words.shape[1], device=words.device) < batch.lengths[:, None]
    kept = (torch.rand(words.shape, device=words.device) < keep[words]) & real
    kept[:, 0] |= ~kept.any(dim=1)
    lengths = kept.sum(dim=1)
    # the kept tokens move to the front in their order
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)[:, : int(lengths.max())]
    beyond = torch.arange(order.shape[1], device=words.device) >= lengths[:, None]
    return batch._replace(
        words=words.gather(1, order).masked_fill(beyond, PADDING),
        lengths=lengths,
        forms=batch.forms.gather(1, order).masked_fill(beyond, 0),
    )


def spent_on_frequent(weights: Tensor, frequencies: Tensor, smoothing: float) -> Tensor:
    r"""Return the attention that frequent words get: :math:`\sum_j \alpha_j\, p_j / (a + p_j)` over all sequences.

    Args:
        weights: (batch, heads, 1, length).
        frequencies: (batch, length), p of each token, 0 at padding.
        smoothing: a.

    >>> float(spent_on_frequent(torch.tensor([[[[0.25, 0.75]]]]), torch.tensor([[0.1, 0.0]]), 0.1))
    0.125
    """
    share = 1 - inverse_frequency(frequencies, smoothing)
    return (weights.mean(dim=1).squeeze(1) * share).sum()
