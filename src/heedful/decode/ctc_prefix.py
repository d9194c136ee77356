"""CTC probabilities of prefixes, for beam search with an attention decoder in one pass."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor

from heedful.errors import OptionError, ShapeError


class Endings(NamedTuple):
    """Log-probabilities that the frames up to each one are labelled by a prefix, by the last symbol of the path."""

    label: Tensor
    """(rows, frames + 1), paths that end in the prefix's last label; entry t is of the first t frames."""
    blank: Tensor
    """(rows, frames + 1), paths that end in a blank."""

    def select(self, index: Tensor) -> Endings:
        """Return the rows `index`; rows may repeat."""
        return Endings(self.label[index], self.blank[index])


@dataclass(frozen=True, eq=False)
class CTCPrefixes:
    r"""The hypotheses of a beam search, scored by CTC.

    The score of a prefix h is :math:`\psi(h)`, the log-probability that the labelling begins with h; that of a finished
    hypothesis is its log-probability :math:`\ln p(h \mid x)`. With :math:`r_n(t)` and :math:`r_b(t)` the
    log-probabilities that the first t frames are labelled h by a path that ends in a label and in a blank,

    .. math:: \psi(hc) = \ln \sum_t \exp(\phi(t - 1) + x_c(t)), \quad
        \phi(t) = \ln(e^{r_b(t)} + [c \ne \mathrm{last}(h)] e^{r_n(t)})

    Watanabe et al. 2017, "Hybrid CTC/Attention Architecture for End-to-End Speech Recognition", algorithm 2; Hori et
    al. 2017, "Joint CTC/attention decoding for end-to-end speech recognition". The recurrence over frames is computed
    for all frames at once, by cumulative sums.

    >>> prefixes = CTCPrefixes.start(torch.full((1, 2, 4), 0.25).log(), torch.tensor([2]), blank=0, end=3)
    >>> scores = prefixes.scores(torch.tensor([[1, 3]]))
    >>> (scores.exp() * 16).round().tolist()
    [[5.0, 1.0]]
    """

    log_probabilities: Tensor
    """(batch, frames, symbols), double, -inf after the end of a sequence."""
    lengths: Tensor
    """(batch,)"""
    blank: int
    end: int
    sequence: Tensor
    """(rows,) index of the sequence of each hypothesis."""
    last: Tensor
    """(rows,) last label; -1 of the empty hypothesis."""
    endings: Endings
    score: Tensor
    """(rows,) :math:`\\psi`."""

    @classmethod
    def start(
        cls, log_probabilities: Tensor, lengths: Tensor, *, blank: int, end: int
    ) -> CTCPrefixes:
        """Return the empty hypothesis of each sequence.

        Args:
            log_probabilities: (batch, frames, symbols), normalised over the symbols.
            lengths: (batch,).
            blank: the symbol of no label.
            end: the token that ends a hypothesis, which is no label.

        Raises:
            ShapeError: other shapes.
            OptionError: `blank` and `end` are the same, or not symbols, or a log-probability is not finite.
        """
        if log_probabilities.dim() != 3 or lengths.shape != log_probabilities.shape[:1]:
            raise ShapeError(
                f"log_probabilities and lengths have shapes {tuple(log_probabilities.shape)} and "
                f"{tuple(lengths.shape)}; expected (batch, frames, symbols) and (batch,)."
            )
        symbols = log_probabilities.shape[2]
        if blank == end or not (0 <= blank < symbols and 0 <= end < symbols):
            raise OptionError(
                f"blank is {blank} and end is {end}; expected two of the {symbols} symbols, counted from 0."
            )
        batch, frames, _ = log_probabilities.shape
        after = torch.arange(frames, device=lengths.device) >= lengths[:, None]
        emitted = log_probabilities.double().masked_fill(after[..., None], 0.0)
        if not bool(emitted.isfinite().all()):
            raise OptionError(
                "log_probabilities are not all finite; expected those of a log-softmax."
            )
        emitted = emitted.masked_fill(after[..., None], -math.inf)
        blanks = emitted.new_zeros(batch, frames + 1)
        blanks[:, 1:] = emitted[:, :, blank].cumsum(dim=1)
        endings = Endings(torch.full_like(blanks, -math.inf), blanks)
        sequence = torch.arange(batch, device=lengths.device)
        return cls(
            emitted,
            lengths,
            blank,
            end,
            sequence,
            torch.full_like(sequence, -1),
            endings,
            blanks.new_zeros(batch),
        )

    def scores(self, tokens: Tensor) -> Tensor:
        """Return the scores of the hypotheses extended by tokens: (rows, tokens) -> (rows, tokens).

        The end token finishes the hypothesis; the blank is no label, and gives -inf.
        """
        label, blank = self.endings
        either = torch.logaddexp(label, blank)[:, :-1, None]
        repeated = (tokens == self.last[:, None])[:, None, :]
        before = torch.where(repeated, blank[:, :-1, None], either)
        index = tokens[:, None, :].expand(-1, self.log_probabilities.shape[1], -1)
        emitted = self.log_probabilities[self.sequence].gather(2, index)
        scores = torch.logsumexp(before + emitted, dim=1)
        finished = torch.logaddexp(label, blank).gather(1, self.lengths[self.sequence][:, None])
        scores = torch.where(tokens == self.end, finished, scores)
        return scores.masked_fill(tokens == self.blank, -math.inf)

    def extend(self, rows: Tensor, tokens: Tensor, scores: Tensor) -> CTCPrefixes:
        """Return the hypotheses `rows` (chosen,), each extended by one of `tokens` (chosen,), labels, not the end.

        `scores` (chosen,) are theirs, from `scores`.
        """
        before = self._select(rows)
        label, blank = before.endings
        repeated = tokens == before.last
        start = torch.where(repeated[:, None], blank, torch.logaddexp(label, blank))
        emitted = before.log_probabilities[before.sequence]
        index = tokens[:, None, None].expand(-1, emitted.shape[1], 1)
        labels = _recurrence(start, emitted.gather(2, index).squeeze(2))
        blanks = _recurrence(labels, emitted[:, :, self.blank])
        return replace(before, last=tokens, endings=Endings(labels, blanks), score=scores)

    def _select(self, rows: Tensor) -> Self:
        return replace(
            self,
            sequence=self.sequence[rows],
            last=self.last[rows],
            endings=self.endings.select(rows),
            score=self.score[rows],
        )


def _recurrence(start: Tensor, emitted: Tensor) -> Tensor:
    r"""Solve :math:`r(t) = \ln(e^{r(t-1)} + e^{\phi(t-1)}) + x(t)`, :math:`r(0) = -\infty`, for all t at once.

    With X the cumulative sum of x, r(t) - X(t) is the cumulative log-sum of phi(t - 1) - X(t - 1).

    Args:
        start: phi, (rows, frames + 1).
        emitted: x, (rows, frames).

    Returns: r, (rows, frames + 1).
    """
    present = emitted.isfinite()
    total = emitted.masked_fill(~present, 0.0).cumsum(dim=1)
    before = torch.cat([torch.zeros_like(total[:, :1]), total[:, :-1]], dim=1)
    sums = torch.logcumsumexp((start[:, :-1] - before).masked_fill(~present, -math.inf), dim=1)
    result = (sums + total).masked_fill(~present, -math.inf)
    return torch.cat([torch.full_like(total[:, :1], -math.inf), result], dim=1)
