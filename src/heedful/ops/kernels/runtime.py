"""Compiles the hot loops on first use and runs them on as many threads as PyTorch may use."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

# Reordering sums and fusing a product into a sum is allowed; NaN and infinity keep their meaning.
KEEPS_NAN = frozenset({"contract", "reassoc", "nsz", "arcp"})
# Sharing work costs this much; below a few times that, one thread is faster.
SHARING_NANOSECONDS = 40_000.0

Argument = Tensor | int | float | bool | None


@cache
def unavailable() -> str | None:
    """Return None when compiled kernels can run here, else the reason why not. Imports Numba."""
    try:
        import numba
    except ImportError as error:
        return f"Numba cannot be imported: {error}"
    if getattr(numba.config, "DISABLE_JIT", 0):
        return "Numba is told to compile nothing (NUMBA_DISABLE_JIT)"
    return None


@dataclass(eq=False)
class Compiled:
    """A Python function that Numba compiles when it is first needed."""

    function: Callable[..., Any]
    fastmath: frozenset[str]
    inline: bool
    seconds: float = 0.0
    _built: Any = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The name of the function, with its module."""
        return f"{self.function.__module__.rpartition('.')[2]}.{self.function.__name__}"

    def built(self) -> Any:
        """Return Numba's dispatcher of the function, its helpers built first."""
        if self._built is None:
            import numba

            source = self.function
            names = dict(source.__globals__)
            for name in source.__code__.co_names:
                if isinstance(names.get(name), Compiled):
                    names[name] = names[name].built()
            copy = types.FunctionType(source.__code__, names, source.__name__, source.__defaults__)
            copy.__qualname__, copy.__module__ = source.__qualname__, source.__module__
            options: dict[str, Any] = {
                "nogil": True,
                "fastmath": set(self.fastmath),
                "error_model": "numpy",
            }
            try:
                self._built = numba.njit(**options, cache=True)(copy)
            except RuntimeError:  # no folder can be written
                self._built = numba.njit(**options)(copy)
        return self._built


def kernel(
    function: Callable[..., None] | None = None, *, fastmath: frozenset[str] = KEEPS_NAN
) -> Any:
    """Mark `f(part, parts, *arrays_and_scalars)` to be compiled on first use; run it by `launch`."""
    if function is None:
        return lambda given: Compiled(given, fastmath, False)
    return Compiled(function, fastmath, False)


def inlined(
    function: Callable[..., Any] | None = None, *, fastmath: frozenset[str] = KEEPS_NAN
) -> Any:
    """Mark a small helper that kernels of the same module (or that import it) call."""
    if function is None:
        return lambda given: Compiled(given, fastmath, True)
    return Compiled(function, fastmath, True)


def parts_for(work: float) -> int:
    """Return among how many parts `launch` shares work of so many nanoseconds on one thread."""
    threads = torch.get_num_threads()
    return max(1, min(threads, int(work / SHARING_NANOSECONDS)))


_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}
_seconds: dict[str, float] = {}


def launch(kernel: Compiled, *arguments: Argument, work: float) -> None:
    """Run every part of a kernel on tensors (CPU, memory shared) and scalars, and wait for all."""
    parts = parts_for(work)
    given = [a.detach().numpy() if isinstance(a, Tensor) else a for a in arguments]
    run = kernel.built()
    known = len(run.signatures)
    start = perf_counter()
    run(0, parts, *given) if parts == 1 else _share(run, parts, given)
    if len(run.signatures) != known:
        _seconds[kernel.name] = _seconds.get(kernel.name, 0.0) + perf_counter() - start


def _share(run: Any, parts: int, given: list[Any]) -> None:
    with _lock:
        pool = _pools.setdefault(parts, ThreadPoolExecutor(parts - 1))
    others = [pool.submit(run, part, parts, *given) for part in range(1, parts)]
    run(0, parts, *given)
    for other in others:
        other.result()


def compile_seconds() -> Mapping[str, float]:
    """Return, for each kernel run so far, how long its first calls took (compiled, or loaded from disk)."""
    return dict(_seconds)
