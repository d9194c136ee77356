# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Fused float32 kernels for one step of a GRU and an LSTM, forward and backward, in one pass over memory.

All arrays are (batch, ·) with `width` features per gate. `gates` is the contribution of the input to the gates, and
`recurrent` that of the previous state, W_hh h + b. Gates are concatenated in PyTorch's order: r, z, n in a GRU, and
i, f, g, o in an LSTM. In the equations a bar marks a gradient of the loss, and ' the state after the step.
Part `part` of `parts` computes rows part, part + parts, ...
"""

from __future__ import annotations

import numpy as np

from heedful.ops.jit.exponential import exponential
from heedful.ops.jit.kernel import dense, inlined, kernel

ONE, TWO = np.float32(1.0), np.float32(2.0)


@inlined
def sigmoid(x):
    """Logistic sigmoid σ(x), with an absolute error of the order of float32's epsilon."""
    return ONE / (ONE + exponential(-x))


@inlined
def tanh(x):
    """Hyperbolic tangent, with an absolute error of the order of float32's epsilon."""
    return ONE - TWO / (ONE + exponential(x + x))


@inlined
def gru_row(gates, recurrent, previous, reset_update, candidate, state):
    """r, z = σ(gates + recurrent);  n = tanh(gates_n + r recurrent_n);  h' = n + z (h − n)."""
    width = len(candidate)
    for i in range(width):
        reset = sigmoid(gates[i] + recurrent[i])
        update = sigmoid(gates[width + i] + recurrent[width + i])
        content = tanh(gates[2 * width + i] + reset * recurrent[2 * width + i])
        reset_update[i], reset_update[width + i], candidate[i] = reset, update, content
        state[i] = content + update * (previous[i] - content)


@kernel
def gru_step(part, parts, gates, recurrent, previous, reset_update, candidate, state):
    """Write r and z to `reset_update`, n to `candidate` and h' to `state`."""
    for b in range(part, gates.shape[0], parts):
        gru_row(
            dense(gates[b]),
            dense(recurrent[b]),
            dense(previous[b]),
            dense(reset_update[b]),
            dense(candidate[b]),
            dense(state[b]),
        )


@inlined
def gru_row_back(
    reset_update,
    candidate,
    recurrent,
    previous,
    upstream,
    gates_gradient,
    recurrent_gradient,
    previous_gradient,
):
    """Backward of `gru_row`, with ā the gradient of the input of n's tanh.

    ā = h̄' (1 − z)(1 − n²);  r̄ = ā recurrent_n and z̄ = h̄' (h − n), through σ;  h̄ = h̄' z, without the part through W_hh.
    """
    width = len(candidate)
    for i in range(width):
        reset, update = reset_update[i], reset_update[width + i]
        content, above = candidate[i], upstream[i]
        direct = above * update
        inner = (above - direct) * (ONE - content * content)
        reset_gradient = inner * recurrent[2 * width + i] * reset * (ONE - reset)
        update_gradient = above * (previous[i] - content) * update * (ONE - update)
        gates_gradient[i], recurrent_gradient[i] = reset_gradient, reset_gradient
        gates_gradient[width + i] = update_gradient
        recurrent_gradient[width + i] = update_gradient
        gates_gradient[2 * width + i] = inner
        recurrent_gradient[2 * width + i] = inner * reset
        previous_gradient[i] = direct


@kernel
def gru_step_back(
    part,
    parts,
    reset_update,
    candidate,
    recurrent,
    previous,
    upstream,
    gates_gradient,
    recurrent_gradient,
    previous_gradient,
):
    """Write the gradients of `gates`, `recurrent` and, except through W_hh, of the previous state."""
    for b in range(part, candidate.shape[0], parts):
        gru_row_back(
            dense(reset_update[b]),
            dense(candidate[b]),
            dense(recurrent[b]),
            dense(previous[b]),
            dense(upstream[b]),
            dense(gates_gradient[b]),
            dense(recurrent_gradient[b]),
            dense(previous_gradient[b]),
        )


