"""How the parts of a kernel are shared: by PyTorch's own pool where it can be reached, else by Python's threads."""

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
    """A compiled kernel, as a number that C can call and as a function of a block's address."""

    address: int
    call: Any


_pool: list[ThreadPoolExecutor] = []
_is_forked: list[bool] = []


def share(entry: Runnable, block: int, parts: int) -> None:
    """Run a compiled kernel on up to `parts` threads at once; each claims parts until none is left."""
    parallel = None if _is_forked else torch_parallel()
    if parallel is not None:
        parallel(entry.address, block, parts, 0)
    else:
        share_by_python(entry, block, parts)


@cache
def torch_parallel() -> Any:
    """Return `GOMP_parallel` of the OpenMP library that PyTorch runs on, None where it has none.

    Looked up through PyTorch's own library, so that it is the very pool that PyTorch uses: two would fight for the
    cores.
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
    """Share among Python's threads, which compiled code leaves free to run."""
    if not _pool:
        _pool.append(ThreadPoolExecutor(max(32, os.cpu_count() or 1), "heedful"))
    others = [_pool[0].submit(entry.call, block) for _ in range(parts - 1)]
    entry.call(block)
    for other in others:
        # What has not begun would find nothing left to do.
        if not other.cancel():
            other.result()


def forked_with(lock: Lock) -> Lock:
    """Let a fork wait for a lock, so that the child does not find it held by a thread it has not got."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )
    return lock


def _after_fork() -> None:
    # OpenMP's threads, and those of the pool, stayed with the parent; to wait for them would be for ever.
    _is_forked.append(True)
    _pool.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
