"""Options of every task."""

from __future__ import annotations

from typing import Any, Final

from heedful.errors import OptionError, shown
from heedful.tasks.options.base import GivenOptions, TaskOption


def _devices(value: Any, given: GivenOptions) -> list[str]:
    word = str(value)
    if word == "auto":
        return ['training.devices="auto"']
    if not word.isdecimal() or int(word) < 1:
        raise OptionError(f"--devices takes a number from 1 on, or auto; got {shown(value)}")
    return [f"training.devices={int(word)}"]


COMMON: Final = (
    TaskOption(
        name="epochs",
        setting="training.epochs",
        metavar="N",
        help="Maximum passes over the training data.",
        is_number=True,
    ),
    TaskOption(
        name="batch",
        setting="training.batch_tokens",
        metavar="N",
        help="Maximum tokens (steps of series, frames of recordings) in a batch, padding included.",
        is_number=True,
    ),
    TaskOption(
        name="lr",
        setting="training.learning_rate",
        metavar="X",
        help="Peak learning rate.",
        is_number=True,
    ),
    TaskOption(
        name="seed",
        setting="training.seed",
        metavar="N",
        help="Seed of weights, dropout and batch order.",
        is_number=True,
    ),
    TaskOption(
        name="threads",
        setting="training.threads",
        metavar="N",
        help="CPU threads; 0: PyTorch's choice.",
        is_number=True,
    ),
    TaskOption(
        name="checkpoint_minutes",
        setting="training.checkpoint_minutes",
        metavar="N",
        help="Minutes between checkpoints, what a killed training loses at most; 0: only at the end of each epoch.",
        default="5",
        is_number=True,
    ),
    TaskOption(
        name="device",
        setting="training.accelerator",
        metavar="NAME",
        help="cpu, cuda, mps or auto.",
        default="cpu",
    ),
    TaskOption(
        name="devices",
        setting="training.devices",
        metavar="N",
        help="Processes on this machine that train the model together, or auto.",
        default="1",
        convert=_devices,
    ),
    TaskOption(
        name="nodes",
        setting="training.nodes",
        metavar="M",
        help="Machines that train the model together; start the command on each.",
        default="1",
        is_number=True,
    ),
    TaskOption(
        name="strategy",
        setting="training.strategy",
        metavar="NAME",
        help="ddp: each process holds the whole training state; fsdp: a part of it.",
        default="ddp",
    ),
    TaskOption(
        name="precision",
        setting="training.precision",
        metavar="NAME",
        help="32-true, bf16-mixed, 16-mixed or 64-true.",
        default="32-true",
    ),
)
"""Options of every task."""
