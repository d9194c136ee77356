"""The checkpoint manager: best weights, last epochs to average, training state and metrics of a run folder."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from heedful import run_folder
from heedful.config import write_toml
from heedful.strict_json import numbers_from_json, to_strict_json
from heedful.tasks.predictor import Predictor
from heedful.training.checkpoint import Position, average_weights

CHECKPOINTS = "checkpoints"
"""The subfolder of a run with the files to resume from; a finished run has none."""
STATE = "state.safetensors"


def has_checkpoint(folder: Path) -> bool:
    """Return whether a run folder holds a checkpoint to resume from, as an unfinished run does."""
    return (folder / CHECKPOINTS / STATE).exists()


@dataclass(frozen=True)
class CheckpointManager:
    """Writes, averages and removes the checkpoints in one run folder."""

    folder: Path
    average_epochs: int
    """Number of last epochs whose weights are averaged."""

    @property
    def state_file(self) -> Path:
        """Path of the checkpoint to resume from."""
        return self.folder / CHECKPOINTS / STATE

    def create(self, task: str, trained: Predictor) -> None:
        """Create the run folder with the configuration and the vocabularies.

        Raises: RunError if the folder is in use.
        """
        run_folder.create(self.folder, task)
        trained.save(self.folder)
        (self.folder / CHECKPOINTS).mkdir()

    def reopen(self, trained: Predictor) -> Position:
        """Prepare the folder of a finished run for more epochs, and return the position at its end."""
        trained.answer.save(self.folder)
        self.write_configuration(trained)
        (self.folder / CHECKPOINTS).mkdir(exist_ok=True)
        last, finished = self.validated()[-1], self._lines()[-1]
        return Position(
            epoch=last["epoch"],
            step=finished["steps"],
            best_epoch=last["epoch"],
            best=numbers_from_json(finished["scores"]),
            seconds=finished["seconds"],
            tokens=last["tokens"],
            training_seconds=last["training_seconds"],
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
        path = self.folder / run_folder.METRICS
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if json.loads(line).get("epoch", math.inf) <= epochs_before]
        run_folder.write_text(path, "\n".join([*kept, to_strict_json(values)]) + "\n")

    def validated(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl about epochs, oldest first."""
        return [line for line in self._lines() if line["event"] == "validated"]

    def _lines(self) -> list[dict[str, Any]]:
        text = (self.folder / run_folder.METRICS).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def remove(self) -> None:
        """Remove the checkpoints folder; the state first, so that an interrupted removal leaves a finished run."""
        self.state_file.unlink()
        shutil.rmtree(self.folder / CHECKPOINTS)

    def _epoch_file(self, epoch: int) -> Path:
        return self.folder / CHECKPOINTS / f"epoch-{epoch:04d}.safetensors"
