"""Run folders of trained models: file names, format number, atomic writing and validation.

Run folders are relocatable, and loading one executes no code from it (no pickles). `FORMAT` increases with every
change of the contents; older formats can still be loaded (see `heedful.tasks.upgrade`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from heedful.atomic_files import is_partial, write_bytes
from heedful.atomic_files import write_text as write_text
from heedful.errors import RunError, shown
from heedful.run_lock import LOCK
from heedful.stored_files import (
    JsonError,
    check_stored,
    lacks,
    parse_json,
    read_json_lines,
    read_stored,
)

MARKER = "heedful.json"
CONFIGURATION = "config.toml"
WEIGHTS = "model.safetensors"
METRICS = "metrics.jsonl"
SKIPPED = "skipped.txt"
REPORT = "report.html"
STAGED = ".heedful.new"
"""Subfolder in which a run is made, until its training can take the first step."""
DIGEST = "digest"
"""Key of the metadata of a safetensors file: the digest of its tensors and its other metadata."""

COPY_AGAIN = "copy the run folder again, resume its training or retrain"

MARKER_BYTES = 2**20
"""Maximum size of the marker file."""

FORMAT = 2
"""Format that is written; formats from 1 on can be read."""


def create(folder: str | Path, task: str) -> Path:
    """Create a run folder that contains only its marker file.

    Raises: RunError if the path exists and is not an empty folder.
    """
    folder = Path(folder)
    check_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / MARKER, json.dumps({"task": task, "format": FORMAT}) + "\n")
    return folder


def entries(folder: Path) -> list[Path]:
    """Return what a folder holds besides what a process left that was killed before a run was complete."""
    return [
        each
        for each in folder.iterdir()
        if each.name not in (LOCK, STAGED) and not is_partial(each)
    ]


def is_run(folder: Path) -> bool:
    """Return whether a folder has the marker file of a run of any format."""
    try:
        marker = parse_json(read_stored(folder / MARKER, MARKER_BYTES))
    except (OSError, ValueError):
        return False
    return isinstance(marker, dict) and "task" in marker


def check_free(folder: str | Path, *, overwrite: bool = False) -> None:
    """Check that a run can be written to `folder`: it does not exist, is empty, or is a run to overwrite.

    Raises: RunError otherwise; the file system is not modified.
    """
    folder = Path(folder)
    if folder.is_dir() and not entries(folder):
        return
    if overwrite and folder.exists():
        if is_run(folder):
            return
        raise RunError(f"{folder} is not a run, so it is not overwritten; choose another folder")
    if folder.exists():
        if not folder.is_dir():
            raise RunError(f"{folder} is a file; choose another folder for the run")
        if not (folder / MARKER).exists():
            raise RunError(f"{folder} exists and is not empty; choose another folder for the run")
        raise RunError(
            f"{folder} already holds a run; resume it with --resume or replace it with --overwrite "
            "(in Python resume=True, overwrite=True), or choose another folder"
        )
    parent = next((each for each in folder.absolute().parents if each.exists()), None)
    if parent is None or not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise RunError(f"{folder} cannot be created: {parent} is not a writable folder")


def check(folder: str | Path, task: str) -> Path:
    """Check that `folder` is a run of `task` and return it as a path.

    Raises: RunError for a folder that is missing, not a run, or a run of another task.
    """
    got = read_task(folder)
    if got != task:
        raise RunError(f"{folder} is a run of the task {shown(got)}; expected {task!r}")
    return Path(folder)


def read_task(folder: str | Path) -> str:
    """Return the task name of a run folder.

    Raises: RunError for a folder that is missing, not a run, or of an unsupported format.
    """
    return _read_marker(folder)[0]


def read_format(folder: str | Path) -> int:
    """Return the format number of a run folder.

    Raises: RunError, see `read_task`.
    """
    return _read_marker(folder)[1]


def _read_marker(folder: str | Path) -> tuple[str, int]:
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; give the folder that training wrote to (--out)")
    if not folder.is_dir():
        raise RunError(f"run folder {str(folder)!r} does not exist")
    marker = folder / MARKER
    if marker.is_symlink() and not marker.exists():
        raise RunError(lacks(marker))
    if not marker.exists():
        raise RunError(f"{folder} is not a run folder: it has no {MARKER}; {_run_inside(folder)}")
    try:
        content = parse_json(read_stored(marker, MARKER_BYTES))
        task, format_number = str(content["task"]), content["format"]
    except (JsonError, KeyError, TypeError):
        raise RunError(f"{marker} is corrupt; copy the folder again or retrain") from None
    if format_number not in range(1, FORMAT + 1):
        raise RunError(
            f"{folder} has format {shown(format_number)}, but this version of Heedful reads formats 1 to {FORMAT}; "
            "use the version that wrote it"
        )
    return task, format_number


def _run_inside(folder: Path) -> str:
    """Return which folder to give instead of one that is no run."""
    marked = folder.glob(f"snapshots/*/{MARKER}")  # as huggingface_hub stores a repository
    newest = max(marked, key=lambda each: each.lstat().st_mtime, default=None)
    if newest is not None:
        return f"give the snapshot in it, {newest.parent}"
    return "give the folder that training wrote to (--out)"


def write_skipped(folder: Path, rows: Sequence[str]) -> None:
    """List the rows of the data that were left out, if any, once each."""
    if rows:
        write_text(folder / SKIPPED, "".join(f"{row}\n" for row in dict.fromkeys(rows)))


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as safetensors, atomically and with a digest; tensors that share memory are copied."""
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    values = dict(metadata or {})
    write_bytes(path, save(copies, metadata={**values, DIGEST: _digest(copies, values)}))


