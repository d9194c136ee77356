"""Machine code on disk, so that a kernel is compiled once and later processes need not even import Numba.

One file a kernel and signature, never changed: written beside and moved into place, so that any number of processes may
start at once; with a digest, so that half a file is no file; named by all that the code depends on, so that
none goes stale. Where no folder can be written, or read, there is just no disk cache.
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
"""Called when the last view of an array that a kernel allocated is gone: never, where it allocates none."""


@dataclass(frozen=True)
class Made:
    """A compiled kernel: machine code, what in it is called, what it needs, and where Numba has linked it."""

    symbol: str
    externals: tuple[str, ...]
    machine_code: bytes
    address: int = 0


def loaded(kernel: Compiled, signature: str) -> int | None:
    """Return the address of a kernel loaded from disk, None where there is none that fits."""
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
    """Write a kernel to the first folder that can be written."""
    name = _file_name(kernel, signature)
    if name is None:
        return
    head = json.dumps({"symbol": made.symbol, "externals": made.externals}).encode()
    payload = head + b"\n" + made.machine_code
    whole = FORMAT + hashlib.sha256(payload).digest() + payload
    for folder in _folders():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(folder / name, whole)
        except OSError:
            continue
        return


def worked_before() -> bool:
    """Whether just these versions have compiled something on this processor already."""
    if _environment() is None:
        return False
    for folder in _folders():
        try:
            if next(folder.iterdir(), None) is not None:
                return True
        except OSError:
            continue
    return False


def _read(path: Path) -> Made | None:
    whole = path.read_bytes()
    start = len(FORMAT) + hashlib.sha256().digest_size
    digest, payload = whole[len(FORMAT) : start], whole[start:]
    if whole[: len(FORMAT)] != FORMAT or hashlib.sha256(payload).digest() != digest:
        return None
    head, _, machine_code = payload.partition(b"\n")
    fields = json.loads(head)
    return Made(fields["symbol"], tuple(fields["externals"]), machine_code)


def _write(path: Path, whole: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(whole)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


_engines: list[Any] = []  # what they hold is running: they must live as long as the process


def linked(made: Made) -> int | None:
    """Return where a kernel lies in memory now, None where it needs what only Numba can give.

    Freshly compiled ones are linked here too. Numba's own linking takes, of two functions of one name, the first that
    it met, which is the kernel as optimized alone: slower, by 2.5 times in one case, than the one optimized with its
    entry.
    """
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # LLVM ends the process over a symbol that it cannot find. On Windows Numba brings mathematics that is not listed.
    if RELEASE in made.externals and not any("lloc" in name for name in made.externals):
        _offer(RELEASE)
    if sys.platform == "win32" or not _are_here(made.externals):
        from heedful.ops.jit.numba_entry import bring_symbols

        bring_symbols()
    if not _are_here(made.externals):
        return None
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(made.machine_code))
    engine.finalize_object()
    _engines.append(engine)
    return int(engine.get_function_address(made.symbol))


def _offer(name: str) -> None:
    import llvmlite.binding as llvm

    if llvm.address_of_symbol(name) is None:
        harmless = ctypes.cast(ctypes.pythonapi.Py_IsInitialized, ctypes.c_void_p).value
        llvm.add_symbol(name, harmless)


def _are_here(symbols: tuple[str, ...]) -> bool:
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
def _environment() -> str | None:
    """All besides the source that machine code depends on, None where the compiler is not installed."""
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
    digest = hashlib.sha256()
    for name in (
        "numba_entry.py",
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
    """The folder beside this file, as Python keeps its own compiled files; then the user's folder for caches."""
    import platformdirs

    return (
        Path(__file__).parent / "__pycache__",
        platformdirs.user_cache_path("heedful", appauthor=False),
    )


def _folders() -> Iterator[Path]:
    environment = _environment()
    if environment is not None:
        yield from (base / FOLDER / environment for base in _bases())
