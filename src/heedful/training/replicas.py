"""The same untrained or loaded model in each process, from what the first one learned or read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from heedful import run_folder
from heedful.errors import DataError
from heedful.tasks.base import Task
from heedful.tasks.predictor import Predictor
from heedful.training.checkpoint import Origin
from heedful.training.processes import Processes


def same_predictor(
    processes: Processes, task: Task, config: Any, learn: Callable[[], Predictor]
) -> Predictor:
    """Return what `learn` returns in the first process, which alone calls it.

    Vocabularies and statistics travel as the files of a run folder.
    """
    if processes.count == 1:
        return learn()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files: dict[str, bytes] = {}
        if processes.is_first:
            trained = learn()
            run_folder.create(folder, task.name)
            trained.save(folder)
            files = {each.name: each.read_bytes() for each in folder.iterdir()}
        files = processes.share(files)
        if not processes.is_first:
            for file, content in files.items():
                (folder / file).write_bytes(content)
            trained = task.reload(config, folder)
    # Buffers first: some have as many rows as there are training examples.
    parameters = dict(trained.model.named_parameters())
    buffers = {
        name: each for name, each in trained.model.state_dict().items() if name not in parameters
    }
    trained.model.load_state_dict(processes.share(buffers), strict=False)
    processes.copy_weights(trained.model)
    return trained


def share_optimizer(processes: Processes, optimizer: torch.optim.Optimizer) -> None:
    """Give the optimizer of each process the state that it has in the first."""
    if processes.count > 1:
        optimizer.load_state_dict(processes.share(optimizer.state_dict()))


def check_same_origin(processes: Processes, origin: Origin) -> None:
    """Raise DataError if some process has other data or settings than the first."""
    for number, other in enumerate(processes.gather(origin)):
        if other.data != origin.data:
            raise DataError(
                f"processes {number} and {processes.index} have read different data; give each machine the same "
                "files, and no pipes, which only one process can read"
            )
        if other.config != origin.config:
            raise DataError(
                f"processes {number} and {processes.index} have different settings; start each with the same command"
            )
