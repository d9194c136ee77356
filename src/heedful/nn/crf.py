"""A linear-chain conditional random field over label sequences."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heedful.errors import ShapeError
from heedful.nn.sizes import check_sizes

FORBIDDEN = -1e4
"""Score of a forbidden transition: its probability is 0 in float32, so its gradient is 0 and it stays forbidden."""


class LinearChain(nn.Module):
    r"""A linear-chain conditional random field: the probability of a label sequence given scores per label.

    .. math:: s(y) = a_{y_1} + \sum_t e_{t, y_t} + \sum_{t>1} T_{y_{t-1}, y_t} + b_{y_n}, \quad
        p(y) = \exp(s(y) - \log Z)

    with emissions :math:`e`, learned transitions :math:`T`, first scores :math:`a` and last scores :math:`b`
    (Lafferty et al. 2001; with neural emissions Lample et al. 2016, https://arxiv.org/abs/1603.01360). The
    log-partition :math:`\log Z` is exact, by the forward algorithm in log space; `decode` is the Viterbi algorithm.
    Half-precision emissions are computed in float32.

    Args:
        labels: number of labels.

    Shapes: emissions (batch, length, labels) with length 1 or more; labels (batch, length), long; lengths (batch,), 1
    or more. Values at padding have no influence.

    Raises:
        ShapeError: fewer than one label, or an argument of another shape.

    >>> chain = LinearChain(3)
    >>> emissions, lengths = torch.randn(2, 4, 3), torch.tensor([4, 2])
    >>> loss = chain(emissions, torch.tensor([[0, 1, 1, 2], [2, 0, 0, 0]]), lengths)  # -log p(y)
    >>> loss.shape, chain.decode(emissions, lengths).shape
    (torch.Size([2]), torch.Size([2, 4]))
    """

    def __init__(self, labels: int):
        super().__init__()
        check_sizes({"labels": labels})
        self.labels = labels
        self.transitions = nn.Parameter(torch.zeros(labels, labels))
        """(labels, labels): score of going from the label of the row to the label of the column."""
        self.first = nn.Parameter(torch.zeros(labels))
        """(labels,): score of each label in the first position."""
        self.last = nn.Parameter(torch.zeros(labels))
        """(labels,): score of each label in the last position."""

    @torch.no_grad()
    def allow(self, transitions: Tensor, first: Tensor, last: Tensor) -> None:
        """Forbid label sequences: True = allowed.

        Forbidden entries get so low a score that only sequences without an alternative contain them.

        Args:
            transitions: (labels, labels), which label may follow which.
            first: (labels,), which label may be the first.
            last: (labels,), which label may be the last.

        Raises:
            ShapeError: an argument of another shape.

        >>> chain = LinearChain(2)
        >>> chain.allow(torch.tensor([[True, False], [True, True]]), torch.ones(2).bool(), torch.ones(2).bool())
        >>> bool(chain.transitions[0, 1] < -1000)
        True
        """
        for name, allowed in (("transitions", transitions), ("first", first), ("last", last)):
            scores = getattr(self, name)
            if allowed.shape != scores.shape:
                raise ShapeError(
                    f"{name} has shape {tuple(allowed.shape)}, wanted {tuple(scores.shape)}: a boolean for each score."
                )
            scores.masked_fill_(~allowed.to(scores.device), FORBIDDEN)

    def score(self, emissions: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """Return the score s(y) of each sequence, (batch,)."""
        emissions, real = self._checked(emissions, lengths)
        if labels.shape != real.shape:
            raise ShapeError(
                f"labels have shape {tuple(labels.shape)}, wanted (batch, length) = {tuple(real.shape)}."
            )
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
        """Return the label sequences of highest score (Viterbi), (batch, length); 0 at padding."""
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
        """Emissions in float32 or wider, zero at padding, and the mask of unpadded positions (batch, length)."""
        if emissions.ndim != 3 or emissions.shape[2] != self.labels or not emissions.shape[1]:
            raise ShapeError(
                f"emissions have shape {tuple(emissions.shape)}; wanted (batch, length, {self.labels}) with "
                "at least one position."
            )
        if lengths.shape != emissions.shape[:1]:
            raise ShapeError(
                f"lengths have shape {tuple(lengths.shape)}, wanted (batch,) = ({emissions.shape[0]},)."
            )
        positions = torch.arange(emissions.shape[1], device=emissions.device)
        real = positions < lengths[:, None]
        wide = torch.promote_types(emissions.dtype, torch.float32)
        return emissions.to(wide).masked_fill(~real[..., None], 0.0), real
