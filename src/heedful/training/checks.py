"""Checks of data, device and run folder before training writes any file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from heedful import run_folder
from heedful.data.dataset import Dataset
from heedful.data.preparation import in_chunks, report_chunks
from heedful.errors import DataError, OptionError, RunError
from heedful.tasks.base import Task
from heedful.tasks.sections import TrainingConfig
from heedful.training.checkpoint import read_data_digest
from heedful.training.checkpoint_manager import CHECKPOINTS, STATE


def check_data(train: Dataset, valid: Dataset, examples: str = "examples") -> None:
    """Raise DataError if there are no training or no validation examples."""
    for what, data in (("training", train), ("validation", valid)):
        if not len(data):
            raise DataError(f"there are no {what} {examples}; expected at least one")


def check_start(*, resume: bool, overwrite: bool, init_from: bool) -> None:
    """Raise OptionError for two ways to start a training that exclude each other."""
    if resume and overwrite:
        raise OptionError("--resume continues a run, --overwrite replaces it; give one of them")
    if resume and init_from:
        raise OptionError(
            "--resume continues a run in its folder, --init-from starts a new one; give one of them"
        )


def check_device(options: TrainingConfig) -> None:
    """Raise OptionError if the accelerator is unavailable or does not support the precision."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind: str = options.accelerator
    if kind == "auto":
        kind = next((name for name, is_available in available.items() if is_available), "cpu")
    if not available.get(kind, True):
        raise OptionError(
            f"training.accelerator is {kind!r}, but PyTorch finds no such device; "
            "use 'cpu' or 'auto'"
        )
    if (kind, options.precision) in UNSUPPORTED_PRECISIONS:
        advice = UNSUPPORTED_PRECISIONS[kind, options.precision]
        raise OptionError(f"training.precision {options.precision!r} {advice}")


UNSUPPORTED_PRECISIONS = {
    ("cpu", "16-mixed"): "needs a GPU; on a CPU use 'bf16-mixed'",
    ("mps", "64-true"): "is not supported on 'mps'; use '32-true', or accelerator 'cpu'",
}
"""(device type, unsupported precision) -> the end of the error message."""


BUDGET: Final = frozenset({"epochs", "max_steps", "max_tokens", "max_seconds", "patience"})
"""Settings of `training` that limit a run; at least one differs when a finished run is continued."""


def check_resumable(task: Task, folder: Path, config: Any, digest: Callable[[], str]) -> None:
    """Check that `folder` holds a run that this configuration and these data can resume or continue.

    `digest` returns `texts_digest` of the data.

    Raises: RunError naming the settings that differ, or the reason.
    """
    own = task.load_config(folder)
    state = folder / CHECKPOINTS / STATE
    changes = setting_changes(own.model_dump(), config.model_dump())
    fixed = changes if state.exists() else [c for c in changes if not c.startswith("training.")]
    if fixed:
        raise RunError(
            f"the settings differ from those of the run in {folder}: {'; '.join(fixed)}. Resume it with its own, or "
            "start a new run from its weights with --init-from"
        )
    if not state.exists():
        if not any(
            change.startswith(tuple(f"training.{name}:" for name in BUDGET)) for change in changes
        ):
            raise RunError(
                f"the run in {folder} has finished; there is nothing to resume. Give more epochs to continue it, as in "
                f"--epochs {2 * own.training.epochs}"
            )
        return
    if run_folder.read_format(folder) < run_folder.FORMAT:
        raise RunError(
            f"the run in {folder} was begun by an older Heedful; finish it with that version, or train a new run"
        )
    if read_data_digest(state) != digest():
        raise RunError(
            f"the training or validation {task.examples} differ from those that the run in {folder} "
            "started with; restore the files, or train a new run"
        )


def setting_changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return a line `section.key: old -> new` for each setting that differs.

    >>> setting_changes({"training": {"epochs": 3, "seed": 0}}, {"training": {"epochs": 5, "seed": 0}})
    ['training.epochs: 3 -> 5']
    """
    changes = []
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            changes += setting_changes(before, after, f"{prefix}{key}.")
        elif before != after:
            changes.append(f"{prefix}{key}: {before} -> {after}")
    return changes


def texts_digest(train: Sequence[Sequence[str]], valid: Sequence[Sequence[str]]) -> str:
    """Return the SHA-256 digest of all texts of the data, in order.

    >>> texts_digest([["a"], ["b"]], [["c"], ["d"]])[:8]
    'ef0aa427'
    """
    digest = hashlib.sha256()
    for texts in (*train, *valid):
        digest.update(f"{len(texts)} texts\n".encode())
        for chunk in report_chunks(in_chunks(texts), "checksum of the data", "texts", len(texts)):
            encoded = [text.encode() for text in chunk]
            # the length prefix makes the encoding unambiguous
            digest.update(b"".join(b"%d %b" % (len(each), each) for each in encoded))
    return digest.hexdigest()
