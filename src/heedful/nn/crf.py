"""A linear-chain conditional random field: labels of neighbours scored together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heedful.errors import ShapeError
from heedful.nn.sizes import check_sizes

FORBIDDEN = -1e4
"""The score of what may not be: its probability is 0 in float32, so training leaves it as it is."""


class LinearChain(nn.Module):
    r"""Scores of whole label sequences (Lafferty et al. 2001; Lample et al. 2016, https://arxiv.org/abs/1603.01360).

    .. math:: s(y) = a_{y_1} + \sum_t e_{t, y_t} + \sum_{t>1} T_{y_{t-1}, y_t} + b_{y_n}, \quad
        p(y) = \exp(s(y) - \log Z)

    The log-partition :math:`\log Z` is exact, by the forward recursion in log space.

    Args:
        labels: how many labels there are.

    Shapes: emissions (batch, length, labels), lengths (batch,) of 1 or more, labels (batch, length);
    what stands at padding never matters.

    Raises:
        ShapeError: fewer than one label, emissions of another width, or something else of another shape.

    >>> chain = LinearChain(3)
    >>> emissions, lengths = torch.zeros(1, 2, 3), torch.tensor([2])
    >>> round(float(chain.log_partition(emissions, lengths).exp().detach()))
    9
    """

    def __init__(self, labels: int):
        super().__init__()
        check_sizes({"labels": labels})
        self.labels = labels
        self.transitions = nn.Parameter(torch.zeros(labels, labels))
        """From the label of the row to that of the column."""
        self.first = nn.Parameter(torch.zeros(labels))
        self.last = nn.Parameter(torch.zeros(labels))

    @torch.no_grad()
    def allow(self, transitions: Tensor, first: Tensor, last: Tensor) -> None:
        """Make all else impossible: which label may follow which, stand first and stand last (booleans).

        The scores of what is not allowed become so low that no sequence has it that can do without.
        """
        for scores, may in (
            (self.transitions, transitions),
            (self.first, first),
            (self.last, last),
        ):
            if may.shape != scores.shape:
                raise ShapeError(
                    f"what is allowed has shape {tuple(may.shape)}; wanted {tuple(scores.shape)}."
                )
            scores.masked_fill_(~may.to(scores.device), FORBIDDEN)

    def score(self, emissions: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """Return s(y) of each sequence, (batch,)."""
        emissions, real = self._checked(emissions, lengths)
        labels = labels.masked_fill(~real, 0)
        emitted = emissions.gather(2, labels[..., None])[..., 0].masked_fill(~real, 0.0)
        moved = self.transitions[labels[:, :-1], labels[:, 1:]].masked_fill(~real[:, 1:], 0.0)
        ends = labels.gather(1, lengths[:, None] - 1)[:, 0]
        return emitted.sum(1) + moved.sum(1) + self.first[labels[:, 0]] + self.last[ends]

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Return log Z of each sequence, (batch,)."""
        emissions, real = self._checked(emissions, lengths)
        reached = self.first + emissions[:, 0]
        for position in range(1, emissions.shape[1]):
            through = torch.logsumexp(reached[:, :, None] + self.transitions, dim=1)
            after = through + emissions[:, position]
            reached = torch.where(real[:, position, None], after, reached)
        return torch.logsumexp(reached + self.last, dim=1)

    def forward(self, emissions: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """Return -log p(y) of each sequence, (batch,)."""
        return self.log_partition(emissions, lengths) - self.score(emissions, labels, lengths)

    @torch.no_grad()
    def decode(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Return the labels of greatest score (Viterbi), (batch, length); 0 at padding."""
        emissions, real = self._checked(emissions, lengths)
        reached = self.first + emissions[:, 0]
        came_from: list[Tensor] = []
        stay = torch.arange(self.labels, device=emissions.device).expand_as(reached)
        for position in range(1, emissions.shape[1]):
            through, best = (reached[:, :, None] + self.transitions).max(dim=1)
            on = real[:, position, None]
            reached = torch.where(on, through + emissions[:, position], reached)
            came_from.append(torch.where(on, best, stay))
        label = (reached + self.last).argmax(dim=1)
        found = [label]
        for before in reversed(came_from):
            label = before.gather(1, label[:, None])[:, 0]
            found.append(label)
        return torch.stack(found[::-1], dim=1).masked_fill(~real, 0)

    def _checked(self, emissions: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Emissions in float32 or wider and zero at padding, and what is no padding (batch, length)."""
        if emissions.ndim != 3 or emissions.shape[2] != self.labels or not emissions.shape[1]:
            raise ShapeError(
                f"emissions have shape {tuple(emissions.shape)}; wanted (batch, length, {self.labels}) with "
                "at least one position."
            )
        positions = torch.arange(emissions.shape[1], device=emissions.device)
        real = positions < lengths[:, None]
        wide = torch.promote_types(emissions.dtype, torch.float32)
        return emissions.to(wide).masked_fill(~real[..., None], 0.0), real
