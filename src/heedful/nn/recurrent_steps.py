"""One step of each cell, forward and backward, written out: for loops that autograd does not follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.ops.jit.kernel import launch, unavailable
from heedful.ops.recurrence.steps import gru_step, gru_step_back, lstm_step, lstm_step_back

# Nanoseconds of one thread for a number of the state.
FORWARD_NANOSECONDS, BACKWARD_NANOSECONDS = 1.0, 0.6

Hidden = tuple[Tensor, ...]
"""A recurrent state: (h,) or, for an LSTM, (h, c); each (layers, batch, width) or (batch, width)."""


class Taken(NamedTuple):
    """What a step forward made."""

    after: Hidden
    kept: tuple[Tensor, ...]
    """What the step back needs."""


class Into(NamedTuple):
    """Where a step back writes."""

    gates: Tensor
    """The gradient of the input's share of the gates."""
    recurrent: Tensor
    """The gradient of W h + b."""


class ByHand(NamedTuple):
    """A cell's two directions."""

    forward: Callable[[Tensor, Tensor, Hidden], Taken]
    """(the input's share of the gates, W h + b, the state before)."""
    backward: Callable[[tuple[Tensor, ...], Tensor, Hidden, Hidden, Into], Hidden]
    """(kept, W h + b, the state before, the gradient of the state after, where to write).

    Returns the gradient of the state before, but for what goes through W.
    """


def _is_compiled(*tensors: Tensor) -> bool:
    """Whether the kernels serve: they know float32, rows without gaps."""
    return unavailable() is None and all(
        each.dtype == torch.float32 and each.is_cpu and each.stride(-1) == 1 and each.numel()
        for each in tensors
    )


def through_sigmoid(upstream: Tensor, output: Tensor) -> Tensor:
    """Upstream · y(1 − y), with y = σ(x)."""
    gradient: Tensor = torch.ops.aten.sigmoid_backward.default(upstream, output)
    return gradient


def through_tanh(upstream: Tensor, output: Tensor) -> Tensor:
    """Upstream · (1 − y²), with y = tanh(x)."""
    gradient: Tensor = torch.ops.aten.tanh_backward.default(upstream, output)
    return gradient


def rnn_cell(gates: Tensor, recurrent: Tensor, before: Hidden) -> Hidden:
    """Return h' = tanh(gates + recurrent)."""
    return (torch.tanh(gates + recurrent),)


def lstm_cell(gates: Tensor, recurrent: Tensor, before: Hidden) -> Hidden:
    """i, f, o = σ(·), g = tanh(·);  c' = f c + i g;  h' = o tanh(c')."""
    write, forget, content, read = (gates + recurrent).chunk(4, dim=1)
    cell = torch.sigmoid(forget) * before[1] + torch.sigmoid(write) * torch.tanh(content)
    return torch.sigmoid(read) * torch.tanh(cell), cell


def gru_cell(gates: Tensor, recurrent: Tensor, before: Hidden) -> Hidden:
    """r, z = σ(·);  n = tanh(gates_n + r recurrent_n);  h' = (1 − z) n + z h."""
    width = before[0].shape[1]
    both = torch.sigmoid(gates[:, : 2 * width] + recurrent[:, : 2 * width])
    reset, update = both[:, :width], both[:, width:]
    new = torch.tanh(torch.addcmul(gates[:, 2 * width :], reset, recurrent[:, 2 * width :]))
    return (torch.lerp(new, before[0], update),)


SEEN: dict[str, Callable[[Tensor, Tensor, Hidden], Hidden]] = {
    "rnn": rnn_cell,
    "lstm": lstm_cell,
    "gru": gru_cell,
}
"""Each cell in operators that autograd knows: (the input's share of the gates, W h + b, the state before) -> after."""


def rnn_forward(gates: Tensor, recurrent: Tensor, before: Hidden) -> Taken:
    """One step: h' = tanh(gates + recurrent)."""
    after = (gates + recurrent).tanh_()
    return Taken((after,), (after,))


