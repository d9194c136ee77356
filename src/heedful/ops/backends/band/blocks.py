"""Banded attention for any score and normalizer, one block of queries at a time, recomputed in the backward pass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import get_device_states, set_device_states

from heedful.ops.backends.band.window import Band
from heedful.ops.backends.chunked import held_bytes
from heedful.ops.backends.reference import Operands, attend_rows
from heedful.ops.call import Attended, Call
from heedful.ops.cells import Cells
from heedful.ops.double_backward import alias_for_grad
from heedful.ops.positions import PositionBias
from heedful.ops.rows import Rows

CALL_CELLS = 2**16
"""Overhead of a block, in cells. Besides it a block of n rows of h heads costs h · n · (n + window) cells, so the cost
per row is least where n = sqrt(CALL_CELLS / h), whatever the window."""
BLOCK_BYTES = 4 * 2**20
"""Largest size of a block's scores."""


WeightsLayout = Literal["none", "dense", "band"]
"""Weights that a call returns: none, (*lead, query, key), or (*lead, query, window)."""


@dataclass(frozen=True, eq=False)
class BlockedCall:
    """A call to be computed block by block."""

    operands: Operands
    band: Band
    weights: WeightsLayout

    @property
    def call(self) -> Call:
        return self.operands.call

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are sliced into blocks, by name."""
        named = {name: getattr(self.operands, name) for name in ("query", "key", "value")}
        if isinstance(self.call.bias, Tensor):
            named["bias"] = self.call.bias
        return named

    def parameters(self) -> list[Tensor]:
        """The tensors that every block reads whole and that require a gradient."""
        call = self.call
        tensors = [*call.score.tensors(), *call.normalizer.tensors()]
        if isinstance(call.bias, PositionBias):
            tensors += call.bias.tensors()
        return [tensor for tensor in tensors if tensor.requires_grad]

    def blocks(self) -> Iterator[Rows]:
        """The band as rectangles: some rows, and the keys that any of them may attend to."""
        nonempty, size = self.band.nonempty_rows, block_rows(self.call, self.band)
        for start in range(nonempty.start, nonempty.stop, size):
            stop = min(start + size, nonempty.stop)
            yield self.call.rows.block(start, stop).narrow(*self.band.keys(start, stop))

    def attend(self, rows: Rows, parts: dict[str, Tensor]) -> Attended:
        """Output and weights of one block from its slices of `tensors`."""
        whole = self.operands
        call, bad_key = whole.call, whole.bad_key
        part = replace(
            whole,
            call=replace(call, bias=BiasSlice(parts["bias"])) if "bias" in parts else call,
            query=parts["query"],
            key=parts["key"],
            value=parts["value"],
            bad_key=None if bad_key is None else bad_key[..., rows.key_start : rows.key_stop],
        )
        block = attend_rows(part, rows, part.query, self.weights != "none")
        if block.weights is None or self.weights == "dense":
            return block
        return Attended(block.output, by_distance(block.weights, self.band, rows))

    def weights_view(self, weights: Tensor, rows: Rows) -> Tensor:
        """The part of all weights that a block writes: a view."""
        weights = weights[..., rows.start : rows.stop, :]
        return weights if self.weights == "band" else weights[..., rows.key_start : rows.key_stop]

    def zeros(self) -> Attended:
        """Zeros for the output and for the weights that are returned."""
        call = self.call
        zeros, rows = call.query.new_zeros, (*call.lead, call.num_queries)
        columns = self.band.width if self.weights == "band" else call.num_keys
        weights = None if self.weights == "none" else zeros(*rows, columns)
        return Attended(zeros(*rows, call.value.shape[-1]), weights)


@dataclass(frozen=True, eq=False)
class BiasSlice(PositionBias):
    """The part of a tensor bias that belongs to the block being computed."""

    part: Tensor
    query_start: int = 0

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.part,)

    def at(self, cells: Cells) -> Tensor:
        return self.part


def attend_blocks(blocked: BlockedCall) -> Attended:
    """Attend block by block. Only the operands are saved for the backward pass."""
    tensors = blocked.tensors()
    output, weights = BandBlocks.apply(  # type: ignore[no-untyped-call]
        blocked, *tensors.values(), *blocked.parameters()
    )
    return Attended(output, weights)


class BandBlocks(torch.autograd.Function):
    """A `BlockedCall`, its tensors and its parameters, to output and weights (or None)."""

    @staticmethod
    def forward(ctx: Any, blocked: BlockedCall, *inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        ctx.blocked, ctx.random = blocked, RandomState.now(blocked.call)
        ctx.save_for_backward(*inputs)
        ctx.set_materialize_grads(False)
        tensors = dict(zip(blocked.tensors(), inputs, strict=False))
        output, weights = blocked.zeros()
        for rows in blocked.blocks():
            parts = {name: block_slice(name, tensor, rows) for name, tensor in tensors.items()}
            block = blocked.attend(rows, parts)
            output[..., rows.start : rows.stop, :] = block.output
            if weights is not None and block.weights is not None:
                blocked.weights_view(weights, rows).copy_(block.weights)
        return output, weights

    @staticmethod
    def backward(
        ctx: Any, output_gradient: Tensor | None, weights_gradient: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        needed = [i for i, needed in enumerate(ctx.needs_input_grad[1:]) if needed]
        # If the gradient is differentiated again, autograd must save what it needs of every block.
        gradients = _differentiable_gradients if torch.is_grad_enabled() else _block_gradients
        upstream = Attended(output_gradient, weights_gradient)  # type: ignore[arg-type]
        with ctx.random.again():
            found = gradients(ctx.blocked, ctx.saved_tensors, needed, upstream)
        return (None, *found)


def _block_gradients(
    blocked: BlockedCall, inputs: tuple[Tensor, ...], needed: list[int], upstream: Attended
) -> list[Tensor | None]:
    """Gradients of the inputs numbered in `needed`, added up over the blocks; None for the others."""
    names = list(blocked.tensors())
    totals = [torch.zeros_like(tensor) if i in needed else None for i, tensor in enumerate(inputs)]
    for rows in blocked.blocks():
        leaves = [block_slice(name, inputs[i], rows).detach() for i, name in enumerate(names)]
        for i, leaf in enumerate(leaves):
            leaf.requires_grad_(i in needed)
        sources = [*leaves, *blocked.parameters()]
        with torch.enable_grad():
            block = blocked.attend(rows, dict(zip(names, leaves, strict=True)))
        made, directions = _with_upstream(blocked, rows, block, upstream)
        parts = torch.autograd.grad(
            made, [sources[i] for i in needed], directions, allow_unused=True
        )
        for i, part in zip(needed, parts, strict=True):
            total = totals[i]
            if total is not None and part is not None:
                (block_slice(names[i], total, rows) if i < len(names) else total).add_(part)
    return totals


def _differentiable_gradients(
    blocked: BlockedCall, inputs: tuple[Tensor, ...], needed: list[int], upstream: Attended
) -> list[Tensor | None]:
    """The same gradients, of all blocks at once, so that they can be differentiated."""
    names = list(blocked.tensors())
    inputs = (*(alias_for_grad(tensor) for tensor in inputs[: len(names)]), *inputs[len(names) :])
    made: list[Tensor] = []
    directions: list[Tensor] = []
    for rows in blocked.blocks():
        parts = {name: block_slice(name, inputs[i], rows) for i, name in enumerate(names)}
        results, gradients = _with_upstream(blocked, rows, blocked.attend(rows, parts), upstream)
        made += results
        directions += gradients
    sources = [*inputs[: len(names)], *blocked.parameters()]
    found = torch.autograd.grad(
        made, [sources[i] for i in needed], directions, create_graph=True, allow_unused=True
    )
    by_index = dict(zip(needed, found, strict=True))
    return [by_index.get(i) for i in range(len(inputs))]


def _with_upstream(
    blocked: BlockedCall, rows: Rows, block: Attended, upstream: Attended
) -> tuple[list[Tensor], list[Tensor]]:
    """The results of a block that have an upstream gradient, and those gradients."""
    made, directions = [], []
    if upstream.output is not None:
        made.append(block.output)
        directions.append(upstream.output[..., rows.start : rows.stop, :])
    if upstream.weights is not None and block.weights is not None:
        made.append(block.weights)
        directions.append(blocked.weights_view(upstream.weights, rows))
    return made, directions


def block_slice(name: str, tensor: Tensor, rows: Rows) -> Tensor:
    """The part of query, key, value or bias that a block reads: a view."""
    if name == "bias":
        return rows.of_pairs(tensor)
    if name == "query":
        return tensor[..., rows.start : rows.stop, :]
    return tensor[..., rows.key_start : rows.key_stop, :]


def by_distance(weights: Tensor, band: Band, rows: Rows) -> Tensor:
    """Weights (..., rows, keys) of a block as (..., rows, window): one column a distance, zero without a key."""
    before = rows.key_start - (rows.start - band.left)
    after = rows.stop + band.right - rows.key_stop
    # Viewed with one column more than it has, each row moves one column to the left of the row above.
    flat = F.pad(weights, (before, after)).flatten(-2)
    count, width = rows.stop - rows.start, flat.shape[-1] // (rows.stop - rows.start)
    longer = F.pad(flat, (0, count))
    return longer.view(*longer.shape[:-1], count, width + 1)[..., : band.width]


def block_rows(call: Call, band: Band) -> int:
    """Number of queries in a block."""
    # Bytes of the scores of one query in every head, times hidden where an additive pair is spread out.
    row = (
        held_bytes(call)
        // max(1, call.num_queries * call.num_keys)
        * min(band.width, call.num_keys)
    )
    heads = max(1, call.lead_size)
    return max(1, min(math.isqrt(CALL_CELLS // heads), BLOCK_BYTES // max(row, 1)))


@dataclass(frozen=True, eq=False)
class RandomState:
    """State of the random generators before dropout, so that a recomputed block drops the same weights."""

    cpu: Tensor | None
    devices: list[int]
    states: list[Tensor]

    @classmethod
    def now(cls, call: Call) -> RandomState:
        """The present state; empty without dropout."""
        if not call.dropout_p:
            return cls(None, [], [])
        return cls(torch.get_rng_state(), *get_device_states(call.query))

    @contextmanager
    def again(self) -> Iterator[None]:
        """Set this state inside the block, and restore the present one after it."""
        if self.cpu is None:
            yield
            return
        with torch.random.fork_rng(self.devices):
            torch.set_rng_state(self.cpu)
            set_device_states(self.devices, self.states)
            yield
