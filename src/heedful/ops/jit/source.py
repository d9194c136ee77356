"""What a kernel is before it is compiled: its function, the helpers it uses, and what tells its versions apart."""

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

# Reordering sums and fusing a product into a sum is allowed; NaN and infinity keep their meaning.
KEEPS_NAN = frozenset({"contract", "reassoc", "nsz", "arcp"})

ELEMENTS = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.int64: "int64",
    torch.int32: "int32",
    torch.int16: "int16",
    torch.int8: "int8",
    torch.uint8: "uint8",
    torch.bool: "bool",
}


@dataclass(frozen=True)
class Provided:
    """Something that kernels may call and that only Numba can express."""

    name: str


@dataclass(eq=False)
class Compiled:
    """A Python function that Numba compiles when it is first needed; `entries` holds what was made of it."""

    function: Callable[..., Any]
    fastmath: frozenset[str]
    is_inlined: bool
    borrows: bool = False
    entries: dict[tuple[object, ...], Any] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The function's name after that of its module's last part."""
        return f"{self.function.__module__.rpartition('.')[2]}.{self.function.__name__}"

    def uses(self) -> dict[str, object]:
        """Return what its code names outside itself: globals, and variables of functions around it."""
        code, cells = self.function.__code__, self.function.__closure__ or ()
        outside = self.function.__globals__
        return {name: outside[name] for name in code.co_names if name in outside} | {
            name: cell.cell_contents for name, cell in zip(code.co_freevars, cells, strict=True)
        }

    def all_functions(self) -> Iterator[Compiled]:
        """Yield it and the helpers that it calls, those called by helpers too."""
        found, waiting = {self}, [self]
        while waiting:
            one = waiting.pop()
            yield one
            new = {v for v in one.uses().values() if isinstance(v, Compiled)} - found
            found |= new
            waiting += sorted(new, key=lambda helper: helper.name)

    def source_digest(self) -> str | None:
        """Digest all that its machine code depends on, None where a source file cannot be read."""
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
            place = (code.co_qualname, code.co_firstlineno, sorted(one.fastmath), one.borrows)
            digest.update(repr((source, place, constants)).encode())
        return digest.hexdigest()


@cache
def _file_digest(name: str) -> str | None:
    try:
        return hashlib.sha256(Path(name).read_bytes()).hexdigest()
    except OSError:
        return None


def signature_text(arguments: tuple[object, ...]) -> tuple[str, str]:
    """Return the types of arguments as a text, and the letters by which `struct` packs their words."""
    types, words = [], ""
    for place, argument in enumerate(arguments):
        if isinstance(argument, Tensor):
            if not argument.is_cpu or argument.dtype not in ELEMENTS:
                raise TypeError(
                    f"argument {place} of a kernel is {argument.dtype} on {argument.device}; "
                    f"wanted one of {', '.join(ELEMENTS.values())} on the CPU"
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
                f"argument {place} of a kernel is a {type(argument).__name__}; wanted a tensor or a number"
            )
    return " ".join(types), words