@inlined
def lstm_row(gates, recurrent, previous_cell, activations, cell_tanh, cell, state):
    """i, f, o = σ(·), g = tanh(·) of gates + recurrent;  c' = f c + i g;  h' = o tanh(c')."""
    width = len(cell_tanh)
    for i in range(width):
        input_gate = sigmoid(gates[i] + recurrent[i])
        forget_gate = sigmoid(gates[width + i] + recurrent[width + i])
        content = tanh(gates[2 * width + i] + recurrent[2 * width + i])
        output_gate = sigmoid(gates[3 * width + i] + recurrent[3 * width + i])
        activations[i], activations[width + i] = input_gate, forget_gate
        activations[2 * width + i], activations[3 * width + i] = content, output_gate
        cell[i] = forget_gate * previous_cell[i] + input_gate * content
        cell_tanh[i] = tanh(cell[i])
        state[i] = output_gate * cell_tanh[i]


@kernel
def lstm_step(part, parts, gates, recurrent, previous_cell, activations, cell_tanh, cell, state):
    """Write i, f, g, o to `activations`, tanh(c') to `cell_tanh`, c' to `cell` and h' to `state`."""
    for b in range(part, gates.shape[0], parts):
        lstm_row(
            dense(gates[b]),
            dense(recurrent[b]),
            dense(previous_cell[b]),
            dense(activations[b]),
            dense(cell_tanh[b]),
            dense(cell[b]),
            dense(state[b]),
        )


@inlined
def lstm_row_back(
    activations,
    cell_tanh,
    previous_cell,
    state_upstream,
    cell_upstream,
    gates_gradient,
    recurrent_gradient,
    previous_gradient,
):
    """Backward of `lstm_row`; `cell_upstream` is c̄', the gradient of c' from the next step, and b that of c' in full.

    b = c̄' + h̄' o (1 − tanh² c');  ī = b g, f̄ = b c, ḡ = b i and ō = h̄' tanh c', through σ or tanh;  c̄ = b f.
    """
    width = len(cell_tanh)
    for i in range(width):
        input_gate, forget_gate = activations[i], activations[width + i]
        content, output_gate = activations[2 * width + i], activations[3 * width + i]
        through_state = state_upstream[i] * output_gate * (ONE - cell_tanh[i] * cell_tanh[i])
        cell_gradient = cell_upstream[i] + through_state
        gradient = cell_gradient * content * input_gate * (ONE - input_gate)
        gates_gradient[i], recurrent_gradient[i] = gradient, gradient
        gradient = cell_gradient * previous_cell[i] * forget_gate * (ONE - forget_gate)
        gates_gradient[width + i], recurrent_gradient[width + i] = gradient, gradient
        gradient = cell_gradient * input_gate * (ONE - content * content)
        gates_gradient[2 * width + i], recurrent_gradient[2 * width + i] = gradient, gradient
        gradient = state_upstream[i] * cell_tanh[i] * output_gate * (ONE - output_gate)
        gates_gradient[3 * width + i], recurrent_gradient[3 * width + i] = gradient, gradient
        previous_gradient[i] = cell_gradient * forget_gate


@kernel
def lstm_step_back(
    part,
    parts,
    activations,
    cell_tanh,
    previous_cell,
    state_upstream,
    cell_upstream,
    gates_gradient,
    recurrent_gradient,
    previous_gradient,
):
    """Write the gradients of `gates`, `recurrent` and the previous cell state."""
    for b in range(part, cell_tanh.shape[0], parts):
        lstm_row_back(
            dense(activations[b]),
            dense(cell_tanh[b]),
            dense(previous_cell[b]),
            dense(state_upstream[b]),
            dense(cell_upstream[b]),
            dense(gates_gradient[b]),
            dense(recurrent_gradient[b]),
            dense(previous_gradient[b]),
        )
