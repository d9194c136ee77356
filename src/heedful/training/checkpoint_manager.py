"""The checkpoint manager: best weights, last epochs to average, training states and metrics of a run folder."""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from heedful import run_folder
from heedful.atomic_files import sync_folder, writing
from heedful.config import write_toml
from heedful.errors import RunError
from heedful.strict_json import numbers_from_json, to_strict_json
from heedful.tasks.predictor import Predictor
from heedful.training.checkpoint import (
    Origin,
    Position,
    average_weights,
    load_checkpoint,
    save_checkpoint,
)

CHECKPOINTS: Final = "checkpoints"
"""The subfolder of a run with the files to resume from; a finished run has none."""
REMOVED: Final = ".heedful.finished"
"""The name of that subfolder while it is removed."""
STATE: Final = "state.safetensors"
"""The last checkpoint."""
PREVIOUS: Final = "state.previous.safetensors"
"""The checkpoint before it, for the case that the last one is damaged on the disk."""
NEXT: Final = "state.next.safetensors"
"""A new checkpoint, complete, before it takes the name of the last one."""
CONTINUATION: Final = "continuation.json"
"""What a finished run is to be continued with, until the first checkpoint of that is there."""


def has_checkpoint(folder: Path) -> bool:
    """Return whether a run folder holds a checkpoint to resume from, as an unfinished run does."""
    return bool(CheckpointManager(folder).state_files)


@dataclass(frozen=True)
class CheckpointManager:
    """Writes, averages and removes the checkpoints in one run folder."""

    folder: Path
    average_epochs: int = 1
    """Number of last epochs whose weights are averaged."""

    @property
    def state_files(self) -> list[Path]:
        """The paths of the checkpoints that are there, the newest first."""
        paths = [self.folder / CHECKPOINTS / name for name in (NEXT, STATE, PREVIOUS)]
        return [path for path in paths if path.exists()]

    @property
    def continuation(self) -> Path:
        """The path of `CONTINUATION`."""
        return self.folder / CHECKPOINTS / CONTINUATION

    def create(self, task: str, trained: Predictor) -> None:
        """Create the run folder with the configuration and the vocabularies.

        Raises: RunError if the folder is in use.
        """
        run_folder.create(self.folder, task)
        trained.save(self.folder)
        (self.folder / CHECKPOINTS).mkdir()

    def reopen(self, trained: Predictor, origin: Origin) -> Position:
        """Prepare the folder of a finished run for more epochs, and return the position at its end.

        Until `reopened`, a process that is killed leaves a run for which this is repeated.
        """
        self.continuation.parent.mkdir(exist_ok=True)
        run_folder.write_text(self.continuation, to_strict_json(asdict(origin)) + "\n")
        trained.answer.save(self.folder)
        self.write_configuration(trained)
        last, finished = self.validated()[-1], self.finished()
        return Position(
            epoch=last["epoch"],
            step=finished["steps"],
            best_epoch=last["epoch"],
            best=numbers_from_json(finished["scores"]),
            seconds=finished["seconds"],
            tokens=last["tokens"],
            training_seconds=last["training_seconds"],
        )

    def reopened(self) -> None:
        """Say that the first checkpoint after `reopen` is there."""
        self.continuation.unlink()

    def save_state(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        position: Position,
        origin: Origin,
        average: nn.Module | None = None,
    ) -> None:
        """Write a checkpoint; the last one is kept until the new one was read back, and then as the one before."""
        folder = self.folder / CHECKPOINTS
        save_checkpoint(folder / NEXT, model, optimizer, position, origin, average)
        with writing(folder / STATE):
            if (folder / STATE).exists():
                (folder / STATE).replace(folder / PREVIOUS)
            (folder / NEXT).replace(folder / STATE)
            sync_folder(folder)

    def load_state(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: nn.Module | None = None,
    ) -> tuple[Position, list[str]]:
        """Load the newest checkpoint that is not damaged, and return its position and warnings about others.

        Raises: RunError if all are damaged, or of another model.
        """
        damaged: dict[Path, str] = {}
        for path in self.state_files:
            try:
                position = load_checkpoint(path, model, optimizer, average)
            except RunError as error:
                damaged[path] = str(error)
                continue
            for each in damaged:
                each.unlink()  # the next checkpoint would take the place of the one that is not damaged
            return position, [
                f"{problem}. The training goes on from the checkpoint before it, {path.name}, of step {position.step:,}"
                for problem in damaged.values()
            ]
        raise RunError(
            f"{'; '.join(damaged.values())}. There is no other checkpoint to resume from: start a new run from the "
            "weights with --init-from, or train again with --overwrite"
        )

    def write_configuration(self, trained: Predictor) -> None:
        """Write the configuration, of which some settings may differ from those the run was begun with."""
        run_folder.write_text(self.folder / run_folder.CONFIGURATION, write_toml(trained.config))

    def save_best(self, trained: Predictor) -> None:
        """Write the weights of the run: the best checkpoint so far."""
        trained.save_weights(self.folder / run_folder.WEIGHTS)

    def save_epoch(self, trained: Predictor, epoch: int) -> None:
        """Write the weights of an epoch, and remove those that are too old to be averaged."""
        trained.save_weights(self._epoch_file(epoch))
        self._epoch_file(epoch - self.average_epochs).unlink(missing_ok=True)

    def average(self, last: int) -> tuple[str, dict[str, Tensor]] | None:
        """Return a name and the average weights of the last epochs up to `last`; None if there is only one."""
        epochs = range(max(1, last - self.average_epochs + 1), last + 1)
        # a continued run has no files of the epochs before
        kept = [epoch for epoch in epochs if self._epoch_file(epoch).exists()]
        if len(kept) < 2:
            return None
        first, files = kept[0], [self._epoch_file(epoch) for epoch in kept]
        return f"average of epochs {first} to {last}", average_weights(files)

    def write_metrics(self, values: dict[str, object], epochs_before: int) -> None:
        """Append a line to metrics.jsonl, and drop lines of later epochs, which a resumed run writes again."""
        kept = [line for line in self.metrics() if line.get("epoch", math.inf) <= epochs_before]
        text = "".join(to_strict_json(line) + "\n" for line in [*kept, values])
        run_folder.write_text(self.folder / run_folder.METRICS, text)

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl, oldest first.

        Raises: RunError for a damaged file.
        """
        path = self.folder / run_folder.METRICS
        return run_folder.read_metrics(self.folder) if path.exists() else []

    def validated(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl about epochs, oldest first."""
        return [line for line in self.metrics() if line["event"] == "validated"]

    def finished(self) -> dict[str, Any]:
        """Return the last line of metrics.jsonl of a finished run."""
        return self.metrics()[-1]

    def remove(self) -> None:
        """Remove the checkpoints folder: at once for whoever reads the run folder, then its files.

        The report of a run that was continued goes before, as it is of the end before.
        """
        removed = self.folder / REMOVED
        with writing(removed):
            (self.folder / run_folder.REPORT).unlink(missing_ok=True)
            shutil.rmtree(removed, ignore_errors=True)
            (self.folder / CHECKPOINTS).rename(removed)
            sync_folder(self.folder)
        shutil.rmtree(removed)

    def _epoch_file(self, epoch: int) -> Path:
        return self.folder / CHECKPOINTS / f"epoch-{epoch:04d}.safetensors"
