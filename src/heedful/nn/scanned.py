"""Recurrent layers that can be exported: a scan over positions, of which no value and no length decides the graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from heedful.nn.recurrent_steps import DIFFERENTIABLE_CELLS, Hidden


def scanned_layers(
    kind: str, layers: nn.RNNBase, inputs: Tensor, lengths: Tensor
) -> tuple[Tensor, Hidden]:
    """Run the layers over padded sequences; at padding the state stays as it is.

    PyTorch's own layers are exported as one step after the other, for a single length.

    Args:
        kind: "rnn", "gru" or "lstm".
        layers: PyTorch's layers, batch first.
        inputs: (batch, length, features).
        lengths: (batch,), at least 1.

    Returns: the states (batch, length, directions × hidden), zero at padding, and the final ones, (h,) or (h, c), each
        (layers × directions, batch, hidden).

    >>> layers = nn.GRU(3, 4, batch_first=True, bidirectional=True)
    >>> with torch.no_grad():
    ...     states, (final,) = scanned_layers("gru", layers, torch.ones(2, 5, 3), torch.tensor([5, 2]))
    >>> states.shape, final.shape
    (torch.Size([2, 5, 8]), torch.Size([2, 2, 4]))
    """
    real = torch.arange(inputs.shape[1], device=inputs.device) < lengths[:, None]
    values = inputs.transpose(0, 1)
    keep = real.transpose(0, 1)[..., None]
    finals: list[Hidden] = []
    for layer in range(layers.num_layers):
        clean = values.masked_fill(~keep, 0.0)
        outputs, final = _direction(kind, layers, f"_l{layer}", clean, keep, reverse=False)
        finals.append(final)
        if layers.bidirectional:
            # Padding comes first then, and leaves the initial state alone.
            name = f"_l{layer}_reverse"
            back, final = _direction(kind, layers, name, clean, keep, reverse=True)
            finals.append(final)
            outputs = torch.cat([outputs, back], -1)
        values = outputs.masked_fill(~keep, 0.0)
    summary = tuple(torch.stack(parts) for parts in zip(*finals, strict=True))
    return values.transpose(0, 1), summary


def one_step(layers: nn.RNNBase, inputs: Tensor, before: Hidden) -> tuple[Tensor, Hidden]:
    """Run the layers of one direction over one position, by the equations of their cells.

    PyTorch's own LSTM is exported with a size that is not a number, which ONNX refuses.

    Args:
        layers: PyTorch's layers, batch first; dropout between them is left out.
        inputs: (batch, 1, features).
        before: the state, (h,) or (h, c), each (layers, batch, hidden).

    Returns: the output (batch, 1, hidden), and the state after it.

    >>> layers = nn.LSTM(3, 4, num_layers=2, batch_first=True)
    >>> inputs, zero = torch.ones(2, 1, 3), torch.zeros(2, 2, 4)
    >>> with torch.no_grad():
    ...     output, (h, c) = one_step(layers, inputs, (zero, zero))
    ...     wanted, _ = layers(inputs)
    >>> h.shape, torch.allclose(output, wanted, atol=1e-6)
    (torch.Size([2, 2, 4]), True)
    """
    values, cell = inputs[:, 0], DIFFERENTIABLE_CELLS[layers.mode.partition("_")[0].lower()]
    states: list[Hidden] = []
    for layer in range(layers.num_layers):
        read, write, read_bias, write_bias = (
            getattr(layers, f"{part}_l{layer}") for part in _PARTS
        )
        own = tuple(part[layer] for part in before)
        gates = functional.linear(values, read, read_bias)
        states.append(cell(gates, functional.linear(own[0], write, write_bias), own))
        values = states[-1][0]
    after = tuple(torch.stack(parts) for parts in zip(*states, strict=True))
    return values[:, None], after


def _direction(
    kind: str, layers: nn.RNNBase, name: str, inputs: Tensor, keep: Tensor, *, reverse: bool
) -> tuple[Tensor, Hidden]:
    """Run one layer in one direction over (length, batch, features)."""
    # Imported here, as it is slow to import and only exporting needs it.
    from torch._higher_order_ops.scan import scan

    read, write, read_bias, write_bias = (getattr(layers, part + name) for part in _PARTS)
    cell = DIFFERENTIABLE_CELLS[kind]

    def step(before: Hidden, position: tuple[Tensor, Tensor]) -> tuple[Hidden, Tensor]:
        gates, is_real = position
        recurrent = functional.linear(before[0], write, write_bias)
        after = tuple(
            torch.where(is_real, new, old)
            for new, old in zip(cell(gates, recurrent, before), before, strict=True)
        )
        return after, after[0].clone()

    start = inputs.new_zeros(inputs.shape[1], layers.hidden_size)
    initial = tuple(start.clone() for _ in range(2 if kind == "lstm" else 1))
    gates = functional.linear(inputs, read, read_bias)
    final, values = scan(step, initial, (gates, keep), dim=0, reverse=reverse)
    return values, tuple(final)


_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