def rnn_backward(
    kept: tuple[Tensor, ...], recurrent: Tensor, before: Hidden, upstream: Hidden, into: Into
) -> Hidden:
    """The gradient of the gates is that of W h + b; nothing goes past them."""
    gates = through_tanh(upstream[0], kept[0])
    into.gates.copy_(gates)
    into.recurrent.copy_(gates)
    return (torch.zeros_like(before[0]),)


def lstm_forward(gates: Tensor, recurrent: Tensor, before: Hidden) -> Taken:
    """i, f, o = σ(·), g = tanh(·);  c' = f c + i g;  h' = o tanh(c')."""
    if _is_compiled(gates, recurrent, before[1]):
        total = torch.empty_like(gates, memory_format=torch.contiguous_format)
        seen, cell, after = (torch.empty_like(before[1]) for _ in range(3))
        work = FORWARD_NANOSECONDS * gates.numel()
        launch(lstm_step, gates, recurrent, before[1], total, seen, cell, after, work=work)
        return Taken((after, cell), (total, seen))
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
    kept: tuple[Tensor, ...], recurrent: Tensor, before: Hidden, upstream: Hidden, into: Into
) -> Hidden:
    """c̄ = c̄' + h̄' o (1 − tanh² c');  ī, f̄, ḡ, ō from c̄ g, c̄ c, c̄ i and h̄' tanh c'; back to c goes c̄ f."""
    total, seen = kept
    if _is_compiled(total, seen, before[1], *upstream, *into):
        past = torch.empty_like(seen)
        work = BACKWARD_NANOSECONDS * total.numel()
        launch(lstm_step_back, total, seen, before[1], *upstream, *into, past, work=work)
        return torch.zeros_like(before[0]), past
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
    into.gates.copy_(gates)
    into.recurrent.copy_(gates)
    return torch.zeros_like(before[0]), cell * forget


def gru_forward(gates: Tensor, recurrent: Tensor, before: Hidden) -> Taken:
    """r, z = σ(·);  n = tanh(gates_n + r recurrent_n);  h' = (1 − z) n + z h."""
    rows, width = before[0].shape
    if _is_compiled(gates, recurrent, before[0]):
        both = gates.new_empty(rows, 2 * width)
        new, after = (gates.new_empty(rows, width) for _ in range(2))
        work = FORWARD_NANOSECONDS * gates.numel()
        launch(gru_step, gates, recurrent, before[0], both, new, after, work=work)
        return Taken((after,), (both, new))
    both = (gates[:, : 2 * width] + recurrent[:, : 2 * width]).sigmoid_()
    reset, update = both[:, :width], both[:, width:]
    new = torch.addcmul(gates[:, 2 * width :], reset, recurrent[:, 2 * width :]).tanh_()
    return Taken((torch.lerp(new, before[0], update),), (both, new))


def gru_backward(
    kept: tuple[Tensor, ...], recurrent: Tensor, before: Hidden, upstream: Hidden, into: Into
) -> Hidden:
    """n̄ = h̄'(1 − z) through tanh;  z̄ = h̄'(h − n), r̄ = n̄ recurrent_n through σ; past the gates goes h̄' z."""
    both, new = kept
    if _is_compiled(both, new, recurrent, before[0], upstream[0], *into):
        past = torch.empty_like(new)
        work = BACKWARD_NANOSECONDS * recurrent.numel()
        launch(gru_step_back, both, new, recurrent, before[0], upstream[0], *into, past, work=work)
        return (past,)
    width = new.shape[1]
    reset, update = both[:, :width], both[:, width:]
    past = upstream[0] * update
    inner = through_tanh(upstream[0] - past, new)
    reset_gradient = through_sigmoid(inner * recurrent[:, 2 * width :], reset)
    update_gradient = through_sigmoid(upstream[0] * (before[0] - new), update)
    into.gates.copy_(torch.cat([reset_gradient, update_gradient, inner], dim=1))
    into.recurrent.copy_(torch.cat([reset_gradient, update_gradient, inner * reset], dim=1))
    return (past,)


BY_HAND: dict[str, ByHand] = {
    "rnn": ByHand(rnn_forward, rnn_backward),
    "lstm": ByHand(lstm_forward, lstm_backward),
    "gru": ByHand(gru_forward, gru_backward),
}
"""As `heedful.nn.recurrent.CELLS`."""
