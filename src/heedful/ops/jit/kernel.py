"""Compile kernels on first use and launch them on PyTorch's threads.

A kernel takes one pointer, to a block of 8-byte words: the counter of the next part, the number of parts, the failed
part, then one word per scalar, and per tensor its address, its sizes and, if it is not contiguous, its strides. Filling
a block takes a third of the time of creating NumPy arrays, and PyTorch's thread pool passes on a single pointer.
"""

from __future__ import annotations

import ctypes
import logging
import struct
import threading
from array import array
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, overload

import torch
from torch import Tensor

from heedful.ops.constant import assume_constant_result
from heedful.ops.jit.cache import has_entries, loaded, may_be_disabled, save
from heedful.ops.jit.linking import linked
from heedful.ops.jit.source import KEEPS_NAN, Compiled, Provided, signature_text
from heedful.ops.jit.threads import hold_during_fork, share

Argument = Tensor | int | float | bool | None

# Least work per part: waking a sleeping thread costs a good part of this.
NANOSECONDS_A_PART = 25_000.0
# Shorter kernels run without releasing the GIL: releasing and reacquiring it takes longer.
NANOSECONDS_UNDER_LOCK = 20_000.0

_COUNTERS = 3  # next part, parts, failed part + 1

logger = logging.getLogger(__name__)
"""Says at level INFO which kernel is compiled."""

_compile_lock = hold_during_fork(threading.RLock())
_seconds: dict[str, float] = {}
_unavailable_reason: list[str | None] = []


def unavailable() -> str | None:
    """Return None if compiled kernels can run in this process, else the reason why they cannot.

    The first call imports Numba, unless the disk cache holds kernels for the installed versions and this processor.
    """
    if not _unavailable_reason:
        _unavailable_reason.append(_find_reason())
    return _unavailable_reason[0]


def _find_reason() -> str | None:
    if not may_be_disabled() and has_entries():
        return None
    try:
        from heedful.ops.jit.numba_entry import disabled
    except Exception as error:  # a broken installation can raise anything; the reason quotes it
        return f"Numba cannot be imported ({type(error).__name__}: {error})"
    return disabled()


# torch.compile evaluates this while tracing and treats the result as a constant.
assume_constant_result(unavailable)


class Entry:
    """A kernel compiled for given argument types: its address and the layout of its argument block."""

    def __init__(self, address: int, words: str) -> None:
        self.address = address
        self.pack_into = struct.Struct("q" * _COUNTERS + words).pack_into
        self.size = _COUNTERS + len(words)
        self.call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
        self.call_under_lock = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(address)
        self.blocks: list[tuple[array[int], int]] = []

    def block(self) -> tuple[array[int], int]:
        """Take a free argument block, or allocate one, and return it with its address."""
        try:
            return self.blocks.pop()
        except IndexError:
            words = array("q", bytes(8 * self.size))
            return words, words.buffer_info()[0]


@overload
def kernel(function: Callable[..., None]) -> Compiled: ...
@overload
def kernel(
    *, fastmath: frozenset[str] = KEEPS_NAN, no_refcount: bool = False, halves: bool = False
) -> Callable[[Callable[..., None]], Compiled]: ...
def kernel(
    function: Callable[..., None] | None = None,
    *,
    fastmath: frozenset[str] = KEEPS_NAN,
    no_refcount: bool = False,
    halves: bool = False,
) -> Compiled | Callable[[Callable[..., None]], Compiled]:
    """Mark `f(part, parts, *arrays_and_scalars)` as a kernel, compiled by its first `launch`.

    The function computes share `part` of `parts` of the work and returns nothing. Contiguous tensors arrive as
    C-contiguous arrays and others as strided arrays; an argument may be None. Division by zero gives infinity.

    Args:
        function: the kernel; omitted when the decorator is called with options.
        fastmath: LLVM's fast-math flags. The default allows sums to be reordered and keeps NaN and infinity exact.
        no_refcount: the kernel allocates no array, so reference counting of views is left out. Counting would otherwise
            take most of the time of an inner loop.
        halves: the kernel reads numbers of 16 bits by `heedful.ops.jit.halves`; others would take them for integers.
    """
    if function is None:
        return lambda given: Compiled(given, fastmath, False, no_refcount, halves)
    return Compiled(function, fastmath, False, no_refcount, halves)


