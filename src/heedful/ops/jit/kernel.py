"""Compiles the hot loops on first use, and runs them on as many threads as PyTorch may use.

A kernel is handed one block of 8-byte words: next part, parts, failed part, and for each tensor its address,
sizes and, where it is not contiguous, strides. Filling that takes a third of the time of making NumPy arrays, and one
pointer is what PyTorch's thread pool hands on.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from array import array
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, overload

import torch
from torch import Tensor

from heedful.ops.jit.cache import linked, loaded, save, worked_before
from heedful.ops.jit.source import KEEPS_NAN, Compiled, Provided, signature_text
from heedful.ops.jit.threads import forked_with, share

Argument = Tensor | int | float | bool | None

# A part should hold at least this much work: waking a sleeping thread takes a good part of it.
NANOSECONDS_A_PART = 25_000.0
# A kernel this short keeps the interpreter's lock: to give it away and wait for it takes longer.
NANOSECONDS_UNDER_LOCK = 20_000.0

_COUNTERS = 3  # next part, parts, failed part + 1

_preparing = forked_with(threading.RLock())
_seconds: dict[str, float] = {}
_reason: list[str | None] = []


def unavailable() -> str | None:
    """Return None when compiled kernels can run here, else the reason why not.

    The first call imports Numba, unless kernels compiled by just these versions on this processor are on disk.
    """
    if not _reason:
        _reason.append(_find_reason())
    return _reason[0]


def _find_reason() -> str | None:
    if worked_before():
        return None
    try:
        from heedful.ops.jit.numba_entry import disabled
    except Exception as error:  # a broken installation raises anything; what it was is told
        return f"Numba cannot be imported ({type(error).__name__}: {error})"
    return disabled()


# While tracing it is asked, not traced.
torch.compiler.assume_constant_result(unavailable)


class Entry:
    """A kernel compiled for arguments of given types: what is called, and how its words are laid out."""

    def __init__(self, address: int, words: str) -> None:
        self.address = address
        self.pack_into = struct.Struct("q" * _COUNTERS + words).pack_into
        self.size = _COUNTERS + len(words)
        self.call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
        self.call_under_lock = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(address)
        self.blocks: list[tuple[array[int], int]] = []

    def block(self) -> tuple[array[int], int]:
        """Return words that nobody else uses now, and their address."""
        try:
            return self.blocks.pop()
        except IndexError:
            words = array("q", bytes(8 * self.size))
            return words, words.buffer_info()[0]


@overload
def kernel(function: Callable[..., None]) -> Compiled: ...
@overload
def kernel(
    *, fastmath: frozenset[str] = KEEPS_NAN, borrows: bool = False
) -> Callable[[Callable[..., None]], Compiled]: ...
def kernel(
    function: Callable[..., None] | None = None,
    *,
    fastmath: frozenset[str] = KEEPS_NAN,
    borrows: bool = False,
) -> Compiled | Callable[[Callable[..., None]], Compiled]:
    """Mark `f(part, parts, *arrays_and_scalars)` to be compiled when first run, by `launch`.

    It returns nothing and does the share `part` of `parts` of the work. A tensor that is contiguous is a contiguous
    array to it, any other a strided one; an argument may be None. Division by zero gives infinity. LLVM's `fastmath`
    flags let sums be reordered, while NaN and infinity keep their meaning, unless the author chooses otherwise.
    One that `borrows` makes no array of its own: views are not counted, which would take most of an inner loop.
    """
    if function is None:
        return lambda given: Compiled(given, fastmath, False, borrows)
    return Compiled(function, fastmath, False, borrows)


@overload
def inlined(function: Callable[..., Any]) -> Compiled: ...
@overload
def inlined(
    *, fastmath: frozenset[str] = KEEPS_NAN, borrows: bool = False
) -> Callable[[Callable[..., Any]], Compiled]: ...
def inlined(
    function: Callable[..., Any] | None = None,
    *,
    fastmath: frozenset[str] = KEEPS_NAN,
    borrows: bool = False,
) -> Compiled | Callable[[Callable[..., Any]], Compiled]:
    """Mark a helper that kernels call, compiled into them."""
    if function is None:
        return lambda given: Compiled(given, fastmath, True, borrows)
    return Compiled(function, fastmath, True, borrows)


dense = Provided("dense")
"""In a kernel: `dense(a[i])` tells the compiler that the last axis of a view has no gaps, so that loops over it
use vector instructions. The caller has checked `stride(-1) == 1`."""

prefetch = Provided("prefetch")
"""In a kernel: `prefetch(array, index)` asks for the cache line of an element of a contiguous array of one axis, for
rows that lie anywhere in memory: without it a loop over them waits for each."""

stretch = Provided("stretch")
"""In a kernel: `stretch(array, begin)` is a contiguous array of one axis from its element `begin` on, at the cost of an
addition: a slice clamps its ends, and an index that may be negative keeps a loop from being vectorized. Its length is
that of the whole array and means nothing; the caller stays inside."""

load, store, spread = Provided("load"), Provided("store"), Provided("spread")
"""In a kernel: `load(array, begin)` is 16 numbers of a contiguous array of one axis as one value, for + - * and / with
its like or a number; `store(array, begin, lanes)` writes it, `spread(number)` is one number 16 times. For loops whose
sums must stay in registers, which the compiler cannot be brought to do by itself."""
sum_of, highest_of = Provided("sum_of"), Provided("highest_of")
"""In a kernel: one number of 16; NaN is never the highest."""
where_positive = Provided("where_positive")
"""In a kernel: `where_positive(x, a, b)` takes a where x > 0 and b elsewhere, of lanes; a and b may be numbers."""

limited, floor_of, power_of_two = (
    Provided("limited"),
    Provided("floor_of"),
    Provided("power_of_two"),
)
"""In a kernel: lanes kept between two numbers (NaN stays), rounded down, and 2^n of whole numbers n in float32."""
product_tile, product_row = Provided("product_tile"), Provided("product_row")
"""In a kernel: `product_tile(left, right, result, depth, count, fresh)` writes, or else adds, `count` (at most 8) rows
of 32 columns of a matrix product; `product_row` one row of 64. Each matrix is (array of one axis, where it begins,
distance of rows) and for the left one also the distance of columns."""
turn = Provided("turn")
"""In a kernel: `turn(source, begin, stride, target, place, step)` transposes a square of 16 x 16 numbers."""
higher_of, weight_of = Provided("higher_of"), Provided("weight_of")
"""In a kernel, of lanes: the higher of each two; e^x, exactly 0 where it would fall below the normal numbers."""


def parts_for(work: float) -> int:
    """Return among how many parts `launch` shares work of so many nanoseconds on one thread."""
    if work < 2 * NANOSECONDS_A_PART:
        return 1
    return max(1, min(torch.get_num_threads(), int(work / NANOSECONDS_A_PART)))


def launch(kernel: Compiled, *arguments: Argument, work: float, parts: int | None = None) -> None:
    """Run every part of a kernel on tensors (on the CPU, memory shared) and scalars, and wait for all.

    Args:
        kernel: made by `kernel`.
        arguments: what it takes after `part` and `parts`. Tensors may require a gradient; none is recorded.
        work: nanoseconds that one thread would take, estimated.
        parts: given where the caller has allocated something for each of `parts_for(work)` parts.

    Raises:
        TypeError: an argument that is neither a tensor on the CPU of a dtype with a NumPy equal, nor a scalar.
        Exception: whatever a part raised.
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
        entry = _prepared(kernel, types, arguments)
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
        _raise_again(kernel, failed - 1, int(words[1]), arguments)


