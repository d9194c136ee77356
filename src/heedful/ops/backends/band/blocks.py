"""Any windowed attention, a block of queries with its window of keys at a time, computed again in the backward pass."""

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

from heedful.ops.backends.band.layout import Band
from heedful.ops.backends.chunked import held_bytes
from heedful.ops.backends.reference import Operands, attend_rows
from heedful.ops.call import Attended, Call
from heedful.ops.cells import Cells
from heedful.ops.double_backward import alias_for_grad
from heedful.ops.positions import PositionBias
from heedful.ops.rows import Rows

# A block of n rows of h heads costs about as much as CALL_CELLS cells beside its h · n · (n + window) cells: least for
# each row where n is the root of CALL_CELLS / h, whatever the window.
CALL_CELLS = 2**16
BLOCK_BYTES = 4 * 2**20


Weights = Literal["none", "dense", "band"]


@dataclass(frozen=True, eq=False)
class Job:
    """What is computed by blocks: operands made ready, and which weights are wanted beside the output."""

    operands: Operands
    band: Band
    weights: Weights
    """ "dense" is (*lead, query, key), "band" (*lead, query, window)."""

    @property
    def call(self) -> Call:
        return self.operands.call

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are cut into blocks, by name."""
        held = {name: getattr(self.operands, name) for name in ("query", "key", "value")}
        if isinstance(self.call.bias, Tensor):
            held["bias"] = self.call.bias
        return held

    def parameters(self) -> list[Tensor]:
        """The tensors that every block sees whole and that want a gradient."""
        call = self.call
        held = [*call.score.tensors(), *call.normalizer.tensors()]
        if isinstance(call.bias, PositionBias):
            held += call.bias.tensors()
        return [tensor for tensor in held if tensor.requires_grad]

    def blocks(self) -> Iterator[Rows]:
        """The band's cells as rectangles: some rows, and the keys that any of them may see."""
        seeing, size = self.band.seeing, block_rows(self.call, self.band)
        for start in range(seeing.start, seeing.stop, size):
            stop = min(start + size, seeing.stop)
            yield self.call.rows.block(start, stop).narrow(*self.band.keys(start, stop))

    def attend(self, rows: Rows, parts: dict[str, Tensor]) -> Attended:
        """Output and weights of one block from its parts of `tensors`."""
        whole = self.operands
        call, bad_key = whole.call, whole.bad_key
        part = replace(
            whole,
            call=replace(call, bias=Tile(parts["bias"])) if "bias" in parts else call,
            query=parts["query"],
            key=parts["key"],
            value=parts["value"],
            bad_key=None if bad_key is None else bad_key[..., rows.key_start : rows.key_stop],
        )
        block = attend_rows(part, rows, part.query, self.weights != "none")
        if block.weights is None or self.weights == "dense":
            return block
        return Attended(block.output, skewed(block.weights, self.band, rows))

    def place(self, weights: Tensor, rows: Rows) -> Tensor:
        """Where the weights of a block belong among all weights: a view."""
        weights = weights[..., rows.start : rows.stop, :]
        return weights if self.weights == "band" else weights[..., rows.key_start : rows.key_stop]

    def empty(self) -> Attended:
        """Zeros for the output and the weights that are wanted."""
        call = self.call
        new, rows = call.query.new_zeros, (*call.lead, call.num_queries)
        columns = self.band.width if self.weights == "band" else call.num_keys
        weights = None if self.weights == "none" else new(*rows, columns)
        return Attended(new(*rows, call.value.shape[-1]), weights)


@dataclass(frozen=True, eq=False)
class Tile(PositionBias):
    """The part of a tensor bias for the block that is being computed."""

    part: Tensor
    query_start: int = 0

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.part,)

    def at(self, cells: Cells) -> Tensor:
        return self.part


def attend_blocks(job: Job) -> Attended:
    """Attend block by block. Kept for the backward pass are the operands alone."""
    tensors = job.tensors()
    output, weights = BandBlocks.apply(  # type: ignore[no-untyped-call]
        job, *tensors.values(), *job.parameters()
    )
    return Attended(output, weights)


