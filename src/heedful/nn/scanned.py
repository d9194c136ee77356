"""Recurrent layers as a scan over positions: no value and no length decides the graph, so that they can be exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
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
    >>> states, (final,) = scanned_layers("gru", layers, torch.ones(2, 5, 3), torch.tensor([5, 2]))
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


def _direction(
    kind: str, layers: nn.RNNBase, name: str, inputs: Tensor, keep: Tensor, *, reverse: bool
) -> tuple[Tensor, Hidden]:
    """Run one layer in one direction over (length, batch, features)."""
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
