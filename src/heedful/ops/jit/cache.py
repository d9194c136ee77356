"""Disk cache of compiled kernels: later processes skip compilation and do not import Numba.

There is one file per kernel and signature, and it is never modified. It is written to a temporary file and put in place
by an atomic rename, so concurrent processes are safe. Its name is a content hash of the source, the compiler, its
settings and the processor, so no file is stale. It holds its name and a SHA-256 digest of its content, so a truncated,
corrupt or renamed file is ignored, and its object file is checked before LLVM reads it. Only files that nobody else can
have written are read (see `trust`). Where no folder is readable or writable there is no disk cache, and every process
compiles.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from heedful.ops.jit.linking import Made, linked
from heedful.ops.jit.object_file import MalformedError, check_object
from heedful.ops.jit.source import Compiled
from heedful.ops.jit.trust import UntrustedError, names_trusted, read_trusted, write_trusted

FORMAT = b"heedful kernel 2\n"
FOLDER = "heedful-kernels"
LONGEST_HEADER = 2**16
"""Bytes; that of a kernel takes less than a hundredth of it."""

logger = logging.getLogger(__name__)
"""Says at level WARNING which folder is not used, and why."""


def loaded(kernel: Compiled, signature: str) -> int | None:
    """Load a kernel from disk and return the address of its entry, or None on a cache miss."""
    name = _file_name(kernel, signature)
    if name is None:
        return None
    for base, folders in _folders():
        with contextlib.suppress(OSError, MalformedError), _warned():
            return linked(_parsed(read_trusted(base, folders, name), name))
    return None


def save(kernel: Compiled, signature: str, made: Made) -> None:
    """Write a kernel to the first writable cache folder; do nothing if there is none."""
    name = _file_name(kernel, signature)
    if name is None:
        return
    content = _packed(made, name)
    try:
        _parsed(content, name)
    except MalformedError as error:  # LLVM makes something that the checks do not know
        _warn(f"{kernel.name} cannot be kept: {error}")
        return
    for base, folders in _folders():
        with contextlib.suppress(OSError), _warned():
            write_trusted(base, folders, name, content)
            return


def has_entries() -> bool:
    """Whether the cache holds kernels compiled by the installed versions for this processor."""
    for base, folders in _folders():
        with contextlib.suppress(OSError), _warned():
            if any(name.endswith(".o") for name in names_trusted(base, folders)):
                return True
    return False


@contextlib.contextmanager
def _warned() -> Iterator[None]:
    try:
        yield
    except UntrustedError as error:
        _warn(str(error))
        raise


@cache
def _warn(text: str) -> None:
    """Say once in a process what is not trusted: without the cache every process compiles for seconds."""
    logger.warning("the kernel cache is not used: %s", text)


def _packed(made: Made, name: str) -> bytes:
    header = json.dumps({"file": name, "symbol": made.symbol, "externals": made.externals})
    payload = header.encode() + b"\n" + made.machine_code
    return FORMAT + hashlib.sha256(payload).digest() + payload


def _parsed(content: bytes, name: str) -> Made:
    """Read what `_packed` wrote; MalformedError for anything else."""
    start = len(FORMAT) + hashlib.sha256().digest_size
    digest, payload = content[len(FORMAT) : start], content[start:]
    if content[: len(FORMAT)] != FORMAT or hashlib.sha256(payload).digest() != digest:
        raise MalformedError("not the file of a kernel, or changed")
    header, _, machine_code = payload.partition(b"\n")
    try:
        fields = json.loads(header) if len(header) <= LONGEST_HEADER else None
    except (ValueError, RecursionError):
        fields = None
    match fields:
        case {"file": str(file), "symbol": str(symbol), "externals": list(externals)} if (
            file == name and all(isinstance(one, str) for one in externals)
        ):
            needed = check_object(machine_code, symbol).union(externals)
            return Made(symbol, tuple(sorted(needed)), machine_code)
    raise MalformedError("not the header of this kernel")


def may_be_disabled() -> bool:
    """Whether the environment or a file of settings may tell Numba to compile nothing."""
    return bool(os.environ.get("NUMBA_DISABLE_JIT")) or Path(NUMBA_FILE).exists()


NUMBA_SETTINGS = (
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
    "NUMBA_ENABLE_AVX",
    "NUMBA_OPT",
    "NUMBA_LOOP_VECTORIZE",
    "NUMBA_SLP_VECTORIZE",
    "NUMBA_BOUNDSCHECK",
    "NUMBA_DISABLE_INTEL_SVML",
    "NUMBA_LLVM_REFPRUNE_PASS",
    "NUMBA_LLVM_REFPRUNE_FLAGS",
    "NUMBA_EXTEND_VARIABLE_LIFETIMES",
    "NUMBA_DEBUGINFO",
    "NUMBA_DEBUG_NRT",
    "NUMBA_NRT_STATS",
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
        "halves.py",
        "dots.py",
        "random_bits.py",
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

    beside = Path(__file__).parent / "__pycache__"
    bases = [beside] if beside.is_dir() else []
    # Without a home folder a relative path can come back, which would be looked up wherever a command is started.
    with contextlib.suppress(RuntimeError, KeyError, OSError):
        bases.append(platformdirs.user_cache_path("heedful", appauthor=False))
    return tuple(base for base in bases if base.is_absolute())


def _folders() -> Iterator[tuple[Path, tuple[str, str]]]:
    """The places of kernels of this environment: a base, and the folders in it that have to be trusted."""
    environment = _environment_digest()
    if environment is not None:
        yield from ((base, (FOLDER, environment)) for base in _bases())
