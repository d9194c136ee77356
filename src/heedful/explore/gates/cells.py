"""The gates of a recurrent cell, recomputed from its weights in double precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heedful.nn.recurrent_steps import DIFFERENTIABLE_CELLS, Hidden

GATES: Final[Mapping[str, Mapping[str, int]]] = {
    "lstm": {"input": 0, "forget": 1, "output": 3},
    "gru": {"reset": 0, "update": 1},
}
"""Cell -> gate -> which part of the stacked weights it is, in PyTorch's order; an RNN has no gates."""
KEEPING: Final = {"lstm": "forget", "gru": "update"}
"""Cell -> the gate by which a unit's content is multiplied at each step."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CellGates:
    r"""The gates of one layer in one direction, for the positions of one sequence in their own order.

    How much of what a unit held after position s is left after position t is the product of its keeping gates between,

    .. math:: \mathrm{kept}(t, s) = \prod_{k = s+1}^{t} f_k

    of the forget gate of an LSTM (:math:`c_t = f_t c_{t-1} + i_t g_t`) and the update gate of a GRU
    (:math:`h_t = z_t h_{t-1} + (1 - z_t) n_t`).
    """

    cell: str
    gates: Mapping[str, Numbers]
    """Gate -> openness (positions, units), 0 closed to 1 open."""
    states: Numbers
    """(positions, units), what the layer gives on."""
    reverse: bool
    """Whether it reads from the last position to the first."""

    @property
    def units(self) -> int:
        """How many units there are."""
        return int(self.states.shape[1])

    @property
    def keeping(self) -> Numbers:
        """The openness of the gate that keeps, (positions, units)."""
        return self.gates[KEEPING[self.cell]]

    def kept(self, unit: int | None = None) -> Numbers:
        """Return the share kept, (at position, given at position), of one unit or the mean over units.

        It is 1 at a position itself and 0 at those that are read before.
        """
        gates = self.keeping[::-1] if self.reverse else self.keeping
        chosen = gates if unit is None else gates[:, unit : unit + 1]
        size = len(chosen)
        found = np.zeros((size, size))
        for given in range(size):
            products = np.cumprod(chosen[given + 1 :], axis=0).mean(axis=1)
            found[given:, given] = np.concatenate([[1.0], products])
        return found[::-1, ::-1] if self.reverse else found

    def half_lives(self) -> Numbers:
        r"""Return for each unit after how many steps half of its content is left, (units,).

        :math:`\ln \tfrac12` divided by the mean of :math:`\ln f_t` over the positions: that of a gate that always
        stands at the geometric mean.
        """
        mean = np.log(np.maximum(self.keeping, 1e-300)).mean(axis=0)
        return np.asarray(np.log(0.5) / np.minimum(mean, -1e-12))


def cell_gates(
    cell: str, inputs: Tensor, start: Hidden, weights: Sequence[Tensor], *, reverse: bool = False
) -> CellGates:
    """Run one layer over one sequence step by step and return its gates.

    Args:
        cell: "lstm" or "gru".
        inputs: (positions, features).
        start: the state before the first position, (h,) or (h, c) of (units,).
        weights: input weight, recurrent weight, input bias and recurrent bias, as `torch.nn.LSTM` stacks them.
        reverse: read from the last position to the first.

    >>> lstm = torch.nn.LSTM(2, 3)
    >>> found = cell_gates("lstm", torch.ones(4, 2), (torch.zeros(3),) * 2, lstm.all_weights[0])
    >>> found.gates["forget"].shape, found.kept().diagonal().tolist()
    ((4, 3), [1.0, 1.0, 1.0, 1.0])
    """
    weight, recurrent_weight, bias, recurrent_bias = (each.detach().double() for each in weights)
    terms = inputs.detach().double() @ weight.T + bias
    hidden: Hidden = tuple(part.detach().double()[None] for part in start)
    names, rows, states = GATES[cell], [], []
    for term in terms.flip(0) if reverse else terms:
        recurrent = hidden[0] @ recurrent_weight.T + recurrent_bias
        width = hidden[0].shape[-1]
        total = (term + recurrent)[0].view(-1, width)
        rows.append(torch.stack([total[part] for part in names.values()]).sigmoid())
        hidden = DIFFERENTIABLE_CELLS[cell](term[None], recurrent, hidden)
        states.append(hidden[0][0])
    order = slice(None, None, -1) if reverse else slice(None)
    gates = torch.stack(rows).numpy()[order]
    values = torch.stack(states).numpy()[order]
    return CellGates(
        cell, {name: gates[:, number] for number, name in enumerate(names)}, values, reverse
    )
