"""The folder of a trained model: its files, its format number, and how files are written and checked.

A run folder can be moved. Nothing in it is a pickle, and reading one runs no code from it. `FORMAT` is raised when what
a folder holds changes; folders of older formats are still read (see `heedful.tasks.upgrade`).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from heedful.errors import RunError

MARKER = "heedful.json"
CONFIGURATION = "config.toml"
WEIGHTS = "model.safetensors"
METRICS = "metrics.jsonl"
SKIPPED = "skipped.txt"

FORMAT = 2
"""Of the folders that are written. Every format from 1 on is read."""


def create(folder: str | Path, task: str) -> Path:
    """Make a run folder that holds only its marker.

    Raises: RunError when something that is not an empty folder is already there.
    """
    folder = Path(folder)
    check_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / MARKER, json.dumps({"task": task, "format": FORMAT}) + "\n")
    return folder


def is_run(folder: Path) -> bool:
    """Return whether a folder has the marker of a run, of whatever format."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(marker, dict) and "task" in marker


def check_free(folder: str | Path, *, overwrite: bool = False) -> None:
    """Check that a run can be written to `folder`: nothing is there, an empty folder, or a run to overwrite.

    Raises: RunError otherwise; nothing is changed.
    """
    folder = Path(folder)
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if overwrite and folder.exists():
        if is_run(folder):
            return
        raise RunError(f"{folder} is not a run, so it is not overwritten; name another folder")
    if folder.exists():
        if not folder.is_dir():
            raise RunError(f"{folder} is a file; name another folder for the run")
        if not (folder / MARKER).exists():
            raise RunError(f"{folder} exists and is not empty; name another folder for the run")
        raise RunError(
            f"{folder} holds a run already; --resume goes on with it, --overwrite replaces it (in Python resume=True, "
            "overwrite=True), or name another folder"
        )
    above = next((each for each in folder.absolute().parents if each.exists()), None)
    if above is None or not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise RunError(f"{folder} cannot be made: {above} is not a folder that can be written to")


def check(folder: str | Path, task: str) -> Path:
    """Return the folder of a run of `task`.

    Raises: RunError for a folder that is missing, is no run, or is a run of something else.
    """
    got = read_task(folder)
    if got != task:
        raise RunError(f"{folder} holds a run of {got!r}, wanted one of {task!r}")
    return Path(folder)


def read_task(folder: str | Path) -> str:
    """Return the name of the task that a run folder holds.

    Raises: RunError for a folder that is missing, or is no run that this Heedful reads.
    """
    return _read_marker(folder)[0]


def read_format(folder: str | Path) -> int:
    """Return the format number of a run folder.

    Raises: RunError as `read_task`.
    """
    return _read_marker(folder)[1]


def _read_marker(folder: str | Path) -> tuple[str, int]:
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise RunError(
            f"{folder} is a file; give the folder that was named with --out when training"
        )
    if not folder.is_dir():
        raise RunError(f"run folder {str(folder)!r} does not exist")
    marker = folder / MARKER
    if not marker.exists():
        raise RunError(
            f"{folder} is not a run folder: it has no {MARKER}; "
            "give the folder that was named with --out when training"
        )
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
        got_task, got_format = str(found["task"]), found["format"]
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{marker} is corrupt; copy the folder again or train anew") from None
    if got_format not in range(1, FORMAT + 1):
        raise RunError(
            f"{folder} has format {got_format}, this Heedful reads 1 to {FORMAT}; "
            "use the version of Heedful that wrote it"
        )
    return got_task, got_format


def write_skipped(folder: Path, rows: Sequence[str]) -> None:
    """List the rows of the data that were left out, if any, once each."""
    if rows:
        write_text(folder / SKIPPED, "".join(f"{row}\n" for row in dict.fromkeys(rows)))


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or nothing: a reader never sees half of it."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or nothing, also when the process is killed in between."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors (copies of those that share memory) as safetensors, whole or not at all."""
    kept = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_bytes(path, save(kept, metadata=dict(metadata or {})))


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file.

    Raises: RunError as `read_tensors`.
    """
    with _reading(path), safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata from safetensors.

    Raises: RunError for a missing, truncated or corrupt file, saying what to do.
    """
    metadata = read_metadata(path)
    with _reading(path):
        return load_file(path), metadata


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    advice = "copy the run folder again, resume its training or train anew"
    if not path.exists():
        raise RunError(f"{path} is missing; {advice}")
    try:
        yield
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} is truncated or corrupt ({error}); {advice}") from None
