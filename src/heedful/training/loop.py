"""The training loop of every task, a generator of events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from heedful import run_folder
from heedful.answers.base import Scores, rank
from heedful.data.dataset import Dataset
from heedful.errors import RunError
from heedful.ops.finite import all_finite
from heedful.ops.jit.kernel import compile_seconds
from heedful.tasks.base import Task
from heedful.tasks.predictor import Predictor
from heedful.tasks.sections import TrainingConfig
from heedful.training.budget import (
    budget_exhausted,
    budget_notices,
    known_steps,
    learning_notices,
    planned_steps,
    warmup_steps,
)
from heedful.training.calibration import calibrate_run
from heedful.training.checkpoint import (
    Position,
    get_rng_states,
    load_checkpoint,
    save_checkpoint,
    set_rng_states,
)
from heedful.training.checkpoint_manager import CheckpointManager
from heedful.training.checkpoint_timer import CheckpointTimer
from heedful.training.checks import (
    check_data,
    check_device,
    check_resumable,
    check_start,
    texts_digest,
)
from heedful.training.divergence import DivergenceGuard, total_skipped_notices
from heedful.training.events import Event, Finished, Progress, Started, Stopped, Validated
from heedful.training.fabric import build_fabric
from heedful.training.memory import keep_freed_memory, set_threads
from heedful.training.optimizer_step import OptimizerStep
from heedful.training.precision import precision_notices
from heedful.training.replace import replacing
from heedful.training.schedule import learning_rate_factor
from heedful.training.validation import Validation, validate


def never() -> bool:
    """Return False: nothing asks the training to stop."""
    return False


def train_model(
    task: Task,
    config: Any,
    train: Dataset,
    valid: Dataset,
    run_dir: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    initial: Predictor | None = None,
    stop: Callable[[], bool] = never,
) -> Iterator[Event]:
    """Train a model of `task` into the folder `run_dir` and yield events.

    With `resume` the run continues from its last checkpoint. On the same machine, with the same number of
    threads, its weights are bit for bit those of an uninterrupted run.

    Arguments are checked before this returns; files are written from the first event on.

    Args:
        task: one of `heedful.tasks.table.TASKS`.
        config: a `task.configuration`.
        train, valid: datasets from the task's readers.
        run_dir: a new folder, or, to resume or overwrite, that of a run.
        resume: continue the run.
        overwrite: replace the run, once the first step can be taken.
        initial: a trained model whose weights the training starts from, see `Task.load_initial`.
        stop: called after each step and before each batch of the validation; once it returns True, a checkpoint is
            saved and the last event is `Stopped`.

    A step whose loss or gradient is not finite is not taken; see `training.skip_nonfinite` and DivergedError below.

    A finished run is continued, with a new state of the optimizer, if `config` allows more epochs or steps than it
    took; settings of `training` may differ, those of the model may not.

    Raises: RunError if the folder is in use, or, to resume, if it holds no run of this configuration and data with
        steps left to take; DataError for data that are empty or that the task cannot use; OptionError for an
        unavailable device or a precision that it does not support; from the iterator DivergedError for a loss, a
        gradient or weights that are not finite, after which the folder holds the last checkpoint before.

    >>> import tempfile
    >>> from heedful.data.files import Pairs
    >>> from heedful.config import build
    >>> from heedful.tasks.translate import TASK, TranslationConfig
    >>> config = build(TranslationConfig, {
    ...     "model": {"kind": "gru", "embedding": 8, "hidden": 8},
    ...     "vocabulary": {"kind": "char"},
    ...     "training": {"epochs": 2, "progress_steps": 1, "keep_freed_memory": False},
    ... })
    >>> pairs = Pairs(["one", "two"], ["eins", "zwei"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     events = list(train_model(TASK, config, pairs, pairs, Path(folder, "run")))
    >>> [type(event).__name__ for event in events]
    ['Started', 'Progress', 'Validated', 'Progress', 'Validated', 'Finished']
    """
    folder = Path(run_dir)
    check_start(resume=resume, overwrite=overwrite, init_from=initial is not None)
    check_data(train, valid, task.examples)
    task.check(config, train, valid)
    check_device(config.training)
    if resume:
        check_resumable(task, folder, config, train, valid)
    else:
        run_folder.check_free(folder, overwrite=overwrite)
    events = _Training(task, config, train, valid, folder, initial, stop).run(resume)
    return replacing(folder, events) if overwrite and run_folder.is_run(folder) else events


class _StopRequested(Exception):  # noqa: N818
    """Leaves the training or a validation; the state to resume from is saved."""


class _Training:
    """The state of one training run."""

    def __init__(
        self,
        task: Task,
        config: Any,
        train: Dataset,
        valid: Dataset,
        folder: Path,
        initial: Predictor | None,
        stop: Callable[[], bool],
    ):
        self.task = task
        self.config = config
        self.options: TrainingConfig = config.training
        self.train_data, self.valid_data = train, valid
        self.digest = texts_digest(train.texts(), valid.texts())
        self.checkpoints = CheckpointManager(folder, config.training.average_epochs)
        self.position = Position()
        self.initial = initial
        self.stop = stop
        self.timer = CheckpointTimer(config.training)
        self.start_time = time.monotonic()

    def run(self, resume: bool) -> Iterator[Event]:
        self._prepare(resume)
        steps = known_steps(self.options, self.steps_per_epoch)
        yield Started(
            run=self.checkpoints.folder,
            parameters=sum(each.numel() for each in self.trained.model.parameters()),
            sizes=self.trained.sizes(),
            train_examples=len(self.batches.examples),
            left_out=len(self.train_data) - len(self.batches.examples),
            valid_examples=len(self.valid_data),
            epochs=self.options.epochs,
            steps_per_epoch=self.steps_per_epoch,
            first_step=self.position.step,
            steps=steps,
            warmup_steps=None if steps is None else warmup_steps(self.options, steps),
            notices=[
                *self._new_entries(),
                *budget_notices(self.options, self.steps_per_epoch),
                *precision_notices(
                    self.options.precision, self.fabric.device.type, self.trained.model
                ),
            ],
        )
        try:
            while self._should_continue():
                yield from self._train_epoch()
                yield self._validate_epoch()
            yield self._finish()
        except _StopRequested:
            yield Stopped(run=self.checkpoints.folder, step=self.position.step)

    def _new_entries(self) -> list[str]:
        """Return a line that counts what the data add to the vocabularies and labels of the initial model."""
        if self.initial is None:
            return []
        before = self.initial.sizes()
        added = {name: size - before[name] for name, size in self.trained.sizes().items()}
        listed = ", ".join(f"{name} {size:,}" for name, size in added.items() if size)
        return [f"starts from trained weights; newly initialized: {listed or 'nothing'}"]

    def _prepare(self, resume: bool) -> None:
        options = self.options
        if options.keep_freed_memory:
            keep_freed_memory()
        set_threads(options.threads)
        self.fabric = build_fabric(options)
        torch.manual_seed(options.seed)
        interrupted = self.checkpoints.state_file.exists()
        self.trained = self._learn_or_reload(resume, interrupted)
        self.batches = self.task.batches(self.trained, self.train_data, training=True)
        self.steps_per_epoch = len(self.batches)
        self.valid_batches = self.task.batches(self.trained, self.valid_data, training=False)
        self.loss = self.task.loss(self.trained)
        optimizer = torch.optim.AdamW(
            self.loss.parameters(),
            lr=options.learning_rate,
            betas=options.adam_betas,
            eps=1e-9,
            weight_decay=options.weight_decay,
            fused=options.precision != "16-mixed",
        )
        self.module, self.optimizer = self.fabric.setup(self.loss, optimizer)
        self.step = OptimizerStep(
            fabric=self.fabric,
            module=self.module,
            loss=self.loss,
            optimizer=self.optimizer,
            clip_norm=options.clip_norm,
        )
        self.guard = DivergenceGuard(
            options=options,
            loss=self.loss,
            optimizer=self.optimizer,
            train=(self.batches, self.train_data),
            valid=(self.valid_batches, self.valid_data),
        )
        self._load_or_create(resume, interrupted, optimizer)
        self.start_time = time.monotonic() - self.position.seconds

    def _learn_or_reload(self, resume: bool, interrupted: bool) -> Predictor:
        """Learn vocabularies and statistics from the training data, or load those of the run to resume."""
        folder = self.checkpoints.folder
        if resume and interrupted:
            return self.task.reload(self.config, folder)
        if resume:
            return self.task.reload_finished(self.config, folder, self.train_data)
        if self.initial is not None:
            return self.task.learn_from(self.config, self.train_data, self.initial)
        return self.task.learn(self.config, self.train_data)

    def _load_or_create(
        self, resume: bool, interrupted: bool, optimizer: torch.optim.Optimizer
    ) -> None:
        """Load the checkpoint or the weights of a run to resume, or create the run folder."""
        folder = self.checkpoints.folder
        if resume and interrupted:
            self.position = load_checkpoint(self.checkpoints.state_file, self.loss.model, optimizer)
            self.guard.saved_step = self.position.step
            self.checkpoints.write_configuration(self.trained)
        elif resume:
            self.trained.load_weights(folder)
        if not all_finite(*self.loss.parameters()):
            raise RunError(
                "the weights that training would start from hold NaN or infinity; start from another run"
            )
        if resume and not interrupted:
            self.position = self.checkpoints.reopen(self.trained)
        elif not resume:
            self.checkpoints.create(self.task.name, self.trained)
        if not interrupted:
            self._save_checkpoint()

    def _train_epoch(self) -> Iterator[Progress]:
        """Train the remaining batches of the current epoch."""
        self.module.train()
        reported, before, loss_sum, count = time.monotonic(), self.position, 0.0, 0
        # The first steps compile kernels, which says nothing about the speed of later ones.
        clock, compiled = reported, sum(compile_seconds().values())
        for batch in self.batches.epoch(self.position.epoch + 1, first=self.position.batch):
            if budget_exhausted(self.options, self.position):
                break
            loss, predictions = self._step(batch)
            loss_sum, count = loss_sum + loss, count + predictions
            clock, step_start = time.monotonic(), clock
            self.position = replace(
                self.position,
                batch=self.position.batch + 1,
                step=self.position.step + 1,
                epoch_loss=self.position.epoch_loss + loss,
                epoch_tokens=self.position.epoch_tokens + predictions,
                tokens=self.position.tokens + self.loss.count_tokens(batch),
                training_seconds=self.position.training_seconds + clock - step_start,
            )
            step = self.position.step
            if self.stop():
                self._save_checkpoint(batch)
                raise _StopRequested
            if self.timer.is_due(step):
                self._save_checkpoint(batch)
            if step % self.options.progress_steps == 0 and count:
                compiling = sum(compile_seconds().values()) - compiled
                now = time.monotonic()
                seconds, tokens = now - reported - compiling, self.position.tokens - before.tokens
                steps = step - before.step
                yield self._progress(loss_sum / count, tokens / seconds, seconds / steps)
                reported, before, loss_sum, count = time.monotonic(), self.position, 0.0, 0
                clock, compiled = reported, sum(compile_seconds().values())

    def _step(self, batch: Any) -> tuple[float, int]:
        """Take one optimizer step and return the batch's summed loss and predictions; 0 and 0 if it is left out."""
        options = self.options
        total = planned_steps(options, self.position, self.steps_per_epoch)
        rate = options.learning_rate * learning_rate_factor(
            options.schedule,
            self.position.step + 1,
            warmup=warmup_steps(options, total),
            total=total,
        )
        loss, problem = self.step.take(batch, rate)
        if problem:
            self.position = self.guard.leave_out(problem, self.position)
            return 0.0, 0
        self.position = replace(self.position, skipped_in_row=0)
        return loss, self.loss.count_predictions(batch)

    def _progress(self, loss: float, speed: float, seconds_per_step: float) -> Progress:
        steps = planned_steps(self.options, self.position, self.steps_per_epoch)
        return Progress(
            epoch=self.position.epoch + 1,
            step=self.position.step,
            steps=steps,
            loss=loss,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            tokens_per_second=speed,
            seconds_left=seconds_per_step * (steps - self.position.step),
        )

    def _validate_epoch(self) -> Validated:
        """Validate the epoch, save the weights if they are the best, write metrics and checkpoint."""
        old, epoch, metric = self.position, self.position.epoch + 1, self.options.metric
        scores, notices = self._validate_or_stop()
        best = old.best is None or rank(scores, metric) > rank(old.best, metric)
        self.position = replace(
            old,
            epoch=epoch,
            batch=0,
            epoch_loss=0.0,
            epoch_tokens=0,
            best_epoch=epoch if best else old.best_epoch,
            best=scores if best else old.best,
        )
        if best:
            self.checkpoints.save_best(self.trained)
        self.checkpoints.save_epoch(self.trained, epoch)
        notices = [*self.guard.notices(), *notices]
        event = Validated(
            epoch=epoch,
            step=old.step,
            train_loss=old.epoch_loss / max(1, old.epoch_tokens),
            scores=scores,
            best=best,
            seconds=time.monotonic() - self.start_time,
            tokens=old.tokens,
            training_seconds=old.training_seconds,
            notices=notices,
        )
        self.checkpoints.write_metrics({"event": "validated", **asdict(event)}, epoch - 1)
        self._save_checkpoint()
        return event

    def _validate_or_stop(self) -> tuple[Scores, list[str]]:
        """Validate the weights at the end of an epoch.

        Raises: DivergedError if their loss or they themselves are not finite; _StopRequested, with a checkpoint saved
            from which a resumed run validates.
        """
        random_states = get_rng_states()
        self.guard.check_epoch(self.position)
        try:
            scores, notices, batch = self._validate()
        except _StopRequested:
            set_rng_states(random_states)
            self._save_checkpoint()
            raise
        self.guard.check_validation(batch, self.position)
        self.guard.check_weights(self.position)
        return scores, notices

    def _finish(self) -> Finished:
        """Choose the better of the best epoch and the average of the last epochs, and remove the checkpoints."""
        last, best = self.position.epoch, self.position.best
        assert best is not None
        chosen, scores = f"epoch {self.position.best_epoch}", best
        averaged = self.checkpoints.average(last)
        if averaged is not None:
            name, weights = averaged
            self.loss.model.load_state_dict(weights)
            averaged_scores = self._validate().scores
            if rank(averaged_scores, self.options.metric) > rank(best, self.options.metric):
                chosen, scores = name, averaged_scores
                self.checkpoints.save_best(self.trained)
        losses = [line["train_loss"] for line in self.checkpoints.validated()]
        calibration_notices = calibrate_run(
            self.task,
            self.checkpoints.folder,
            self.train_data,
            self.valid_data,
            self.fabric.device,
            self._raise_if_stopped,
        )
        event = Finished(
            run=self.checkpoints.folder,
            epochs=last,
            steps=self.position.step,
            stopped_early=last < self.options.epochs
            and not budget_exhausted(self.options, self.position),
            chosen=chosen,
            scores=scores,
            seconds=time.monotonic() - self.start_time,
            notices=[
                *total_skipped_notices(self.position.skipped),
                *learning_notices(losses),
                *calibration_notices,
            ],
        )
        self.checkpoints.write_metrics(
            {"event": "finished", **asdict(event), "run": event.run.name}, last
        )
        self.checkpoints.remove()
        return event

    def _validate(self) -> Validation:
        return validate(
            self.task,
            self.trained,
            self.loss,
            self.valid_batches,
            self.valid_data,
            self._raise_if_stopped,
        )

    def _raise_if_stopped(self) -> None:
        if self.stop():
            raise _StopRequested

    def _should_continue(self) -> bool:
        """Whether to train another epoch, or to validate one that the budget cut short."""
        position, options = self.position, self.options
        epochs_without_improvement = position.epoch - position.best_epoch
        if position.epoch >= options.epochs or 0 < options.patience <= epochs_without_improvement:
            return False
        return position.batch > 0 or not budget_exhausted(options, position)

    def _save_checkpoint(self, batch: Any = None) -> None:
        """Write the checkpoint to resume from; within an epoch `batch`, the last one, tells whether it is usable.

        Raises: DivergedError for weights or a loss that are not finite; the checkpoint before is kept.
        """
        if batch is not None:
            self.guard.check_weights(self.position, batch)
        self.position = replace(self.position, seconds=time.monotonic() - self.start_time)
        save_checkpoint(
            self.checkpoints.state_file, self.loss.model, self.optimizer, self.position, self.digest
        )
        self.guard.saved_step = self.position.step
        self.timer.restart()
