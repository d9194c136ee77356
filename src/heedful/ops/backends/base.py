"""The interface of backends, and the cost model by which one is chosen."""

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
from heedful.ops.scores.base import PRODUCT_KINDS

WHOLE_BYTES = 64 * 2**20
"""Limit of the temporary memory of a call: a backend above it is chosen only if every other one is above it too."""
MASK_SECONDS = 35e-6
"""Fixed cost of a mask in seconds: building it and checking the inputs for NaN and infinity. Twice that with
gradients."""
DROPOUT_CELL = 4.5e-9
"""Seconds of dropout for one weight: drawing and applying a random number."""
CAP_CELL = 1e-9
"""Seconds of the soft cap of one score."""
LARGE_BYTES, LARGE_CELL = 8 * 2**20, 2.5e-9
"""Scores of more bytes exceed the last-level cache between operations, which costs `LARGE_CELL` seconds a score."""

CACHED_BYTES, READ_BYTE = 2 * 2**20, 0.035e-9
"""Keys and values of more bytes come from the outer caches or from memory, which takes `READ_BYTE` seconds a byte. It
shows where few queries meet each key."""
FEW_QUERIES, READ_NUMBER = 16, 0.04e-9
"""Below so many queries a product with keys or values takes the time of reading them, seconds a number."""
COPY_BYTE, FRESH_BYTE = 0.05e-9, 0.5e-9
"""Seconds to copy a byte within the caches, and into more than `LARGE_BYTES`, which the system fills with zeros."""


@dataclass(frozen=True)
class Cost:
    """Cost model of a backend: seconds of one thread in float32, measured as described in docs/attention.md.

    Only the ratios between backends matter, to choose among them. On an accelerator only the resulting order of the
    backends is meaningful.
    """

    call: float
    """Fixed cost of a forward call."""
    backward_call: float
    """Fixed cost of a backward call."""
    multiply_add: float
    """One multiply-add: a feature of a pair, or a feature of a value in weights · values."""
    cell: float
    """Mask and softmax of one score. Other normalizers add their own `cell_seconds`."""
    transcendental: float
    """One hidden feature of an additive pair."""
    backward: float
    """Time of the backward pass, with recomputation, relative to the forward pass."""
    head: float = 0.0
    """Fixed cost of the queries and keys of one head of one example."""


def for_vectors(*, wide: Cost, narrow: Cost) -> Cost:
    """Cost model of this processor: `wide` with AVX-512, `narrow` with AVX2 or less."""
    return wide if has_wide_vectors() else narrow