class BandBlocks(torch.autograd.Function):
    """Job, then its tensors and parameters, in; output and weights (or None) out."""

    @staticmethod
    def forward(ctx: Any, job: Job, *inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        ctx.job, ctx.random = job, RandomState.now(job.call)
        ctx.save_for_backward(*inputs)
        ctx.set_materialize_grads(False)
        tensors = dict(zip(job.tensors(), inputs, strict=False))
        output, weights = job.empty()
        for rows in job.blocks():
            block = job.attend(rows, {name: cut(name, tensors[name], rows) for name in tensors})
            output[..., rows.start : rows.stop, :] = block.output
            if weights is not None and block.weights is not None:
                job.place(weights, rows).copy_(block.weights)
        return output, weights

    @staticmethod
    def backward(
        ctx: Any, to_output: Tensor | None, to_weights: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        job, inputs = ctx.job, ctx.saved_tensors
        wanted = [i for i, needed in enumerate(ctx.needs_input_grad[1:]) if needed]
        # Where the gradient shall be differentiated again, autograd keeps what it needs for that of every block.
        gradients = _all_at_once if torch.is_grad_enabled() else _one_by_one
        with ctx.random.again():
            found = gradients(job, inputs, wanted, Attended(to_output, to_weights))  # type: ignore[arg-type]
        return (None, *found)


def _one_by_one(
    job: Job, inputs: tuple[Tensor, ...], wanted: list[int], gradient: Attended
) -> list[Tensor | None]:
    names = list(job.tensors())
    totals = [torch.zeros_like(tensor) if i in wanted else None for i, tensor in enumerate(inputs)]
    for rows in job.blocks():
        leaves = [cut(name, inputs[i], rows).detach() for i, name in enumerate(names)]
        for i, leaf in enumerate(leaves):
            leaf.requires_grad_(i in wanted)
        held = [*leaves, *job.parameters()]
        with torch.enable_grad():
            block = job.attend(rows, dict(zip(names, leaves, strict=True)))
        made, directions = _directions(job, rows, block, gradient)
        parts = torch.autograd.grad(made, [held[i] for i in wanted], directions, allow_unused=True)
        for i, part in zip(wanted, parts, strict=True):
            total = totals[i]
            if total is not None and part is not None:
                (cut(names[i], total, rows) if i < len(names) else total).add_(part)
    return totals


def _all_at_once(
    job: Job, inputs: tuple[Tensor, ...], wanted: list[int], gradient: Attended
) -> list[Tensor | None]:
    names = list(job.tensors())
    inputs = (*(alias_for_grad(tensor) for tensor in inputs[: len(names)]), *inputs[len(names) :])
    made: list[Tensor] = []
    directions: list[Tensor] = []
    for rows in job.blocks():
        parts = {name: cut(name, inputs[i], rows) for i, name in enumerate(names)}
        for results, given in zip(
            (made, directions),
            _directions(job, rows, job.attend(rows, parts), gradient),
            strict=True,
        ):
            results += given
    held = [*inputs[: len(names)], *job.parameters()]
    found = torch.autograd.grad(
        made, [held[i] for i in wanted], directions, create_graph=True, allow_unused=True
    )
    by_place = dict(zip(wanted, found, strict=True))
    return [by_place.get(i) for i in range(len(inputs))]


def _directions(
    job: Job, rows: Rows, block: Attended, gradient: Attended
) -> tuple[list[Tensor], list[Tensor]]:
    """What a block made that a gradient came back for, and that gradient."""
    made, directions = [], []
    if gradient.output is not None:
        made.append(block.output)
        directions.append(gradient.output[..., rows.start : rows.stop, :])
    if gradient.weights is not None and block.weights is not None:
        made.append(block.weights)
        directions.append(job.place(gradient.weights, rows))
    return made, directions


def cut(name: str, tensor: Tensor, rows: Rows) -> Tensor:
    """The part of query, key, value or bias that a block needs: a view."""
    if name == "bias":
        return rows.of_pairs(tensor)
    if name == "query":
        return tensor[..., rows.start : rows.stop, :]
    return tensor[..., rows.key_start : rows.key_stop, :]


def skewed(weights: Tensor, band: Band, rows: Rows) -> Tensor:
    """Weights (..., rows, keys) of a block by distance: (..., rows, window), zero where there is no key."""
    before = rows.key_start - (rows.start - band.left)
    after = rows.stop + band.right - rows.key_stop
    # A row shorter than it is stored moves one place to the left in every row.
    flat = F.pad(weights, (before, after)).flatten(-2)
    count, width = rows.stop - rows.start, flat.shape[-1] // (rows.stop - rows.start)
    longer = F.pad(flat, (0, count))
    return longer.view(*longer.shape[:-1], count, width + 1)[..., : band.width]


def block_rows(call: Call, band: Band) -> int:
    """How many queries a block holds."""
    # All scores of a row of every head, times hidden where the pair spreads it out.
    row = held_bytes(call) // (call.num_queries * call.num_keys) * min(band.width, call.num_keys)
    heads = max(1, call.lead_size)
    return max(1, min(math.isqrt(CALL_CELLS // heads), BLOCK_BYTES // max(row, 1)))


@dataclass(frozen=True, eq=False)
class RandomState:
    """Where the random numbers of dropout started, so that a block computed again drops the same weights."""

    cpu: Tensor | None
    devices: list[int]
    states: list[Tensor]

    @classmethod
    def now(cls, call: Call) -> RandomState:
        if not call.dropout_p:
            return cls(None, [], [])
        return cls(torch.get_rng_state(), *get_device_states(call.query))

    @contextmanager
    def again(self) -> Iterator[None]:
        """A block in which the same random numbers come again, and after which the others go on."""
        if self.cpu is None:
            yield
            return
        with torch.random.fork_rng(self.devices):
            torch.set_rng_state(self.cpu)
            set_device_states(self.devices, self.states)
            yield
