"""Checks of options, data and device before training writes any file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch

from heedful.data.dataset import Dataset
from heedful.data.preparation import in_chunks, report_chunks
from heedful.errors import DataError, OptionError
from heedful.tasks.base import Task
from heedful.tasks.sections import TrainingConfig


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


def check_processes(task: Task, options: TrainingConfig, processes: int) -> None:
    """Raise OptionError for a training that several processes cannot share."""
    if processes == 1:
        return
    if task.depends_on_batch:
        raise OptionError(
            f"the task {task.name} trains in one process: the loss of an example depends on the others of its batch, "
            "which several processes would divide; leave --devices and --nodes out"
        )
    if options.strategy == "fsdp" and options.ema_decay:
        raise OptionError(
            f"training.ema_decay = {options.ema_decay:g} does not work with training.strategy 'fsdp', under which no "
            "process has the whole weights after a step; use the strategy 'ddp', or set training.ema_decay to 0"
        )
    if options.strategy == "fsdp" and options.precision in ("16-mixed", "64-true"):
        raise OptionError(
            f"training.precision {options.precision!r} does not work with training.strategy 'fsdp'; use '32-true' or "
            "'bf16-mixed', or the strategy 'ddp'"
        )


UNSUPPORTED_PRECISIONS = {
    ("cpu", "16-mixed"): "needs a GPU; on a CPU use 'bf16-mixed'",
    ("mps", "64-true"): "is not supported on 'mps'; use '32-true', or accelerator 'cpu'",
}
"""(device type, unsupported precision) -> the end of the error message."""


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
