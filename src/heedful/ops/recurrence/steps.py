# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""The gates of one step of a GRU and of an LSTM in float32, each row read and written once."""

from __future__ import annotations

import numpy as np

from heedful.ops.jit.exponential import exponential
from heedful.ops.jit.kernel import dense, inlined, kernel

ONE, TWO = np.float32(1.0), np.float32(2.0)


@inlined
def sigmoid(x):
    """σ(x), to rounding of 1."""
    return ONE / (ONE + exponential(-x))


@inlined
def bounded(x):
    """Tanh of x, to rounding of 1."""
    return ONE - TWO / (ONE + exponential(x + x))


@inlined
def gru_row(gates, recurrent, before, both, new, after):
    """r, z = σ(·);  n = tanh(gates_n + r recurrent_n);  h' = n + z (h − n)."""
    width = len(new)
    for i in range(width):
        reset = sigmoid(gates[i] + recurrent[i])
        update = sigmoid(gates[width + i] + recurrent[width + i])
        content = bounded(gates[2 * width + i] + reset * recurrent[2 * width + i])
        both[i], both[width + i], new[i] = reset, update, content
        after[i] = content + update * (before[i] - content)


@kernel
def gru_step(part, parts, gates, recurrent, before, both, new, after):
    """Fill both, new and after; rows `part`, `part` + `parts`, …."""
    for b in range(part, gates.shape[0], parts):
        gru_row(
            dense(gates[b]),
            dense(recurrent[b]),
            dense(before[b]),
            dense(both[b]),
            dense(new[b]),
            dense(after[b]),
        )


@inlined
def gru_row_back(both, new, recurrent, before, upstream, gates, through, past):
    """n̄ = h̄'(1 − z) through tanh;  z̄ = h̄'(h − n), r̄ = n̄ recurrent_n through σ; past the gates goes h̄' z."""
    width = len(new)
    for i in range(width):
        reset, update, content, above = both[i], both[width + i], new[i], upstream[i]
        passed = above * update
        inner = (above - passed) * (ONE - content * content)
        reset_gradient = inner * recurrent[2 * width + i] * reset * (ONE - reset)
        update_gradient = above * (before[i] - content) * update * (ONE - update)
        gates[i], through[i] = reset_gradient, reset_gradient
        gates[width + i], through[width + i] = update_gradient, update_gradient
        gates[2 * width + i], through[2 * width + i] = inner, inner * reset
        past[i] = passed


@kernel
def gru_step_back(part, parts, both, new, recurrent, before, upstream, gates, through, past):
    """Fill gates, through and past; rows `part`, `part` + `parts`, …."""
    for b in range(part, new.shape[0], parts):
        gru_row_back(
            dense(both[b]),
            dense(new[b]),
            dense(recurrent[b]),
            dense(before[b]),
            dense(upstream[b]),
            dense(gates[b]),
            dense(through[b]),
            dense(past[b]),
        )


@inlined
def lstm_row(gates, recurrent, before, total, seen, cell, after):
    """i, f, o = σ(·), g = tanh(·);  c' = f c + i g;  h' = o tanh(c')."""
    width = len(seen)
    for i in range(width):
        write = sigmoid(gates[i] + recurrent[i])
        forget = sigmoid(gates[width + i] + recurrent[width + i])
        content = bounded(gates[2 * width + i] + recurrent[2 * width + i])
        read = sigmoid(gates[3 * width + i] + recurrent[3 * width + i])
        total[i], total[width + i] = write, forget
        total[2 * width + i], total[3 * width + i] = content, read
        cell[i] = forget * before[i] + write * content
        seen[i] = bounded(cell[i])
        after[i] = read * seen[i]


@kernel
def lstm_step(part, parts, gates, recurrent, before, total, seen, cell, after):
    """Fill total, seen, cell and after; rows `part`, `part` + `parts`, …."""
    for b in range(part, gates.shape[0], parts):
        lstm_row(
            dense(gates[b]),
            dense(recurrent[b]),
            dense(before[b]),
            dense(total[b]),
            dense(seen[b]),
            dense(cell[b]),
            dense(after[b]),
        )


@inlined
def lstm_row_back(total, seen, before, upstream, carried, gates, through, past):
    """c̄ = c̄' + h̄' o (1 − tanh² c');  ī, f̄, ḡ, ō from c̄ g, c̄ c, c̄ i and h̄' tanh c'; back to c goes c̄ f."""
    width = len(seen)
    for i in range(width):
        write, forget = total[i], total[width + i]
        content, read = total[2 * width + i], total[3 * width + i]
        bar = carried[i] + upstream[i] * read * (ONE - seen[i] * seen[i])
        own = bar * content * write * (ONE - write)
        gates[i], through[i] = own, own
        own = bar * before[i] * forget * (ONE - forget)
        gates[width + i], through[width + i] = own, own
        own = bar * write * (ONE - content * content)
        gates[2 * width + i], through[2 * width + i] = own, own
        own = upstream[i] * seen[i] * read * (ONE - read)
        gates[3 * width + i], through[3 * width + i] = own, own
        past[i] = bar * forget


@kernel
def lstm_step_back(part, parts, total, seen, before, upstream, carried, gates, through, past):
    """Fill gates, through and past; rows `part`, `part` + `parts`, …."""
    for b in range(part, seen.shape[0], parts):
        lstm_row_back(
            dense(total[b]),
            dense(seen[b]),
            dense(before[b]),
            dense(upstream[b]),
            dense(carried[b]),
            dense(gates[b]),
            dense(through[b]),
            dense(past[b]),
        )