@overload
def inlined(function: Callable[..., Any]) -> Compiled: ...
@overload
def inlined(
    *, fastmath: frozenset[str] = KEEPS_NAN, no_refcount: bool = False
) -> Callable[[Callable[..., Any]], Compiled]: ...
def inlined(
    function: Callable[..., Any] | None = None,
    *,
    fastmath: frozenset[str] = KEEPS_NAN,
    no_refcount: bool = False,
) -> Compiled | Callable[[Callable[..., Any]], Compiled]:
    """Mark a helper function that is inlined into the kernels that call it; options as for `kernel`."""
    if function is None:
        return lambda given: Compiled(given, fastmath, True, no_refcount)
    return Compiled(function, fastmath, True, no_refcount)


dense = Provided("dense")
"""In a kernel: `dense(a[i])` declares a view of one axis contiguous, so that loops over it are vectorized. The caller
has checked `stride(-1) == 1`."""

prefetch = Provided("prefetch")
"""In a kernel: `prefetch(array, index)` prefetches the cache line of an element of a contiguous 1-D array. For rows
scattered in memory, where a loop would otherwise stall on every cache miss."""

offset_view = Provided("offset_view")
"""In a kernel: `offset_view(array, begin)` is a view of a contiguous 1-D array from element `begin` on, without bounds
checks, at the cost of one addition. A slice would clamp its bounds, and an index that may be negative prevents
vectorization. The view's length is that of the original array and must not be used; the caller stays in bounds."""

load, store, splat = Provided("load"), Provided("store"), Provided("splat")
"""In a kernel: SIMD vectors of 16 lanes. `load(array, begin)` reads one from a contiguous 1-D array, `store(array,
begin, lanes)` writes one, `splat(number)` broadcasts a scalar to all lanes. Vectors support + - * / with vectors and
scalars. For loops whose accumulators must stay in registers, which LLVM's vectorizer does not achieve."""
reduce_sum, reduce_max = Provided("reduce_sum"), Provided("reduce_max")
"""In a kernel: horizontal reductions of a vector to a scalar, by sum and by maximum; the maximum ignores NaN."""
select_positive = Provided("select_positive")
"""In a kernel: `select_positive(x, a, b)` selects per lane a where x > 0, else b; a and b are vectors or scalars."""
keep_lanes = Provided("keep_lanes")
"""In a kernel: `keep_lanes(x, bits)` is x where the bit of a lane is set in the integer, else minus infinity."""
random_word, drop_lanes = Provided("random_word"), Provided("drop_lanes")
"""In a kernel: `random_word(seed, position, limit)` is 32 random bits that follow from seed and position, each 0 with
probability limit / 2³²; `drop_lanes(x, bits)` is x where the bit of a lane is set, else 0."""

product_tile, product_row = Provided("product_tile"), Provided("product_row")
"""In a kernel: `product_tile(left, right, result, depth, count, fresh)` computes a register tile of a matrix product,
`count` (at most 8) rows of 32 columns with inner size `depth`, and `product_row` one row of 64 columns. `fresh` writes
the result, otherwise it is accumulated. Each matrix is a tuple (1-D array, offset, row stride), and `left` has its
column stride as a fourth item."""
product_4x64, product_8x16 = Provided("product_4x64"), Provided("product_8x16")
"""In a kernel: `product_tile` for other numbers of rows and columns."""
dots_1, dots_4, dots_8 = Provided("dots_1"), Provided("dots_4"), Provided("dots_8")
"""In a kernel: `dots_4(source, queries, result, features, count)` computes sixteen inner products of 4 queries with 4
of `count` rows of `source`, both as they lie in memory: `heedful.ops.jit.dots`."""
transpose_block = Provided("transpose_block")
"""In a kernel: `transpose_block(source, begin, stride, target, to, to_stride)` transposes a 16 x 16 block. `begin` and
`to` are offsets, `stride` and `to_stride` row strides."""
maximum = Provided("maximum")
"""In a kernel: the maximum of two vectors per lane."""
exp_or_zero, exp_below_one = Provided("exp_or_zero"), Provided("exp_below_one")
"""In a kernel: e^x per lane, flushed to exactly 0 below the smallest normal number. `exp_below_one` is a little faster,
for x up to 0 (and a few rounding errors more)."""


