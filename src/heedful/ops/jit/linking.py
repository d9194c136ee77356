"""Linking a compiled kernel into the process, by llvmlite alone."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

RELEASE = "NRT_MemInfo_call_dtor"
"""Numba's destructor of arrays that a kernel allocates.

Most kernels refer to it; only those that allocate call it.
"""


@dataclass(frozen=True)
class Made:
    """A compiled kernel."""

    symbol: str
    """Name of the entry function in the object file."""
    externals: tuple[str, ...]
    """Symbols that the object file needs from the process."""
    machine_code: bytes
    """The object file."""
    address: int = 0
    """Address of the entry as linked by Numba; 0 when read from disk."""


_engines: list[Any] = []  # own the linked machine code, so they are kept until the process ends


def linked(made: Made) -> int | None:
    """Link a kernel into the process and return the address of its entry.

    It is None if a symbol that the kernel needs is missing, or the entry itself.

    Freshly compiled kernels are linked here too. Numba's linker resolves duplicate function names to the first module,
    which holds the kernel as optimized on its own. The version optimized together with its entry is faster, in one
    case by 2.5 times.
    """
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # LLVM aborts the process on an unresolved symbol, so all are checked first. On Windows Numba also registers
    # mathematical functions that the list of externals leaves out.
    if RELEASE in made.externals and not any("lloc" in name for name in made.externals):
        _define_stub(RELEASE)
    if sys.platform != "win32":
        _define_from_process(made.externals)
    if sys.platform == "win32" or not _are_defined(made.externals):
        from heedful.ops.jit.numba_entry import bring_symbols

        bring_symbols()
    if not _are_defined(made.externals):
        return None
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(made.machine_code))
    engine.finalize_object()
    _engines.append(engine)
    return int(engine.get_function_address(made.symbol)) or None


def _define_stub(name: str) -> None:
    """Define a symbol that is referenced but never called, so that linking needs no import of Numba."""
    import llvmlite.binding as llvm

    if llvm.address_of_symbol(name) is None:
        stub = ctypes.cast(ctypes.pythonapi.Py_IsInitialized, ctypes.c_void_p).value
        llvm.add_symbol(name, stub)


def _define_from_process(names: tuple[str, ...]) -> None:
    """Define what the process has and LLVM does not find by itself, such as `expf` of the C library of mathematics."""
    import llvmlite.binding as llvm

    process = ctypes.CDLL(None)
    for name in names:
        if llvm.address_of_symbol(name) is None and hasattr(process, name):
            address = ctypes.cast(getattr(process, name), ctypes.c_void_p).value
            llvm.add_symbol(name, address)


def _are_defined(symbols: tuple[str, ...]) -> bool:
    import llvmlite.binding as llvm

    return all(llvm.address_of_symbol(name) is not None for name in symbols)
