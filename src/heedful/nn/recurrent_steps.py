"""One step of each cell, forward and backward, written out: for loops that autograd does not follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Hidden = tuple[Tensor, ...]
"""A recurrent state: (h,) or, for an LSTM, (h, c); each (layers, batch, width) or (batch, width)."""


class Taken(NamedTuple):
    """What a step forward made."""

    after: Hidden
    kept: tuple[Tensor, ...]
    """What the step back needs."""


class Returned(NamedTuple):
    """What a step back made."""

    gates: Tensor
    """The gradient of the input's share of the gates."""
    recurrent: Tensor
    """The gradient of W h + b."""
    before: Hidden
    """The gradient of the state before, but for what goes through W."""


class ByHand(NamedTuple):
    """A cell's two directions."""

    forward: Callable[[Tensor, Tensor, Hidden], Taken]
    """(the input's share of the gates, W h + b, the state before)."""
    backward: Callable[[tuple[Tensor, ...], Tensor, Hidden, Hidden], Returned]
    """(kept, W h + b, the state before, the gradient of the state after)."""


def through_sigmoid(upstream: Tensor, output: Tensor) -> Tensor:
    """Upstream · y(1 − y), with y = σ(x)."""
    gradient: Tensor = torch.ops.aten.sigmoid_backward.default(upstream, output)
    return gradient


def through_tanh(upstream: Tensor, output: Tensor) -> Tensor:
    """Upstream · (1 − y²), with y = tanh(x)."""
    gradient: Tensor = torch.ops.aten.tanh_backward.default(upstream, output)
    return gradient


def rnn_forward(gates: Tensor, recurrent: Tensor, before: Hidden) -> Taken:
    """One step: h' = tanh(gates + recurrent)."""
    after = (gates + recurrent).tanh_()
    return Taken((after,), (after,))


def rnn_backward(
    kept: tuple[Tensor, ...], recurrent: Tensor, before: Hidden, upstream: Hidden
) -> Returned:
    """The gradient of the gates is that of W h + b; nothing goes past them."""
    gates = through_tanh(upstream[0], kept[0])
    return Returned(gates, gates, (torch.zeros_like(before[0]),))


def lstm_forward(gates: Tensor, recurrent: Tensor, before: Hidden) -> Taken:
    """i, f, o = σ(·), g = tanh(·);  c' = f c + i g;  h' = o tanh(c')."""
    total = gates + recurrent
    write, forget, content, read = total.chunk(4, dim=1)
    # One call for two gates that lie side by side.
    both = total[:, : 2 * write.shape[1]].sigmoid_()
    content.tanh_()
    read.sigmoid_()
    write, forget = both.chunk(2, dim=1)
    cell = torch.addcmul(write * content, forget, before[1])
    seen = torch.tanh(cell)
    return Taken((read * seen, cell), (total, seen))


def lstm_backward(
    kept: tuple[Tensor, ...], recurrent: Tensor, before: Hidden, upstream: Hidden
) -> Returned:
    """c̄ = c̄' + h̄' o (1 − tanh² c');  ī, f̄, ḡ, ō from c̄ g, c̄ c, c̄ i and h̄' tanh c'; back to c goes c̄ f."""
    total, seen = kept
    write, forget, content, read = total.chunk(4, dim=1)
    cell = upstream[1] + through_tanh(upstream[0] * read, seen)
    gates = torch.cat(
        [
            through_sigmoid(cell * content, write),
            through_sigmoid(cell * before[1], forget),
            through_tanh(cell * write, content),
            through_sigmoid(upstream[0] * seen, read),
        ],
        dim=1,
    )
    return Returned(gates, gates, (torch.zeros_like(before[0]), cell * forget))


def gru_forward(gates: Tensor, recurrent: Tensor, before: Hidden) -> Taken:
    """r, z = σ(·);  n = tanh(gates_n + r recurrent_n);  h' = (1 − z) n + z h."""
    width = before[0].shape[1]
    both = (gates[:, : 2 * width] + recurrent[:, : 2 * width]).sigmoid_()
    reset, update = both[:, :width], both[:, width:]
    new = torch.addcmul(gates[:, 2 * width :], reset, recurrent[:, 2 * width :]).tanh_()
    return Taken((torch.lerp(new, before[0], update),), (both, new))


def gru_backward(
    kept: tuple[Tensor, ...], recurrent: Tensor, before: Hidden, upstream: Hidden
) -> Returned:
    """n̄ = h̄'(1 − z) through tanh;  z̄ = h̄'(h − n), r̄ = n̄ recurrent_n through σ; past the gates goes h̄' z."""
    both, new = kept
    width = new.shape[1]
    reset, update = both[:, :width], both[:, width:]
    past = upstream[0] * update
    inner = through_tanh(upstream[0] - past, new)
    reset_gradient = through_sigmoid(inner * recurrent[:, 2 * width :], reset)
    update_gradient = through_sigmoid(upstream[0] * (before[0] - new), update)
    gates = torch.cat([reset_gradient, update_gradient, inner], dim=1)
    through = torch.cat([reset_gradient, update_gradient, inner * reset], dim=1)
    return Returned(gates, through, (past,))


BY_HAND: dict[str, ByHand] = {
    "rnn": ByHand(rnn_forward, rnn_backward),
    "lstm": ByHand(lstm_forward, lstm_backward),
    "gru": ByHand(gru_forward, gru_backward),
}
"""As `heedful.nn.recurrent.CELLS`."""