def compile_seconds() -> Mapping[str, float]:
    """Return, for each kernel run so far in this process, how long it took to compile it or load it from disk."""
    return dict(_seconds)


def _prepared(
    kernel: Compiled, types: tuple[object, ...], arguments: tuple[Argument, ...]
) -> Entry:
    with _preparing:
        entry: Entry | None = kernel.entries.get(types)
        if entry is not None:
            return entry
        start = perf_counter()
        text, words = signature_text(arguments)
        address = loaded(kernel, text)
        if address is None:
            from heedful.ops.jit.numba_entry import compiled

            made = compiled(kernel, text)
            save(kernel, text, made)
            address = linked(made) or made.address
        entry = kernel.entries[types] = Entry(address, words)
        _seconds[kernel.name] = _seconds.get(kernel.name, 0.0) + perf_counter() - start
        return entry


def _raise_again(kernel: Compiled, part: int, parts: int, arguments: tuple[Argument, ...]) -> None:
    """Machine code can say that a part failed, not why: the same part is run once more, as Numba calls it."""
    from heedful.ops.jit.numba_entry import dispatcher

    given = [a.detach().numpy() if isinstance(a, Tensor) else a for a in arguments]
    dispatcher(kernel)(part, parts, *given)
    raise RuntimeError(f"part {part} of {parts} of the kernel {kernel.name} failed, and not again")
