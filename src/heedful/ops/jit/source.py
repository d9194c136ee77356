"""Kernels before compilation: the Python function, its helpers, a content hash of both, and argument signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Allows reassociation of sums and fused multiply-add; NaN and infinity stay exact.
KEEPS_NAN = frozenset({"contract", "reassoc", "nsz", "arcp"})

LANES = 16
"""Numbers in a vector, which `load` and `store` take at a time."""
ELEMENTS = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
    torch.int64: "int64",
    torch.int32: "int32",
    torch.int16: "int16",
    torch.int8: "int8",
    torch.uint8: "uint8",
    torch.bool: "bool",
}


HALVES = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Provided:
    """Placeholder for a Numba intrinsic that kernels call, so that defining kernels does not import Numba."""

    name: str


@dataclass(eq=False)
class Compiled:
    """A function that Numba compiles on first use.

    `no_refcount` leaves out reference counting, and `halves` allows numbers of 16 bits (see `kernel`). `entries` maps
    argument types to compiled entries.
    """

    function: Callable[..., Any]
    fastmath: frozenset[str]
    is_inlined: bool
    no_refcount: bool = False
    halves: bool = False
    entries: dict[tuple[object, ...], Any] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The last part of the module's name and the function's name, such as `steps.lstm_step`."""
        return f"{self.function.__module__.rpartition('.')[2]}.{self.function.__name__}"

    def uses(self) -> dict[str, object]:
        """Return the globals and closure variables that the function refers to, by name."""
        code, cells = self.function.__code__, self.function.__closure__ or ()
        outside = self.function.__globals__
        return {name: outside[name] for name in code.co_names if name in outside} | {
            name: cell.cell_contents for name, cell in zip(code.co_freevars, cells, strict=True)
        }

    def all_functions(self) -> Iterator[Compiled]:
        """Yield this function and all helpers that it calls, directly or indirectly."""
        seen, pending = {self}, [self]
        while pending:
            one = pending.pop()
            yield one
            new = {v for v in one.uses().values() if isinstance(v, Compiled)} - seen
            seen |= new
            pending += sorted(new, key=lambda helper: helper.name)

    def source_digest(self) -> str | None:
        """Hash sources, constants and options of this function and its helpers; None if a source is unreadable."""
        digest = hashlib.sha256()
        for one in self.all_functions():
            code = one.function.__code__
            source = _file_digest(code.co_filename)
            if source is None:
                return None
            constants = sorted(
                (name, repr(value))
                for name, value in one.uses().items()
                if isinstance(value, int | float | str | tuple | np.number)
            )
            identity = (
                code.co_qualname,
                code.co_firstlineno,
                sorted(one.fastmath),
                one.no_refcount,
            )
            digest.update(repr((source, identity, constants)).encode())
        return digest.hexdigest()


@cache
def _file_digest(name: str) -> str | None:
    try:
        return hashlib.sha256(Path(name).read_bytes()).hexdigest()
    except OSError:
        return None


def signature_text(arguments: tuple[object, ...], *, halves: bool = False) -> tuple[str, str]:
    """Return the argument types as text and the `struct` format of their words.

    The text has one item per argument: a scalar's type, "none", or a tensor's dtype, rank and layout, such as
    "float32:2C" for a contiguous matrix and "float32:2A" for a strided one.

    Raises:
        TypeError: an argument is neither a CPU tensor of a supported dtype nor a scalar.
    """
    types, words = [], ""
    for index, argument in enumerate(arguments):
        if isinstance(argument, Tensor):
            read = [each for each in ELEMENTS if halves or each not in HALVES]
            if not argument.is_cpu or argument.dtype not in read:
                raise TypeError(
                    f"argument {index} of a kernel is {argument.dtype} on {argument.device}; "
                    f"wanted one of {', '.join(ELEMENTS[each] for each in read)} on the CPU"
                )
            contiguous = argument.is_contiguous()
            types.append(f"{ELEMENTS[argument.dtype]}:{argument.ndim}{'C' if contiguous else 'A'}")
            words += "q" * (1 + argument.ndim * (1 if contiguous else 2))
        elif argument is None:
            types.append("none")
        elif type(argument) in (int, float, bool):
            types.append(type(argument).__name__)
            words += "d" if isinstance(argument, float) else "q"
        else:
            raise TypeError(
                f"argument {index} of a kernel is a {type(argument).__name__}; wanted a tensor or a number"
            )
    return " ".join(types), words
