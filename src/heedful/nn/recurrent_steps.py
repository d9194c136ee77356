"""One step of each recurrent cell, with an explicit backward pass, for loops inside an autograd function."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.ops.jit.kernel import launch, unavailable
from heedful.ops.recurrence.steps import gru_step, gru_step_back, lstm_step, lstm_step_back

# Nanoseconds of one thread for an element of the gates.
FORWARD_NANOSECONDS, BACKWARD_NANOSECONDS = 1.0, 0.6

Hidden = tuple[Tensor, ...]
"""A recurrent state: (h,) or, for an LSTM, (h, c); each (layers, batch, width) or (batch, width)."""


class StepResult(NamedTuple):
    """The result of a forward step."""

    after: Hidden
    kept: tuple[Tensor, ...]
    """Tensors saved for the backward step."""


class Into(NamedTuple):
    """Output buffers of a backward step."""

    gates: Tensor
    """Gradient of the input term of the gates, W_i x + b_i."""
    recurrent: Tensor
    """Gradient of the recurrent term of the gates, W h + b."""


class StepFunctions(NamedTuple):
    """Forward and explicit backward step of a cell."""

    forward: Callable[[Tensor, Tensor, Hidden], StepResult]
    """(input term of the gates, recurrent term W h + b, state before) -> result."""
    backward: Callable[[tuple[Tensor, ...], Tensor, Hidden, Hidden, Into], Hidden]
    """(saved tensors, recurrent term W h + b, state before, gradient of the state after, output buffers) -> gradient.

    Returns the gradient of the state before, without the term that passes through W.
    """


def _is_compiled(*tensors: Tensor) -> bool:
    """Whether the compiled kernels support the tensors: float32 on a CPU, with a contiguous last axis."""
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


DIFFERENTIABLE_CELLS: dict[str, Callable[[Tensor, Tensor, Hidden], Hidden]] = {
    "rnn": rnn_cell,
    "lstm": lstm_cell,
    "gru": gru_cell,
}
"""Each cell in differentiable operators: (input term of the gates, recurrent term W h + b, state before) -> after."""


def rnn_forward(gates: Tensor, recurrent: Tensor, before: Hidden) -> StepResult:
    """One step: h' = tanh(gates + recurrent)."""
    after = (gates + recurrent).tanh_()
    return StepResult((after,), (after,))


def rnn_backward(
    kept: tuple[Tensor, ...], recurrent: Tensor, before: Hidden, upstream: Hidden, into: Into
) -> Hidden:
    """Both terms have the gradient of the gates; the state before receives a gradient only through W."""
    gates = through_tanh(upstream[0], kept[0])
    into.gates.copy_(gates)
    into.recurrent.copy_(gates)
    return (torch.zeros_like(before[0]),)


def lstm_forward(gates: Tensor, recurrent: Tensor, before: Hidden) -> StepResult:
    """i, f, o = σ(·), g = tanh(·);  c' = f c + i g;  h' = o tanh(c')."""
    if _is_compiled(gates, recurrent, before[1]):
        total = torch.empty_like(gates, memory_format=torch.contiguous_format)
        tanh_cell, cell, after = (torch.empty_like(before[1]) for _ in range(3))
        work = FORWARD_NANOSECONDS * gates.numel()
        launch(lstm_step, gates, recurrent, before[1], total, tanh_cell, cell, after, work=work)
        return StepResult((after, cell), (total, tanh_cell))
    total = gates + recurrent
    write, forget, content, read = total.chunk(4, dim=1)
    # Input and forget gate are adjacent: one sigmoid for both.
    both = total[:, : 2 * write.shape[1]].sigmoid_()
    content.tanh_()
    read.sigmoid_()
    write, forget = both.chunk(2, dim=1)
    cell = torch.addcmul(write * content, forget, before[1])
    tanh_cell = torch.tanh(cell)
    return StepResult((read * tanh_cell, cell), (total, tanh_cell))


def lstm_backward(
    kept: tuple[Tensor, ...], recurrent: Tensor, before: Hidden, upstream: Hidden, into: Into
) -> Hidden:
    """c̄ = c̄' + h̄' o (1 − tanh² c');  ī, f̄, ḡ, ō from c̄ g, c̄ c, c̄ i and h̄' tanh c';  the gradient of c is c̄ f."""
    total, tanh_cell = kept
    if _is_compiled(total, tanh_cell, before[1], *upstream, *into):
        past = torch.empty_like(tanh_cell)
        work = BACKWARD_NANOSECONDS * total.numel()
        launch(lstm_step_back, total, tanh_cell, before[1], *upstream, *into, past, work=work)
        return torch.zeros_like(before[0]), past
    write, forget, content, read = total.chunk(4, dim=1)
    cell = upstream[1] + through_tanh(upstream[0] * read, tanh_cell)
    gates = torch.cat(
        [
            through_sigmoid(cell * content, write),
            through_sigmoid(cell * before[1], forget),
            through_tanh(cell * write, content),
            through_sigmoid(upstream[0] * tanh_cell, read),
        ],
        dim=1,
    )
    into.gates.copy_(gates)
    into.recurrent.copy_(gates)
    return torch.zeros_like(before[0]), cell * forget


def gru_forward(gates: Tensor, recurrent: Tensor, before: Hidden) -> StepResult:
    """r, z = σ(·);  n = tanh(gates_n + r recurrent_n);  h' = (1 − z) n + z h."""
    rows, width = before[0].shape
    if _is_compiled(gates, recurrent, before[0]):
        both = gates.new_empty(rows, 2 * width)
        new, after = (gates.new_empty(rows, width) for _ in range(2))
        work = FORWARD_NANOSECONDS * gates.numel()
        launch(gru_step, gates, recurrent, before[0], both, new, after, work=work)
        return StepResult((after,), (both, new))
    both = (gates[:, : 2 * width] + recurrent[:, : 2 * width]).sigmoid_()
    reset, update = both[:, :width], both[:, width:]
    new = torch.addcmul(gates[:, 2 * width :], reset, recurrent[:, 2 * width :]).tanh_()
    return StepResult((torch.lerp(new, before[0], update),), (both, new))


def gru_backward(
    kept: tuple[Tensor, ...], recurrent: Tensor, before: Hidden, upstream: Hidden, into: Into
) -> Hidden:
    """n̄ = h̄'(1 − z) through tanh;  z̄ = h̄'(h − n), r̄ = n̄ recurrent_n through σ;  the direct gradient of h is h̄' z."""
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


STEP_FUNCTIONS: dict[str, StepFunctions] = {
    "rnn": StepFunctions(rnn_forward, rnn_backward),
    "lstm": StepFunctions(lstm_forward, lstm_backward),
    "gru": StepFunctions(gru_forward, gru_backward),
}
"""Forward and backward step by name of the cell; the names are those of `heedful.nn.recurrent.CELLS`."""
