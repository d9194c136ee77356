"""What a backend is: it says whether it serves a call, what that keeps, and runs it."""

from __future__ import annotations

import abc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from heedful.ops.call import Attended, Call
from heedful.ops.jit.processor import has_wide_vectors

WHOLE_BYTES = 64 * 2**20
"""What a backend may hold at one time where another holds less: below this it fits comfortably in memory."""
MASK_SECONDS = 35e-6
"""Seconds to build the mask of all pairs, however few, and to look for what is not finite behind it; with gradients
twice that."""
DROPOUT_CELL = 4.5e-9
"""Seconds to draw the random number of a weight and to apply it."""
LARGE_BYTES, LARGE_CELL = 8 * 2**20, 2.5e-9
"""Scores of more bytes leave the outer cache between the operations on all of them: seconds more for each."""


@dataclass(frozen=True)
class Cost:
    """What a backend's work takes: seconds of one thread, measured as docs/attention.md tells, float32.

    Only the ratios between backends matter, and only to choose among them; on an accelerator nothing but the order
    that they put the backends in is meant.
    """

    call: float
    """A forward call, however small."""
    backward_call: float
    """A backward call, however small."""
    multiply_add: float
    """A multiply-add: one feature of a pair, or one feature of a value mixed in."""
    cell: float
    """A score's mask and softmax; another normalizer brings `cell_seconds` of its own on top."""
    transcendental: float
    """One hidden feature of an additive pair."""
    backward: float
    """How many times as long as the forward pass the backward pass takes, recomputing included."""


def for_vectors(*, wide: Cost, narrow: Cost) -> Cost:
    """The constants for this processor: `wide` with AVX-512, `narrow` with AVX2 or less."""
    return wide if has_wide_vectors() else narrow


class Backend(abc.ABC):
    """One way to compute attention. All give the same result where they serve.

    Whether and how a backend serves a call follows from the call's signature alone (`heedful.ops.signature`): shapes,
    strides, dtypes, devices, gradient mode and the settings of score, mask, bias and normalizer. So `supports`,
    `seconds`, `bytes_at_once` and `bind` are asked once for a signature. Numbers are read in `run` alone, which falls
    back to plain mathematics where they are not what the backend can compute with.
    """

    name: ClassVar[str]
    why: ClassVar[str]
    """In a few words, what choosing it buys."""
    cost: ClassVar[Cost]
    """Measured constants."""
    mask_seconds: ClassVar[float] = MASK_SECONDS
    length_rank: ClassVar[int]
    """Where lengths are unknown (torch.export), of those that serve the one with the lowest rank is taken: those whose
    time and memory grow least with length have the lowest."""

    @abc.abstractmethod
    def supports(self, call: Call) -> str | None:
        """None where the backend serves the call exactly, else the reason why not."""

    def is_fused(self, call: Call) -> bool:
        """Whether it serves the call without ever building queries × keys or computing anything twice."""
        return False

    def seconds(self, call: Call) -> float:
        """Seconds the call is expected to take, forward and, where a gradient is wanted, backward."""
        masked = 0.0
        if call.is_masked:
            masked = self.mask_seconds + call.cells * self.mask_cell_seconds(call) / threads()
            masked *= 2 if call.needs_gradient else 1
        large = call.cells * LARGE_CELL if self.bytes_at_once(call) > LARGE_BYTES else 0.0
        return self.seconds_for(call, self.cells(call)) + masked + large

    def mask_cell_seconds(self, call: Call) -> float:
        """Seconds that a mask costs for each score."""
        return call.normalizer.mask_cell_seconds

    def cells(self, call: Call) -> int:
        """The query-key pairs that it computes: all, unless it passes some by (outside a band, between edges)."""
        return call.cells

    def seconds_for(self, call: Call, cells: int) -> float:
        """`cost` applied to so many query-key pairs."""
        cost = self.cost_of(call)
        pair = call.pair_features * (
            cost.multiply_add if call.score.pair_kind == "dot" else cost.transcendental
        )
        cell = (
            pair
            + call.value_features * cost.multiply_add
            + cost.cell
            + call.normalizer.cell_seconds
        )
        if call.dropout_p:
            cell += DROPOUT_CELL
        work = cells * cell / threads()
        if call.needs_gradient:
            backward = cost.backward * call.normalizer.backward_factor
            return cost.call + cost.backward_call + work * (1 + backward)
        return cost.call + work

    def cost_of(self, call: Call) -> Cost:
        """The constants for a call like this: `cost`, unless some calls go another way."""
        return self.cost

    def bytes_at_once(self, call: Call) -> int:
        """Bytes, beyond inputs and output, that it holds at one time: all scores unless it says otherwise."""
        return score_bytes(call)

    @abc.abstractmethod
    def bytes_kept(self, call: Call) -> int:
        """Bytes kept for the backward pass (0 where none will come)."""

    @abc.abstractmethod
    def run(self, call: Call) -> Attended:
        """Compute a call that `supports` accepted, with its weights where `call.return_weights`."""

    def bind(self, call: Call) -> Callable[[Call], Attended]:
        """What `run` does for all calls of the signature of `call`, with all that is static worked out beforehand."""
        return self.run


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A block in which autocast changes no dtype: the inputs are in the precision they are wanted in."""
    if device.type == "meta" or not torch.is_autocast_enabled(device.type):
        # Switching off what is not on takes longer than a small product.
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def threads() -> int:
    """How many threads share the work, as far as can be told: torch.compile cannot trace the question."""
    return 1 if torch.compiler.is_compiling() else torch.get_num_threads()


def wide_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which sums and normalizing run: float32 or wider."""
    return torch.promote_types(dtype, torch.float32)


def score_bytes(call: Call) -> int:
    """Bytes of all scores of a call, times features where a pair that is no inner product spreads them out."""
    # A pair of somebody's own may spread its features out, as the additive one does.
    pair = 1 if call.score.pair_kind == "dot" else call.pair_features
    return call.cells * pair * wide_dtype(call.query.dtype).itemsize


def tensor_bytes(*tensors: Tensor) -> int:
    """Bytes the elements of these tensors take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
