"""Which weights a training keeps, and what it writes into its folder on the way."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from heedful import run_folder
from heedful.tasks.predictor import Predictor
from heedful.training.checkpoint import average

CHECKPOINTS = "checkpoints"
"""The folder within a run that holds what resuming needs; a finished run has none."""
STATE = "state.safetensors"


@dataclass(frozen=True)
class Keeper:
    """The files of one training's run folder."""

    folder: Path
    epochs: int
    """Of how many epochs, the last ones, the weights are kept for averaging."""

    @property
    def state(self) -> Path:
        """The checkpoint."""
        return self.folder / CHECKPOINTS / STATE

    def begin(self, task: str, trained: Predictor) -> None:
        """Make the folder, with the configuration and the vocabularies.

        Raises: RunError for a folder that is taken.
        """
        run_folder.create(self.folder, task)
        trained.save(self.folder)
        (self.folder / CHECKPOINTS).mkdir()

    def keep_best(self, trained: Predictor) -> None:
        """Make these weights the run's own."""
        trained.save_weights(self.folder / run_folder.WEIGHTS)

    def keep_epoch(self, trained: Predictor, epoch: int) -> None:
        """Keep the weights of an epoch, for as long as the average may want them."""
        trained.save_weights(self._epoch_file(epoch))
        self._epoch_file(epoch - self.epochs).unlink(missing_ok=True)

    def average(self, last: int) -> tuple[str, dict[str, Tensor]] | None:
        """Average the epochs kept up to `last` and name what it is; None when there is but one."""
        first = max(1, last - self.epochs + 1)
        if first == last:
            return None
        files = [self._epoch_file(epoch) for epoch in range(first, last + 1)]
        return f"average of epochs {first} to {last}", average(files)

    def write_metrics(self, values: dict[str, object], epochs_before: int) -> None:
        """Add a line to metrics.jsonl, after those of the epochs before: a resumed run repeats the rest."""
        path = self.folder / run_folder.METRICS
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if json.loads(line).get("epoch", math.inf) <= epochs_before]
        run_folder.write_text(path, "\n".join([*kept, json.dumps(values)]) + "\n")

    def end(self) -> None:
        """Remove what only resuming needs; the state first, for without it nobody asks for the rest."""
        self.state.unlink()
        shutil.rmtree(self.folder / CHECKPOINTS)

    def _epoch_file(self, epoch: int) -> Path:
        return self.folder / CHECKPOINTS / f"epoch-{epoch:04d}.safetensors"
