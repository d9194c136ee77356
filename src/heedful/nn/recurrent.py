"""Recurrent encoders over PyTorch's fused layers, and one step of each cell for decoders that must loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from heedful.errors import DtypeError, OptionError, ShapeError, unknown_choice
from heedful.nn.packed import packed_layers
from heedful.nn.recurrent_precision import recurrent_precision
from heedful.nn.recurrent_steps import Hidden as Hidden
from heedful.nn.recurrent_steps import gru_cell, lstm_cell, rnn_cell
from heedful.nn.scanned import scanned_layers
from heedful.ops.finite import is_eager

CellStep = Callable[[Tensor, Hidden, Tensor, Tensor], Hidden]
"""(input term of the gates, state, recurrent weight, recurrent bias) -> next state."""


class States(NamedTuple):
    """The output of an encoder for a batch of sequences.

    >>> encoder = RecurrentEncoder("lstm", 3, 4)
    >>> values, lengths, (final, cell) = encoder(torch.ones(2, 5, 3), torch.tensor([5, 2]))
    >>> final.shape, bool(values[1, 2:].any())
    (torch.Size([1, 2, 8]), False)
    """

    values: Tensor
    """(batch, length, width); zero at padding."""
    lengths: Tensor
    """(batch,)"""
    summary: Hidden
    """The final state of each layer, with directions concatenated: (h,), or (h, c) for an LSTM.

    Each is (layers, batch, width).
    """


def _gates(gates: Tensor, before: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Input and recurrent term of the gates, both in the dtype of the state.

    Under autocast the products are in half precision, but the state is not rounded to half precision at each step.
    """
    recurrent = functional.linear(before, weight, bias)
    return gates.to(before.dtype), recurrent.to(before.dtype)


def rnn_step(gates: Tensor, hidden: Hidden, weight: Tensor, bias: Tensor) -> Hidden:
    """One step of an Elman cell, h' = tanh(gates + W h + b) (Elman 1990).

    Shapes: gates (batch, width) hold the input term W_i x + b_i; hidden ((batch, width),);
    weight (width, width); bias (width,).
    """
    return rnn_cell(*_gates(gates, hidden[0], weight, bias), hidden)


def lstm_step(gates: Tensor, hidden: Hidden, weight: Tensor, bias: Tensor) -> Hidden:
    """One step of an LSTM cell (Hochreiter and Schmidhuber 1997, with the forget gate of Gers 2000).

    i, f, o = σ(·), g = tanh(·) of gates + W h + b;  c' = f c + i g;  h' = o tanh(c').

    Shapes: gates (batch, 4 width) in PyTorch's order i, f, g, o; hidden (h, c) of (batch, width);
    weight (4 width, width); bias (4 width,).
    """
    return lstm_cell(*_gates(gates, hidden[0], weight, bias), hidden)


def gru_step(gates: Tensor, hidden: Hidden, weight: Tensor, bias: Tensor) -> Hidden:
    """One step of a GRU cell (Cho et al. 2014, in the form of PyTorch and cuDNN).

    r, z = σ(·);  n = tanh(gates_n + r (W_n h + b_n));  h' = (1 - z) n + z h.

    Shapes: gates (batch, 3 width) in PyTorch's order r, z, n; hidden ((batch, width),);
    weight (3 width, width); bias (3 width,).
    """
    return gru_cell(*_gates(gates, hidden[0], weight, bias), hidden)


class Cell(NamedTuple):
    """A recurrent cell: PyTorch's fused layer, and the equivalent single step."""

    layer: Callable[..., nn.RNNBase]
    step: CellStep
    gates: int
    """Size of the gates, as a multiple of the width of the state."""


CELLS: dict[str, Cell] = {
    "rnn": Cell(nn.RNN, rnn_step, 1),
    "lstm": Cell(nn.LSTM, lstm_step, 4),
    "gru": Cell(nn.GRU, gru_step, 3),
}


def as_hidden(state: Tensor | tuple[Tensor, Tensor]) -> Hidden:
    """Convert PyTorch's recurrent state (a tensor, or a pair for LSTM) to a tuple."""
    return (state,) if isinstance(state, Tensor) else tuple(state)


def from_hidden(hidden: Hidden) -> Tensor | Hidden:
    """The inverse of `as_hidden`: the state as an argument of PyTorch's layers."""
    return hidden[0] if len(hidden) == 1 else hidden


def build_layers(
    kind: str,
    input_width: int,
    width: int,
    *,
    layers: int = 1,
    bidirectional: bool = False,
    dropout: float = 0.0,
) -> nn.RNNBase:
    """Build PyTorch's fused layers, with an initialization that trains well.

    Recurrent matrices are orthogonal per gate (Saxe et al. 2014), input matrices Glorot uniform, biases 0, except
    that the bias of an LSTM's forget gate is 1 (Jozefowicz et al. 2015).

    Raises:
        OptionError: an unknown `kind`, a size below 1, or a dropout outside [0, 1).

    >>> build_layers("gru", 8, 16).weight_ih_l0.shape
    torch.Size([48, 8])
    """
    if kind not in CELLS:
        raise unknown_choice("recurrent cell", kind, CELLS)
    if min(input_width, width, layers) < 1:
        got = f"input_width={input_width}, width={width}, layers={layers}"
        raise OptionError(f"recurrent layers need sizes of at least 1; got {got}.")
    if not 0 <= dropout < 1:
        raise OptionError(f"dropout must be at least 0 and below 1; got {dropout}.")
    built = CELLS[kind].layer(
        input_width,
        width,
        num_layers=layers,
        batch_first=True,
        bidirectional=bidirectional,
        # PyTorch applies dropout between layers only, and warns about it for a single layer.
        dropout=dropout if layers > 1 else 0.0,
    )
    for name, parameter in built.named_parameters():
        if name.startswith("weight_hh"):
            for gate in torch.split(parameter.data, width):
                nn.init.orthogonal_(gate)
        elif name.startswith("weight_ih"):
            for gate in torch.split(parameter.data, width):
                nn.init.xavier_uniform_(gate)
        else:
            nn.init.zeros_(parameter)
            if kind == "lstm" and name.startswith("bias_ih"):
                nn.init.ones_(parameter.data[width : 2 * width])
    return built