def parts_for(work: float) -> int:
    """Return into how many parts `launch` splits work that takes this many nanoseconds on one thread."""
    if work < 2 * NANOSECONDS_A_PART:
        return 1
    return max(1, min(torch.get_num_threads(), int(work / NANOSECONDS_A_PART)))


def launch(kernel: Compiled, *arguments: Argument, work: float, parts: int | None = None) -> None:
    """Run all parts of a kernel and wait for them.

    Args:
        kernel: a function decorated with `kernel`.
        arguments: its arguments after `part` and `parts`: CPU tensors, whose memory is shared, scalars and None.
            Tensors may require a gradient, but none is recorded.
        work: estimated nanoseconds on one thread.
        parts: the number of parts, if the caller has allocated memory for each; `parts_for(work)` by default.

    Raises:
        TypeError: an argument is neither a CPU tensor of a supported dtype nor a scalar.
        Exception: any exception raised in a part.
    """
    key: list[object] = []
    words: list[float] = [0, parts_for(work) if parts is None else parts, 0]
    for argument in arguments:
        if isinstance(argument, Tensor):
            shape = argument.shape
            contiguous = argument.is_contiguous()
            key += (argument.dtype, len(shape), contiguous, argument.is_cpu)
            words.append(argument.data_ptr())
            words += shape
            if not contiguous:
                words += argument.stride()
        else:
            key.append(type(argument))
            if argument is not None:
                words.append(argument)
    types = tuple(key)
    entry = kernel.entries.get(types)
    if entry is None:
        entry = _compiled_entry(kernel, types, arguments)
    block = entry.block()
    counters, address = block
    entry.pack_into(counters, 0, *words)
    if words[1] > 1:
        share(entry, address, int(words[1]))
    elif work < NANOSECONDS_UNDER_LOCK:
        entry.call_under_lock(address)
    else:
        entry.call(address)
    failed = counters[2]
    entry.blocks.append(block)
    if failed:
        _reraise(kernel, failed - 1, int(words[1]), arguments)


def compile_seconds() -> Mapping[str, float]:
    """Return the seconds spent compiling each kernel, or loading it from disk, in this process so far."""
    return dict(_seconds)


def _compiled_entry(
    kernel: Compiled, types: tuple[object, ...], arguments: tuple[Argument, ...]
) -> Entry:
    """Load a kernel from disk, or compile and save it, once per process and combination of argument types."""
    with _compile_lock:
        entry: Entry | None = kernel.entries.get(types)
        if entry is not None:
            return entry
        start = perf_counter()
        text, words = signature_text(arguments, halves=kernel.halves)
        address = loaded(kernel, text)
        if address is None:
            logger.info("compiling the kernel %s; later runs load it from disk", kernel.name)
            from heedful.ops.jit.numba_entry import compiled

            made = compiled(kernel, text)
            save(kernel, text, made)
            address = linked(made) or made.address
        entry = kernel.entries[types] = Entry(address, words)
        _seconds[kernel.name] = _seconds.get(kernel.name, 0.0) + perf_counter() - start
        return entry


def _reraise(kernel: Compiled, part: int, parts: int, arguments: tuple[Argument, ...]) -> None:
    """Raise the exception of a failed part, by running it again through Numba's dispatcher.

    The compiled entry reports only which part failed, not the exception.
    """
    from heedful.ops.jit.numba_entry import dispatcher

    given = [_as_array(a) if isinstance(a, Tensor) else a for a in arguments]
    dispatcher(kernel, is_called=True)(part, parts, *given)
    raise RuntimeError(
        f"part {part} of {parts} of the kernel {kernel.name} failed, but ran without error when repeated"
    )


def _as_array(tensor: Tensor) -> Any:
    """A tensor as the array that a kernel gets: numbers of 16 bits as integers."""
    integers = {torch.bfloat16: torch.int16, torch.float16: torch.uint16}.get(tensor.dtype)
    return (tensor.detach() if integers is None else tensor.detach().view(integers)).numpy()
