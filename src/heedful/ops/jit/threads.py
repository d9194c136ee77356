"""Run the parts of a kernel in parallel: on PyTorch's OpenMP threads if reachable, else on a Python thread pool."""

from __future__ import annotations

import ctypes
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

Lock = TypeVar("Lock", bound="threading.Lock | threading.RLock")


class Runnable(Protocol):
    """A compiled kernel: the address of its C entry, and a callable that takes the address of an argument block."""

    address: int
    call: Any


_pool: list[ThreadPoolExecutor] = []
_is_forked: list[bool] = []


def share(entry: Runnable, block: int, parts: int) -> None:
    """Run a compiled kernel on up to `parts` threads; each claims parts until none is left."""
    parallel = None if _is_forked else torch_parallel()
    if parallel is not None:
        parallel(entry.address, block, parts, 0)
    else:
        share_by_python(entry, block, parts)


@cache
def torch_parallel() -> Any:
    """Return `GOMP_parallel` of the OpenMP library that PyTorch uses, or None if there is none.

    It is looked up through PyTorch's library, so that kernels share PyTorch's thread pool. Two pools would compete for
    the cores.
    """
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        function = ctypes.CDLL(str(library)).GOMP_parallel
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    function.restype = None
    return function


def share_by_python(entry: Runnable, block: int, parts: int) -> None:
    """Run a compiled kernel on a Python thread pool; compiled code releases the GIL."""
    if not _pool:
        _pool.append(ThreadPoolExecutor(max(32, os.cpu_count() or 1), "heedful"))
    others = [_pool[0].submit(entry.call, block) for _ in range(parts - 1)]
    entry.call(block)
    for other in others:
        # All parts are claimed by now, so a task that has not started is cancelled.
        if not other.cancel():
            other.result()


def hold_during_fork(lock: Lock) -> Lock:
    """Hold a lock during `os.fork`, so that the child does not inherit it locked by a thread that it lacks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )
    return lock


def _after_fork() -> None:
    # A fork does not copy the threads of OpenMP and of the pool, so waiting for them would deadlock.
    _is_forked.append(True)
    _pool.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
