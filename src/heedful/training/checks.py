"""What is checked before a training touches its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from heedful import run_folder
from heedful.data.dataset import Dataset
from heedful.errors import DataError, OptionError, RunError
from heedful.tasks.base import Task
from heedful.tasks.sections import TrainingConfig
from heedful.training.checkpoint import read_data_digest
from heedful.training.keep import CHECKPOINTS, STATE


def check_data(train: Dataset, valid: Dataset, examples: str = "examples") -> None:
    """Raise DataError without examples to train on or to validate with."""
    for what, data in (("training", train), ("validation", valid)):
        if not len(data):
            raise DataError(f"there are no {what} {examples}; one or more are wanted")


def check_device(options: TrainingConfig) -> None:
    """Raise OptionError for an accelerator that is not there, or a precision that it lacks."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind: str = options.accelerator
    if kind == "auto":
        kind = next((name for name, found in there.items() if found), "cpu")
    if not there.get(kind, True):
        raise OptionError(
            f"training.accelerator is {kind!r}, but PyTorch finds no such device here; "
            "take 'cpu' or 'auto'"
        )
    if (kind, options.precision) in LACKING:
        mend = LACKING[kind, options.precision]
        raise OptionError(f"training.precision {options.precision!r} {mend}")


LACKING = {
    ("cpu", "16-mixed"): "wants a GPU; on a CPU take 'bf16-mixed'",
    ("mps", "64-true"): "is more than 'mps' has; take '32-true', or accelerator 'cpu'",
}
"""Precisions that a kind of device lacks, and what to do."""


def check_resumable(task: Task, folder: Path, config: Any, train: Dataset, valid: Dataset) -> None:
    """Raise RunError unless `folder` holds an unfinished training of this configuration and data."""
    if task.load_config(folder) != config:
        raise RunError(
            f"the configuration differs from that of the run in {folder}; resume with its own"
        )
    state = folder / CHECKPOINTS / STATE
    if not state.exists():
        raise RunError(f"the run in {folder} has finished; there is nothing to resume")
    if run_folder.read_format(folder) < run_folder.FORMAT:
        raise RunError(
            f"the run in {folder} was begun by an older Heedful; end it with that version, or train anew"
        )
    if read_data_digest(state) != digest(train.texts(), valid.texts()):
        raise RunError(
            f"the training or validation {task.examples} are not those that the run in {folder} "
            "began with; put the files back as they were, or train anew"
        )


def digest(train: Sequence[Sequence[str]], valid: Sequence[Sequence[str]]) -> str:
    """Return a fingerprint (SHA-256) of every text of the data, in their order.

    >>> digest([["a"], ["b"]], [["c"], ["d"]])[:8]
    'ef0aa427'
    """
    found = hashlib.sha256()
    for texts in (*train, *valid):
        found.update(f"{len(texts)} texts\n".encode())
        for text in texts:
            encoded = text.encode()
            # the length keeps texts that hold line ends apart
            found.update(b"%d " % len(encoded))
            found.update(encoded)
    return found.hexdigest()
