"""What is checked before a training touches its folder."""

from __future__ import annotations

from pathlib import Path

import torch

from heedful.data.files import Pairs
from heedful.errors import DataError, OptionError, RunError
from heedful.tasks.translation import load_config
from heedful.tasks.translation_config import TrainingConfig, TranslationConfig
from heedful.train.checkpoint import CHECKPOINTS, STATE


def check_data(train: Pairs, valid: Pairs) -> None:
    """Raise DataError without pairs to train on or to validate with."""
    for what, pairs in (("training", train), ("validation", valid)):
        if not len(pairs):
            raise DataError(f"there are no {what} pairs; one or more are wanted")


def check_device(options: TrainingConfig) -> None:
    """Raise OptionError for an accelerator that is not there, or a precision that it lacks."""
    found = {
        "cpu": True,
        "auto": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not found[options.accelerator]:
        raise OptionError(
            f"training.accelerator is {options.accelerator!r}, but PyTorch finds no such device here; "
            "take 'cpu' or 'auto'"
        )
    if options.precision == "16-mixed" and options.accelerator == "cpu":
        raise OptionError("training.precision '16-mixed' wants a GPU; on a CPU take 'bf16-mixed'")


def check_resumable(folder: Path, config: TranslationConfig) -> None:
    """Raise RunError unless `folder` holds an unfinished training with this configuration."""
    if load_config(folder) != config:
        raise RunError(
            f"the configuration differs from that of the run in {folder}; resume with its own"
        )
    if not (folder / CHECKPOINTS / STATE).exists():
        raise RunError(f"the run in {folder} has finished; there is nothing to resume")
