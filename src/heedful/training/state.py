"""The state of a training: its data, model, optimizer and position, and the run folder that it is kept in."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from heedful import run_folder
from heedful.data.dataset import Dataset
from heedful.errors import RunError
from heedful.ops.finite import all_finite
from heedful.tasks.base import LossModule, Task
from heedful.tasks.predictor import Predictor
from heedful.tasks.sections import TrainingConfig
from heedful.training.checkpoint import Origin, Position
from heedful.training.checkpoint_manager import CHECKPOINTS, CheckpointManager
from heedful.training.checkpoint_timer import CheckpointTimer
from heedful.training.checks import texts_digest
from heedful.training.divergence import DivergenceGuard
from heedful.training.encoded_store import EncodedStore
from heedful.training.fabric import build_fabric
from heedful.training.memory import keep_freed_memory, set_threads
from heedful.training.moving_average import MovingAverage
from heedful.training.optimizer_step import OptimizerStep
from heedful.training.processes import Processes
from heedful.training.replicas import check_same_origin, same_predictor, share_optimizer
from heedful.training.resume_checks import check_resumable
from heedful.training.stage import Stage, read_origin, read_stage
from heedful.training.staging import staged

if TYPE_CHECKING:
    from heedful.training.strategies import Shards

FEATURES: Final = "features"
"""The folder beside a run that keeps what is costly to compute of the data, see `Dataset.cached_in`."""


class TrainingState:
    """What a training consists of and how far it is; `prepare` builds or loads it, `save_checkpoint` keeps it.

    Args:
        task, config, train, valid, initial, stop, processes: see `heedful.training.loop.train_model`.
        folder: the run folder.
    """

    def __init__(
        self,
        task: Task,
        config: Any,
        train: Dataset,
        valid: Dataset,
        folder: Path,
        initial: Predictor | None,
        stop: Callable[[], bool],
        processes: Processes,
    ):
        self.processes = processes
        self.task = task
        self.config = config
        self.options: TrainingConfig = config.training
        cache = folder.parent / FEATURES
        self.train_data, self.valid_data = train.cached_in(cache), valid.cached_in(cache)
        digest = texts_digest(train.texts(), valid.texts())
        self.origin = Origin(config.model_dump(mode="json"), digest)
        self.checkpoints = CheckpointManager(folder, config.training.average_epochs)
        self.store = EncodedStore(folder / CHECKPOINTS, digest)
        self.position = Position()
        self.initial = initial
        self.stop = stop
        self.timer = CheckpointTimer(config.training)
        self.start_time = time.monotonic()
        self.begun = False
        """Whether the run folder has a checkpoint of this training."""
        self.notices: list[str] = []

    def check_folder(self, *, resume: bool, overwrite: bool) -> None:
        """Raise RunError if this training cannot write to its folder."""
        folder = self.checkpoints.folder
        if resume:
            self.notices = check_resumable(self.task, folder, self.config, self.origin)
        else:
            run_folder.check_free(folder, overwrite=overwrite)

    def prepare(self, resume: bool) -> None:
        """Build the model or load it, encode the data, and make or reopen the run folder."""
        options, processes = self.options, self.processes
        set_threads(processes.threads(options.threads))
        self.fabric = processes.fabric or build_fabric(options)
        check_same_origin(processes, self.origin)
        torch.manual_seed(options.seed)
        stage = read_stage(self.checkpoints.folder) if processes.is_first else None
        interrupted = resume and processes.share(stage) is Stage.TRAINING
        self.trained = same_predictor(
            processes,
            self.task,
            self.config,
            lambda: self._learn_or_reload(resume, interrupted),
        )
        stored = self.store.load() if interrupted and processes.is_first else None
        self.batches = self.task.batches(
            self.trained, self.train_data, training=True, encoded=stored
        )
        self.steps_per_epoch = math.ceil(len(self.batches) / self.options.accumulate)
        self.valid_batches = self.task.batches(self.trained, self.valid_data, training=False)
        if options.keep_freed_memory:  # not that of the preparation
            keep_freed_memory()
        self._build_step()
        self._load_or_create(resume, interrupted)
        self.begun = True
        if stored is None and processes.is_first:
            self.batches = replace(self.batches, encoded=self.store.save(self.batches.encoded))
            self.guard.train = (self.batches, self.train_data)
        self.start_time = time.monotonic() - self.position.seconds

    def _build_step(self) -> None:
        """Build loss, optimizer and the check for divergence."""
        options = self.options
        self.loss = self.task.loss(self.trained)
        if options.precision == "64-true":
            self.loss.double()
        self.shards: Shards | None = None
        if self.processes.count > 1 and options.strategy == "fsdp":
            self._build_shards()
        else:
            self.saved_optimizer = self._adam(self.loss)
            self.module, self.optimizer = self.fabric.setup(self.loss, self.saved_optimizer)
        decay = options.ema_decay
        self.average = MovingAverage(self.loss.model, decay) if decay else None
        self.step = OptimizerStep(
            fabric=self.fabric,
            module=self.module,
            loss=self.loss,
            optimizer=self.optimizer,
            clip_norm=options.clip_norm,
            processes=self.processes,
        )
        self.guard = DivergenceGuard(
            options=options,
            loss=self.loss,
            optimizer=self.saved_optimizer,
            rates=self.optimizer,
            train=(self.batches, self.train_data),
            valid=(self.valid_batches, self.valid_data),
        )

    def _build_shards(self) -> None:
        """Build a copy of the model that is sharded and trained; the model itself validates and is saved."""
        # Imported here, as Lightning and PyTorch's sharding take seconds to import.
        from heedful.training.strategies import Shards

        self.fabric.to_device(self.loss)
        trained = LossModule(copy.deepcopy(self.loss.model), self.loss.answer)
        self.module = self.fabric.setup_module(trained)
        own = self._adam(trained)
        self.optimizer = self.fabric.setup_optimizers(own)
        self.saved_optimizer = self._adam(self.loss)
        self.shards = Shards(self.loss, trained, self.saved_optimizer, own)

    def _adam(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        options = self.options
        adam = torch.optim.AdamW if options.decoupled_decay else torch.optim.Adam
        return adam(
            module.parameters(),
            lr=options.learning_rate,
            betas=options.adam_betas,
            eps=options.adam_epsilon,
            weight_decay=options.weight_decay,
            fused=options.precision != "16-mixed",
        )

    def _learn_or_reload(self, resume: bool, interrupted: bool) -> Predictor:
        """Learn vocabularies and statistics from the training data, or load those of the run to resume."""
        folder = self.checkpoints.folder
        if interrupted:
            trained = self.task.reload(self.config, folder)
            trained.answer = trained.answer.uncalibrated()
            return trained
        if resume:
            return self.task.reload_finished(self.config, folder, self.train_data)
        if self.initial is not None:
            return self.task.learn_from(self.config, self.train_data, self.initial)
        return self.task.learn(self.config, self.train_data)

    def _load_or_create(self, resume: bool, interrupted: bool) -> None:
        """Load the checkpoint or the weights of a run to resume, or create the run folder."""
        if self.processes.is_first:
            self._load(resume, interrupted)
        self.position = self.processes.share(self.position)
        self.guard.saved_step = self.position.step
        self.processes.copy_weights(self.loss.model)
        if self.average is not None:
            if interrupted:
                self.processes.copy_weights(self.average.model)
            else:
                self.average.reset(self.loss.model)
        share_optimizer(self.processes, self.saved_optimizer)
        if self.shards is not None:
            self.shards.scatter()
        if not resume:
            self._create()
        elif not interrupted:
            self._reopen()
        elif self.processes.share(self._has_new_origin()):
            # From now on the run is one with these settings.
            if self.processes.is_first:
                self.checkpoints.write_configuration(self.trained)
            self.save_checkpoint()

    def _has_new_origin(self) -> bool:
        folder = self.checkpoints.folder
        return self.processes.is_first and read_origin(folder, Stage.TRAINING) != self.origin

    def _load(self, resume: bool, interrupted: bool) -> None:
        """Load the weights, and of an interrupted run the rest of its checkpoint."""
        if interrupted:
            self.position, damaged = self.checkpoints.load_state(
                self.loss.model, self.saved_optimizer, self._average_model
            )
            self.notices += damaged
        elif resume:
            self.trained.load_weights(self.checkpoints.folder)
        if not all_finite(*self.loss.parameters()):
            raise RunError(
                "the weights that training would start from hold NaN or infinity; start from another run"
            )

    def _create(self) -> None:
        """Make the run folder, with the checkpoint of step 0."""
        if not self.processes.is_first:
            self.save_checkpoint()
            return
        placed = self.checkpoints
        with staged(placed.folder) as folder:
            self.checkpoints = replace(placed, folder=folder)
            self.checkpoints.create(self.task.name, self.trained)
            self.save_checkpoint()
        self.checkpoints = placed

    def _reopen(self) -> None:
        """Prepare a finished run for more epochs."""
        first = self.processes.is_first
        self.position = self.processes.share(
            self.checkpoints.reopen(self.trained, self.origin) if first else self.position
        )
        self.start_time = time.monotonic() - self.position.seconds
        self.save_checkpoint()
        if first:
            self.checkpoints.reopened()

    @property
    def _average_model(self) -> torch.nn.Module | None:
        return None if self.average is None else self.average.model

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which the model has the moving average as its weights, if there is one."""
        if self.average is None:
            return contextlib.nullcontext()
        return self.average.in_place_of(self.loss.model)

    def new_entries(self) -> list[str]:
        """Return a line that counts what the data add to the vocabularies and labels of the initial model."""
        if self.initial is None:
            return []
        before = self.initial.sizes()
        added = {name: size - before[name] for name, size in self.trained.sizes().items()}
        listed = ", ".join(f"{name} {size:,}" for name, size in added.items() if size)
        return [f"starts from trained weights; newly initialized: {listed or 'nothing'}"]

    def vocabulary_notices(self) -> list[str]:
        """Return what a new run says of the sample that its vocabulary is learned from."""
        if self.position.step or self.initial is not None:
            return []
        return self.task.input.notices(self.config, len(self.train_data))

    def save_checkpoint(self, batch: Any = None) -> None:
        """Write the checkpoint to resume from; within an epoch `batch`, the last one, tells whether it is usable.

        Raises: DivergedError for weights or a loss that are not finite; the checkpoint before is kept.
        """
        first = self.processes.is_first
        if self.shards is not None:
            self.shards.gather(keep=first)
        if batch is not None:
            self.guard.check_weights(self.position, batch)
        self.position = replace(self.position, seconds=time.monotonic() - self.start_time)
        if first:
            optimizer = self.saved_optimizer
            self.checkpoints.save_state(
                self.loss.model, optimizer, self.position, self.origin, self._average_model
            )
        if self.shards is not None:
            self.saved_optimizer.state.clear()
        self.guard.saved_step = self.position.step
        self.timer.restart()