class RecurrentEncoder(nn.Module):
    """An RNN, LSTM or GRU over sequences of different lengths, in one or two directions.

    h_t = cell(x_t, h_{t-1});  the states of two directions are concatenated, [→h_t ; ←h_t]
    (Schuster and Paliwal 1997).

    Args:
        kind: "rnn", "lstm" or "gru".
        input_width: features of an input position.
        hidden: features of a state, per direction.
        layers: number of stacked recurrent layers.
        bidirectional: process sequences in both directions.
        dropout: dropout probability of features between layers in training mode.

    Shapes: inputs (batch, length, input_width), lengths (batch,) -> `States` with values
    (batch, length, hidden × directions). Values at padding have no influence.

    On a CPU with gradients enabled the layers run in `heedful.nn.packed`, whose backward pass is faster than PyTorch's.
    Set the attribute `by_hand` to False to use PyTorch's layers. Under autocast, on a CPU that does not support an LSTM
    in half precision, the layers compute in float32 (`heedful.nn.recurrent_precision`).

    Raises:
        OptionError: an unknown kind, a size below 1, a dropout outside [0, 1).
        ShapeError: inputs or lengths of another shape, a length below 1 or beyond the inputs.
        DtypeError: lengths that are not integers.

    >>> encoder = RecurrentEncoder("gru", 3, 4)
    >>> encoder(torch.ones(2, 5, 3), torch.tensor([5, 2])).values.shape
    torch.Size([2, 5, 8])
    """

    by_hand = True

    def __init__(
        self,
        kind: str,
        input_width: int,
        hidden: int,
        *,
        layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.layers = build_layers(
            kind, input_width, hidden, layers=layers, bidirectional=bidirectional, dropout=dropout
        )
        self.kind = kind
        self.input_width = input_width
        self.width = hidden * (2 if bidirectional else 1)

    def forward(self, inputs: Tensor, lengths: Tensor) -> States:
        """Encode inputs (batch, length, input_width) of the given lengths (batch,)."""
        self._check(inputs, lengths)
        if torch.compiler.is_exporting():
            values, final = scanned_layers(self.kind, self.layers, inputs, lengths)
            return States(values, lengths, tuple(self._side_by_side(part) for part in final))
        weight = self.layers.all_weights[0][0]
        inputs, precision = recurrent_precision(inputs, weight, self._uses_packed_layers(inputs))
        with precision:
            return self._encode(inputs, lengths)

    def _encode(self, inputs: Tensor, lengths: Tensor) -> States:
        """Encode validated inputs and lengths, under the autocast mode of the caller."""
        packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        if self._uses_packed_layers(inputs) and inputs.dtype == self.layers.weight_ih_l0.dtype:
            states, final = packed_layers(self.kind, self.layers, packed)
            outputs = PackedSequence(
                states, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
            )
            original = packed.unsorted_indices
            assert original is not None  # enforce_sorted is False
            final = tuple(part.index_select(1, original) for part in final)
        else:
            outputs, last = self.layers(packed)
            final = as_hidden(last)
        values, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.shape[1])
        summary = tuple(self._side_by_side(part) for part in final)
        return States(values, lengths, summary)

    def _uses_packed_layers(self, inputs: Tensor) -> bool:
        """Whether `packed_layers`, with its explicit backward pass, is used: on a CPU, with gradients, not traced.

        It computes in float32 also under autocast, which is faster than PyTorch's layers in half precision. Without
        gradients PyTorch's C++ loop over steps is up to three times as fast.
        """
        return self.by_hand and torch.is_grad_enabled() and inputs.is_cpu and is_eager()

    def _side_by_side(self, final: Tensor) -> Tensor:
        """(layers × directions, batch, hidden) -> (layers, batch, directions × hidden)."""
        batch = final.shape[1]
        grouped = final.view(self.layers.num_layers, -1, batch, self.layers.hidden_size)
        return grouped.transpose(1, 2).reshape(self.layers.num_layers, batch, self.width)

    def _check(self, inputs: Tensor, lengths: Tensor) -> None:
        if inputs.dim() != 3 or inputs.shape[2] != self.input_width or not inputs.shape[0]:
            wanted = f"(batch, length, {self.input_width}) with at least one sequence"
            raise ShapeError(f"inputs have shape {tuple(inputs.shape)}; wanted {wanted}.")
        if not isinstance(lengths, Tensor):
            raise DtypeError(
                f"lengths is a {type(lengths).__name__}; wanted a tensor (batch,) of integers."
            )
        if lengths.shape != inputs.shape[:1]:
            wanted = f"({inputs.shape[0]},), one length a sequence"
            raise ShapeError(f"lengths have shape {tuple(lengths.shape)}; wanted {wanted}.")
        if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
            raise DtypeError(f"lengths are {lengths.dtype}; wanted integers such as torch.long.")
        if torch.compiler.is_exporting():
            return  # numbers are not known yet
        if lengths.numel() and not 1 <= int(lengths.min()) <= int(lengths.max()) <= inputs.shape[1]:
            got = f"from {int(lengths.min())} to {int(lengths.max())}"
            raise ShapeError(
                f"lengths go {got}; wanted 1 to {inputs.shape[1]}, the length of the inputs."
                " Leave empty sequences out of the batch."
            )
