"""Record the gates of every recurrent encoder and decoder of a model during its forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from heedful.errors import HeedfulError
from heedful.explore.gates.cells import GATES, CellGates, cell_gates
from heedful.models.bahdanau import BahdanauDecoder
from heedful.models.encoders.inputs import CharacterEncoder
from heedful.models.recurrent_decoders import RecurrentDecoder
from heedful.nn.recurrent import Hidden, RecurrentEncoder, as_hidden

MAX_DIFFERENCE: Final = 1e-3
"""Up to which states that are recomputed count as those of the model."""


@dataclass(frozen=True, eq=False)
class GateRecord:
    """The gates of one layer in one direction."""

    module_path: str
    part: str
    """"encoder" or "decoder"."""
    layer: int
    gates: CellGates
    difference: float
    """The largest difference between the recomputed states and those of the layer."""


class GateRecorder:
    """Collects the gates of a forward pass over one example; created by `recording_gates`."""

    def __init__(self) -> None:
        self.records: list[GateRecord] = []

    def add_layers(
        self, path: str, part: str, layers: nn.RNNBase, inputs: Tensor, start: Hidden, own: Tensor
    ) -> None:
        """Recompute stacked layers.

        Args:
            path: of the module.
            part: "encoder" or "decoder".
            layers: PyTorch's layers, which hold the weights.
            inputs: (positions, features).
            start: (layers × directions, units), one or (h, c).
            own: (positions, units × directions), the states of the last layer.

        Raises: HeedfulError if the states differ from the layer's own.
        """
        cell = layers.mode.lower()
        if cell not in GATES:
            return
        directions = 2 if layers.bidirectional else 1
        known = {record.layer for record in self.records if record.part == part}
        first = max(known, default=-1) + 1
        found: list[list[CellGates]] = []
        values = inputs
        for layer in range(layers.num_layers):
            rows = range(layer * directions, (layer + 1) * directions)
            each = [
                cell_gates(
                    cell, values, tuple(state[row] for state in start), layers.all_weights[row],
                    reverse=row % directions == 1,
                )
                for row in rows
            ]  # fmt: skip
            found.append(each)
            values = torch.from_numpy(np.concatenate([one.states for one in each], axis=-1).copy())
        difference = _difference(values, own, path)
        self.records += [
            GateRecord(path, part, first + layer, gates, difference)
            for layer, both in enumerate(found)
            for gates in both
        ]

    def add_steps(self, path: str, steps: list[Step], cell: str) -> None:
        """Add the steps of a decoder that calls its cell itself.

        Args:
            path: of the decoder.
            steps: of all layers, in the order in which they ran.
            cell: "lstm" or "gru".
        """
        if cell not in GATES or not steps:
            return
        layers: dict[int, list[Step]] = {}
        for step in steps:
            layers.setdefault(id(step.weight), []).append(step)
        for layer, own in enumerate(layers.values()):
            terms = torch.cat([step.term for step in own])
            identity, zero = torch.eye(terms.shape[1]), torch.zeros(terms.shape[1])
            weights = (identity, own[0].weight, zero, own[0].bias)
            start = tuple(part[0] for part in own[0].before)
            gates = cell_gates(cell, terms, start, weights)
            after = torch.cat([step.after[0] for step in own])
            difference = _difference(torch.from_numpy(gates.states.copy()), after, path)
            self.records.append(GateRecord(path, "decoder", layer, gates, difference))


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a cell, of a batch of one."""

    term: Tensor
    """(1, gates), the input term."""
    before: Hidden
    weight: Tensor
    bias: Tensor
    after: Hidden


def _difference(recomputed: Tensor, own: Tensor, path: str) -> float:
    difference = float((recomputed - own.detach().double().cpu()).abs().max())
    if not difference <= MAX_DIFFERENCE:
        raise HeedfulError(
            f"the gates of {path} give states that differ by {difference:.2g} from the layer's own, so they are not "
            "shown; load the model in float32."
        )
    return difference


@contextmanager
def recording_gates(model: nn.Module) -> Iterator[GateRecorder]:
    """Record the gates of what runs inside, which must be in evaluation mode and one example at a time.

    Encoders of characters inside of words are left out. Everything is recomputed in float64 from weights and inputs,
    and compared with what the layer gave.

    >>> encoder = RecurrentEncoder("gru", 3, 4, layers=2).eval()
    >>> with recording_gates(encoder) as recorder, torch.no_grad():
    ...     states = encoder(torch.ones(1, 5, 3), torch.tensor([5]))
    >>> [(each.layer, each.gates.reverse) for each in recorder.records]
    [(0, False), (0, True), (1, False), (1, True)]
    """
    recorder = GateRecorder()
    spelling = {
        inner
        for module in model.modules()
        if isinstance(module, CharacterEncoder)
        for inner in module.modules()
    }
    undo: list[Any] = []
    try:
        for path, module in model.named_modules():
            if isinstance(module, RecurrentEncoder) and module not in spelling:
                undo.append(_watch_encoder(module, path, recorder))
            elif isinstance(module, BahdanauDecoder):
                undo.append(_watch_steps(module, path, recorder))
            elif isinstance(module, RecurrentDecoder):
                undo.append(_watch_layers(module.layers, f"{path}.layers", recorder))
        yield recorder
    finally:
        for each in undo:
            each()


def _watch_encoder(module: RecurrentEncoder, path: str, recorder: GateRecorder) -> Any:
    def hook(module: RecurrentEncoder, given: Any, output: Any) -> None:
        inputs, lengths = given
        count = int(lengths[0])
        layers = module.layers
        rows = layers.num_layers * (2 if layers.bidirectional else 1)
        zeros = torch.zeros(rows, layers.hidden_size)
        start = (zeros, zeros) if layers.mode == "LSTM" else (zeros,)
        own = output.values[0, :count]
        recorder.add_layers(path, "encoder", layers, inputs[0, :count].cpu(), start, own)

    return module.register_forward_hook(hook).remove


def _watch_layers(module: nn.RNNBase, path: str, recorder: GateRecorder) -> Any:
    def hook(module: nn.RNNBase, given: Any, output: Any) -> None:
        inputs, start = given
        first = tuple(part[:, 0].cpu() for part in as_hidden(start))
        recorder.add_layers(path, "decoder", module, inputs[0].cpu(), first, output[0][0])

    return module.register_forward_hook(hook).remove


def _watch_steps(module: BahdanauDecoder, path: str, recorder: GateRecorder) -> Any:
    """Let the decoder run step by step, as its reference does, and keep every step."""
    original, steps = module.cell_step, list[Step]()

    def watched(term: Tensor, before: Hidden, weight: Tensor, bias: Tensor) -> Hidden:
        after = original(term, before, weight, bias)
        steps.append(
            Step(
                term.detach().cpu(),
                tuple(part.detach().cpu() for part in before),
                weight,
                bias,
                tuple(part.detach().cpu() for part in after),
            )
        )
        return after

    def done(module: BahdanauDecoder, given: Any, output: Any) -> None:
        recorder.add_steps(path, steps, module.cell)
        steps.clear()

    module.cell_step, was_fused = watched, module.fused
    module.fused = False
    handle = module.register_forward_hook(done)

    def undo() -> None:
        handle.remove()
        module.cell_step, module.fused = original, was_fused

    return undo
