"""Disk cache of compiled kernels: later processes skip compilation and do not import Numba.

There is one file per kernel and signature, and it is never modified. It is written to a temporary file and put in place
by an atomic rename, so concurrent processes are safe. It holds a SHA-256 digest of its content, so a truncated or
corrupt file is ignored. Its name is a content hash of the source, the compiler and the processor, so no file is stale.
Where no folder is readable or writable there is no disk cache, and every process compiles.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from heedful.ops.jit.source import Compiled

FORMAT = b"heedful kernel 1\n"
FOLDER = "heedful-kernels"
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


def loaded(kernel: Compiled, signature: str) -> int | None:
    """Load a kernel from disk and return the address of its entry, or None on a cache miss."""
    name = _file_name(kernel, signature)
    if name is None:
        return None
    for folder in _folders():
        try:
            found = _read(folder / name)
        except OSError:
            continue
        if found is not None:
            return linked(found)
    return None


def save(kernel: Compiled, signature: str, made: Made) -> None:
    """Write a kernel to the first writable cache folder; do nothing if there is none."""
    name = _file_name(kernel, signature)
    if name is None:
        return
    header = json.dumps({"symbol": made.symbol, "externals": made.externals}).encode()
    payload = header + b"\n" + made.machine_code
    content = FORMAT + hashlib.sha256(payload).digest() + payload
    for folder in _folders():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(folder / name, content)
        except OSError:
            continue
        return


def has_entries() -> bool:
    """Whether the cache holds kernels compiled by the installed versions for this processor."""
    if _environment_digest() is None:
        return False
    for folder in _folders():
        try:
            if next(folder.iterdir(), None) is not None:
                return True
        except OSError:
            continue
    return False


def _read(path: Path) -> Made | None:
    content = path.read_bytes()
    start = len(FORMAT) + hashlib.sha256().digest_size
    digest, payload = content[len(FORMAT) : start], content[start:]
    if content[: len(FORMAT)] != FORMAT or hashlib.sha256(payload).digest() != digest:
        return None
    header, _, machine_code = payload.partition(b"\n")
    fields = json.loads(header)
    return Made(fields["symbol"], tuple(fields["externals"]), machine_code)


def _write(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


_engines: list[Any] = []  # own the linked machine code, so they are kept until the process ends


def linked(made: Made) -> int | None:
    """Link a kernel into the process and return the address of its entry, or None if a symbol is missing.

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
    return int(engine.get_function_address(made.symbol))


def _define_stub(name: str) -> None:
    """Define a symbol that is referenced but never called, so that linking needs no import of Numba."""
    import llvmlite.binding as llvm

    if llvm.address_of_symbol(name) is None:
        stub = ctypes.cast(ctypes.pythonapi.Py_IsInitialized, ctypes.c_void_p).value
        llvm.add_symbol(name, stub)


def _are_defined(symbols: tuple[str, ...]) -> bool:
    import llvmlite.binding as llvm

    return all(llvm.address_of_symbol(name) is not None for name in symbols)


NUMBA_SETTINGS = (
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
    "NUMBA_ENABLE_AVX",
    "NUMBA_OPT",
    "NUMBA_LOOP_VECTORIZE",
    "NUMBA_SLP_VECTORIZE",
    "NUMBA_BOUNDSCHECK",
)
"""The variables that change the machine code that Numba makes, or the instructions it may use."""
NUMBA_FILE = ".numba_config.yaml"
"""Where Numba reads the same settings from, in the current folder."""


def _numba_settings() -> list[str | bytes]:
    """The settings that Numba will read, without the half second that importing it takes."""
    settings: list[str | bytes] = [
        f"{name}={os.environ[name]}" for name in NUMBA_SETTINGS if name in os.environ
    ]
    with contextlib.suppress(OSError):
        settings.append(Path(NUMBA_FILE).read_bytes())
    return settings


@cache
def _environment_digest() -> str | None:
    """Hash versions, target and processor features; None if Numba or llvmlite is not installed."""
    try:
        if importlib.util.find_spec("numba") is None:
            return None
        import llvmlite.binding as llvm

        parts: list[str | bytes] = [
            version(name) for name in ("heedful", "numba", "llvmlite", "numpy")
        ]
        features = llvm.get_host_cpu_features().flatten()
    except (ImportError, OSError, ValueError, PackageNotFoundError):
        return None
    parts += [sys.version, llvm.get_process_triple(), llvm.get_host_cpu_name(), features]
    parts += _numba_settings()
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _file_name(kernel: Compiled, signature: str) -> str | None:
    source = kernel.source_digest()
    if source is None:
        return None
    text = f"{source} {_builder_digest()} {signature}"
    return f"{kernel.name}-{hashlib.sha256(text.encode()).hexdigest()[:32]}.o"


@cache
def _builder_digest() -> str:
    """Hash the modules that generate code for kernels, since they shape the machine code too."""
    digest = hashlib.sha256()
    for name in (
        "numba_entry.py",
        "deferred.py",
        "vectors.py",
        "vector_math.py",
        "tiles.py",
    ):
        try:
            digest.update(Path(__file__).with_name(name).read_bytes())
        except OSError:
            return ""
    return digest.hexdigest()


@cache
def _bases() -> tuple[Path, ...]:
    """Cache locations in order of preference: `__pycache__` beside this file, then the user's cache folder."""
    import platformdirs

    return (
        Path(__file__).parent / "__pycache__",
        platformdirs.user_cache_path("heedful", appauthor=False),
    )


def _folders() -> Iterator[Path]:
    environment = _environment_digest()
    if environment is not None:
        yield from (base / FOLDER / environment for base in _bases())
