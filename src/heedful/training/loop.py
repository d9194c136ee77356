"""The training loop of every task, a generator of events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import torch

from heedful import run_folder
from heedful.answers.base import rank
from heedful.data.dataset import Dataset
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
from heedful.training.checkpoint import Position, load_checkpoint, save_checkpoint
from heedful.training.checkpoint_manager import CheckpointManager
from heedful.training.checks import (
    check_data,
    check_device,
    check_resumable,
    check_start,
    texts_digest,
)
from heedful.training.events import Event, Finished, Progress, Started, Validated
from heedful.training.fabric import build_fabric
from heedful.training.memory import keep_freed_memory, set_threads
from heedful.training.precision import precision_notices
from heedful.training.replace import replacing
from heedful.training.schedule import learning_rate_factor
from heedful.training.validation import Validation, validate

FEATURES: Final = "features"
"""The folder beside a run that keeps what is costly to compute of the data, see `Dataset.cached_in`."""


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

    A finished run is continued, with a new state of the optimizer, if `config` allows more epochs or steps than it
    took; settings of `training` may differ, those of the model may not.

    Raises: RunError if the folder is in use, or, to resume, if it holds no run of this configuration and data with
        steps left to take; DataError for data that are empty or that the task cannot use; OptionError for an
        unavailable device or a precision that it does not support.

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
    events = _Training(task, config, train, valid, folder, initial).run(resume)
    return replacing(folder, events) if overwrite and run_folder.is_run(folder) else events


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
    ):
        self.task = task
        self.config = config
        self.options: TrainingConfig = config.training
        cache = folder.parent / FEATURES
        self.train_data, self.valid_data = train.cached_in(cache), valid.cached_in(cache)
        self.digest = texts_digest(train.texts(), valid.texts())
        self.checkpoints = CheckpointManager(folder, config.training.average_epochs)
        self.position = Position()
        self.initial = initial
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
                *self.trained.input.notices(self.train_data.inputs),
                *budget_notices(self.options, self.steps_per_epoch),
                *precision_notices(
                    self.options.precision, self.fabric.device.type, self.trained.model
                ),
            ],
        )
        while self._should_continue():
            yield from self._train_epoch()
            yield self._validate_epoch()
        yield self._finish()

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
        folder, interrupted = self.checkpoints.folder, self.checkpoints.state_file.exists()
        if resume and interrupted:
            self.trained = self.task.reload(self.config, folder)
        elif resume:
            self.trained = self.task.reload_finished(self.config, folder, self.train_data)
        elif self.initial is not None:
            self.trained = self.task.learn_from(self.config, self.train_data, self.initial)
        else:
            self.trained = self.task.learn(self.config, self.train_data)
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
        if resume and interrupted:
            self.position = load_checkpoint(self.checkpoints.state_file, self.loss.model, optimizer)
        elif resume:
            self.trained.load_weights(folder)
            self.position = self.checkpoints.reopen(self.trained)
            self._save_checkpoint()
        else:
            self.checkpoints.create(self.task.name, self.trained)
            self._save_checkpoint()
        self.start_time = time.monotonic() - self.position.seconds

    def _train_epoch(self) -> Iterator[Progress]:
        """Train the remaining batches of the current epoch."""
        self.module.train()
        reported, before, loss_sum, count = time.monotonic(), self.position, 0.0, 0
        # The first steps compile kernels, which says nothing about the speed of later ones.
        clock, compiled = reported, sum(compile_seconds().values())
        for batch in self.batches.epoch(self.position.epoch + 1, first=self.position.batch):
            if budget_exhausted(self.options, self.position):
                break
            loss, predictions = self._step(batch), self.loss.count_predictions(batch)
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
            step, interval = self.position.step, self.options.checkpoint_steps
            if interval and step % interval == 0:
                self._save_checkpoint()
            if step % self.options.progress_steps == 0:
                compiling = sum(compile_seconds().values()) - compiled
                now = time.monotonic()
                seconds, tokens = now - reported - compiling, self.position.tokens - before.tokens
                steps = step - before.step
                yield self._progress(loss_sum / count, tokens / seconds, seconds / steps)
                reported, before, loss_sum, count = time.monotonic(), self.position, 0.0, 0
                clock, compiled = reported, sum(compile_seconds().values())

    def _step(self, batch: Any) -> float:
        """Take one optimizer step and return the batch's summed loss."""
        options = self.options
        total = planned_steps(options, self.position, self.steps_per_epoch)
        rate = options.learning_rate * learning_rate_factor(
            options.schedule,
            self.position.step + 1,
            warmup=warmup_steps(options, total),
            total=total,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.module(self.fabric.to_device(batch))
        self.fabric.backward(loss / self.loss.count_predictions(batch))
        if options.clip_norm:
            self.fabric.clip_gradients(self.module, self.optimizer, max_norm=options.clip_norm)
        self.optimizer.step()
        return float(loss.detach())

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
        (scores, notices), metric = self._validate(), self.options.metric
        old, epoch = self.position, self.position.epoch + 1
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
            notices=[*learning_notices(losses), *calibration_notices],
        )
        self.checkpoints.write_metrics(
            {"event": "finished", **asdict(event), "run": event.run.name}, last
        )
        self.checkpoints.remove()
        return event

    def _validate(self) -> Validation:
        return validate(self.task, self.trained, self.loss, self.valid_batches, self.valid_data)

    def _should_continue(self) -> bool:
        """Whether to train another epoch, or to validate one that the budget cut short."""
        position, options = self.position, self.options
        epochs_without_improvement = position.epoch - position.best_epoch
        if position.epoch >= options.epochs or 0 < options.patience <= epochs_without_improvement:
            return False
        return position.batch > 0 or not budget_exhausted(options, position)

    def _save_checkpoint(self) -> None:
        self.position = replace(self.position, seconds=time.monotonic() - self.start_time)
        save_checkpoint(
            self.checkpoints.state_file, self.loss.model, self.optimizer, self.position, self.digest
        )