def configuration_file(folder: Path) -> Path:
    """Return the configuration file of a run folder.

    Raises: RunError for a file that is missing, a pipe or a device, or a link out of the folder.
    """
    path = folder / CONFIGURATION
    if not path.exists():
        raise RunError(f"{lacks(path)}; copy the run folder again or retrain")
    check_stored(path)
    return path


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Read the events of metrics.jsonl, oldest first.

    Raises: RunError for a file that is missing, damaged or cut off, naming the line.
    """
    path = folder / METRICS
    events = list(read_json_lines(path))
    for number, event in enumerate(events, start=1):
        if not isinstance(event.get("event"), str):
            raise RunError(f"{path}, line {number}: expected a JSON object with the key 'event'")
    return events


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read the names and shapes of the tensors of a safetensors file, without the tensors.

    Raises: RunError, see `read_tensors`.
    """
    with _reading(path, f"; {COPY_AGAIN}"), safe_open(path, framework="pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def read_metadata(path: Path, advice: str = f"; {COPY_AGAIN}") -> dict[str, str]:
    """Read the metadata of a safetensors file; `advice` and errors as of `read_tensors`."""
    return _split_metadata(path, advice)[0]


def _split_metadata(path: Path, advice: str) -> tuple[dict[str, str], str | None]:
    """Read the metadata of a safetensors file and its digest; files of older versions have none."""
    with _reading(path, advice), safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata() or {})
    return metadata, metadata.pop(DIGEST, None)


def read_tensors(
    path: Path, advice: str = f"; {COPY_AGAIN}"
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata from safetensors.

    `advice` ends the message of an error.

    Raises: RunError for a missing, truncated or corrupt file, also one in which a bit is not as it was written.
    """
    metadata, written = _split_metadata(path, advice)
    with _reading(path, advice):
        tensors = load_file(path)
        if written is not None and written != _digest(tensors, metadata):
            raise ValueError("its content is not what was written: the digests differ")
    return tensors, metadata


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 digest of metadata and of tensors with their names, types and shapes."""
    digest = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@contextlib.contextmanager
def _reading(path: Path, advice: str) -> Iterator[None]:
    if not path.exists():
        raise RunError(f"{lacks(path)}{advice}")
    check_stored(path)
    try:
        yield
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} is truncated or corrupt ({error}){advice}") from None