class Backend(abc.ABC):
    """An algorithm for attention. All backends that support a call give the same result.

    Support and cost depend only on the signature of a call (`heedful.ops.signature`): shapes, strides, dtypes, devices,
    gradient mode and the settings of score, mask, bias and normalizer. `supports`, `seconds`, `bytes_at_once` and
    `bind` therefore run once per signature. Only `run` reads tensor contents. It falls back to plain mathematics if
    the backend cannot handle them, for example NaN behind a mask.
    """

    name: ClassVar[str]
    why: ClassVar[str]
    """The reason to choose it, as shown by `heedful.plan`."""
    cost: ClassVar[Cost]
    """The measured cost model."""
    mask_seconds: ClassVar[float] = MASK_SECONDS
    length_rank: ClassVar[int]
    """Order of preference if lengths are unknown (torch.export): the supporting backend of lowest rank is taken.

    Backends whose time and memory grow least with length have the lowest ranks.
    """

    @abc.abstractmethod
    def supports(self, call: Call) -> str | None:
        """Return None if the backend supports the call, otherwise the reason why not."""

    def is_fused(self, call: Call) -> bool:
        """Whether the backend never builds a matrix of queries × keys and recomputes nothing."""
        return False

    def seconds(self, call: Call) -> float:
        """Estimated seconds of the call: forward and, if a gradient is needed, backward."""
        masked = 0.0
        if call.is_masked:
            masked = self.mask_seconds + call.cells * self.mask_cell_seconds(call) / threads()
            masked *= 2 if call.needs_gradient else 1
        large = call.cells * LARGE_CELL if self.bytes_at_once(call) > LARGE_BYTES else 0.0
        return self.seconds_for(call, self.cells(call)) + masked + large

    def mask_cell_seconds(self, call: Call) -> float:
        """Seconds of masking for one score."""
        return call.normalizer.mask_cell_seconds

    def dropout_cell_seconds(self, call: Call) -> float:
        """Seconds of dropout for one weight."""
        return DROPOUT_CELL

    def cells(self, call: Call) -> int:
        """Number of query-key pairs computed: all, unless the backend skips some (outside a band, without an edge)."""
        return call.cells

    def seconds_for(self, call: Call, cells: int) -> float:
        """Estimated seconds of `cells` query-key pairs without a mask."""
        cost = self.cost_of(call)
        pair = call.pair_features * (
            cost.multiply_add if call.score.pair_kind in PRODUCT_KINDS else cost.transcendental
        )
        cell = (
            pair
            + call.value_features * cost.multiply_add
            + cost.cell
            + call.normalizer.cell_seconds
        )
        if call.score.pair_kind == "capped_dot":
            cell += CAP_CELL
        if call.dropout_p:
            cell += self.dropout_cell_seconds(call)
        work = (cells * cell + call.lead_size * cost.head) / threads()
        if call.needs_gradient:
            backward = cost.backward * call.normalizer.backward_factor
            return cost.call + cost.backward_call + work * (1 + backward)
        return cost.call + work

    def cost_of(self, call: Call) -> Cost:
        """The cost model of this call: `cost`, unless the backend has several code paths."""
        return self.cost

    def bytes_at_once(self, call: Call) -> int:
        """Peak bytes of temporaries, beyond inputs and output; by default those of all scores."""
        return score_bytes(call)

    @abc.abstractmethod
    def bytes_kept(self, call: Call) -> int:
        """Bytes saved for the backward pass; 0 if no gradient is needed."""

    @abc.abstractmethod
    def run(self, call: Call) -> Attended:
        """Compute a supported call, with its weights if `call.return_weights`."""

    def bind(self, call: Call) -> Callable[[Call], Attended]:
        """Return `run` specialised to the signature of `call`, with everything static computed beforehand."""
        return self.run


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Context that disables autocast: the inputs are already in the right dtype."""
    if device.type == "meta" or not torch.is_autocast_enabled(device.type):
        # Entering torch.autocast takes longer than a small matrix product.
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def threads() -> int:
    """Number of threads for cost estimates; 1 under torch.compile, which cannot trace `get_num_threads`."""
    return 1 if torch.compiler.is_compiling() else torch.get_num_threads()


def read_seconds(size: int) -> float:
    """Seconds of reading so many bytes beyond those that the caches hold."""
    return max(0, size - CACHED_BYTES) * READ_BYTE


def key_seconds(call: Call) -> float:
    """Seconds in which plain products read keys and values, where queries are too few to hide it."""
    if call.num_queries >= FEW_QUERIES:
        return 0.0
    numbers = call.lead_size * call.num_keys * (call.pair_features + call.value_features)
    size = numbers * wide_dtype(call.query.dtype).itemsize
    return (numbers * READ_NUMBER + read_seconds(size)) / threads()


def copy_seconds(size: int) -> float:
    """Seconds of copies of so many bytes."""
    return size * (FRESH_BYTE if size > LARGE_BYTES else COPY_BYTE)


def copied_bytes(call: Call) -> int:
    """Bytes of keys and values that plain mathematics copies: those in half precision, and those that heads share."""
    wide = wide_dtype(call.query.dtype)
    if call.groups == 1 and call.query.dtype == wide:
        return 0
    numbers = call.lead_size * call.num_keys * (call.pair_features + call.value_features)
    return numbers * wide.itemsize


def wide_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of sums and normalizing: float32 or wider."""
    return torch.promote_types(dtype, torch.float32)


def score_bytes(call: Call) -> int:
    """Bytes of all scores of a call, times the number of features if the pair is not an inner product."""
    # A custom pair may build an intermediate (query, key, features), as the additive pair does.
    pair = 1 if call.score.pair_kind in PRODUCT_KINDS else call.pair_features
    return call.cells * pair * wide_dtype(call.query.dtype).itemsize


def tensor_bytes(*tensors: Tensor) -> int:
    """Bytes of the elements of these tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
