"""The training loop of every task, a generator of events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from heedful.answers.base import Scores, rank
from heedful.data.dataset import Dataset
from heedful.ops.jit.kernel import compile_seconds
from heedful.run_lock import RunLock
from heedful.tasks.base import Task
from heedful.tasks.batches import Share, grouped
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
from heedful.training.checkpoint import get_rng_states, set_rng_states
from heedful.training.checks import check_data, check_device, check_processes, check_start
from heedful.training.divergence import total_skipped_notices
from heedful.training.events import Event, Finished, Progress, Started, Stopped, Validated
from heedful.training.precision import precision_notices
from heedful.training.processes import Processes, join, launched_count
from heedful.training.schedule import learning_rate_factor
from heedful.training.staging import recover, recover_locked
from heedful.training.state import TrainingState
from heedful.training.validation import StopRequested, Validation, validate
from heedful.training.write_errors import explain_write_errors


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
    processes: Processes | None = None,
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
        processes: those that train together, from `heedful.training.processes.join`, which is called if it is None.
            Each calls this function and gets the same events; the first one alone reads and writes the folder.

    A step whose loss or gradient is not finite is not taken; see `training.skip_nonfinite` and DivergedError below.

    From the first event to the last the folder is locked: a second training into it is refused.

    A finished run is continued, with a new state of the optimizer, if `config` allows more epochs or steps than it
    took; settings of `training` may differ, those of the model may not.

    Raises: RunError if the folder is in use or cannot be written to, or, to resume, if it holds no run of this
        configuration and data with steps left to take; DataError for data that are empty or that the task cannot
        use; OptionError for an unavailable device or a precision that it does not support; from the iterator
        DivergedError for a loss, a gradient or weights that are not finite, after which the folder holds the last
        checkpoint before.

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
    if processes is None:
        processes = join_for(task, config.training)
    else:
        check_processes(task, config.training, processes.count)
    training = _Training(task, config, train, valid, folder, initial, stop, processes)
    if processes.is_first:
        recover(folder)
        training.check_folder(resume=resume, overwrite=overwrite)
    return training.run(resume=resume, overwrite=overwrite)


def join_for(task: Task, options: TrainingConfig) -> Processes:
    """Return the processes that train together, as `join`, unless the task is one that they cannot share.

    That is refused before they meet: a process that ended while others wait for it would be a lost one to them.
    """
    check_processes(task, options, launched_count())
    return join(options)


class _Agreed(NamedTuple):
    """What the processes do after a step."""

    stops: bool
    saves: bool
    seconds: float
    """The time of the step."""


class _Training(TrainingState):
    """One training run."""

    def run(self, *, resume: bool, overwrite: bool) -> Iterator[Event]:
        """Lock the folder, check it again, and train."""
        folder = self.checkpoints.folder
        if not self.processes.is_first:
            yield from self._train(resume)
            return
        with (
            explain_write_errors(folder, begun=lambda: self.begun),
            RunLock(folder) as lock,
        ):
            recover_locked(folder)
            self.check_folder(resume=resume, overwrite=overwrite)
            if not lock.is_supported:
                self.notices.append(
                    f"the file system of {folder} has no locks; see to it that no other process writes there"
                )
            yield from self._train(resume)

    def _train(self, resume: bool) -> Iterator[Event]:
        self.prepare(resume)
        steps = known_steps(self.options, self.steps_per_epoch)
        yield Started(
            run=self.checkpoints.folder,
            parameters=sum(each.numel() for each in self.trained.model.parameters()),
            sizes=self.trained.sizes(),
            train_examples=self.batches.example_count,
            left_out=len(self.train_data) - self.batches.example_count,
            valid_examples=len(self.valid_data),
            epochs=self.options.epochs,
            steps_per_epoch=self.steps_per_epoch,
            first_step=self.position.step,
            steps=steps,
            warmup_steps=None if steps is None else warmup_steps(self.options, steps),
            notices=[
                *self.notices,
                *self.new_entries(),
                *self.vocabulary_notices(),
                *self.trained.input.data_notices(self.train_data.inputs),
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
        except StopRequested:
            yield Stopped(run=self.checkpoints.folder, step=self.position.step)

    def _train_epoch(self) -> Iterator[Progress]:
        """Train the remaining batches of the current epoch."""
        self.module.train()
        reported, before, loss_sum, count = time.monotonic(), self.position, 0.0, 0
        # The first steps compile kernels, which says nothing about the speed of later ones.
        clock, compiled = reported, sum(compile_seconds().values())
        for shares in grouped(self._shares(), self.options.accumulate):
            if budget_exhausted(self.options, self.position):
                break
            loss, predictions, tokens = self._step(shares)
            loss_sum, count = loss_sum + loss, count + predictions
            clock, step_start = time.monotonic(), clock
            agreed = self._agree(clock - step_start)
            self.position = replace(
                self.position,
                batch=self.position.batch + len(shares),
                step=self.position.step + 1,
                epoch_loss=self.position.epoch_loss + loss,
                epoch_tokens=self.position.epoch_tokens + predictions,
                tokens=self.position.tokens + tokens,
                training_seconds=self.position.training_seconds + agreed.seconds,
            )
            step = self.position.step
            if agreed.stops or agreed.saves:
                self.save_checkpoint(shares[-1].batch)
            if agreed.stops:
                raise StopRequested
            if step % self.options.progress_steps == 0 and count:
                compiling = sum(compile_seconds().values()) - compiled
                now = time.monotonic()
                seconds, tokens = now - reported - compiling, self.position.tokens - before.tokens
                steps = step - before.step
                yield self._progress(loss_sum / count, tokens / seconds, seconds / steps)
                reported, before, loss_sum, count = time.monotonic(), self.position, 0.0, 0
                clock, compiled = reported, sum(compile_seconds().values())

    def _shares(self) -> Iterator[Share[Any]]:
        """Yield what this process computes of the remaining batches of the current epoch."""
        position, processes = self.position, self.processes
        return self.batches.shares(
            position.epoch + 1, position.batch, process=processes.index, processes=processes.count
        )

    def _agree(self, seconds: float) -> _Agreed:
        """Return whether to stop, if any process is asked to, and what the clock of the first process says."""
        stops, saves = self.stop(), self.timer.is_due(self.position.step + 1)
        if self.processes.count == 1:
            return _Agreed(stops, saves, seconds)
        first = self.processes.is_first
        asked, due, taken = self.processes.totals(stops, first and saves, first * seconds)
        return _Agreed(asked > 0, due > 0, taken)

    def _step(self, shares: Sequence[Share[Any]]) -> tuple[float, int, int]:
        """Take one optimizer step and return the summed loss of its batches, their predictions and tokens.

        Loss and predictions are 0 if the step is left out.
        """
        options = self.options
        total = planned_steps(options, self.position, self.steps_per_epoch)
        rate = options.learning_rate * learning_rate_factor(
            options.schedule,
            self.position.step + 1,
            warmup=warmup_steps(options, total),
            total=total,
        )
        self.processes.seed(options.seed, self.position.step)
        taken = self.step.take(shares, rate)
        if taken.problem:
            self._gather_weights()
            self.position = self.guard.leave_out(taken.problem, self.position, len(shares))
            return 0.0, 0, taken.tokens
        self.position = replace(self.position, skipped_in_row=0)
        if self.average is not None:
            self.average.update(self.loss.model, self.position.step + 1)
        return taken.loss, taken.predictions, taken.tokens

    def _gather_weights(self) -> None:
        """Bring the weights of a sharded model to the one that validates and is saved."""
        if self.shards is not None:
            self.shards.gather_weights()

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
        with self.averaged():
            if best and self.processes.is_first:
                self.checkpoints.save_best(self.trained)
            if self.processes.is_first:
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
        if self.processes.is_first:
            self.checkpoints.write_metrics({"event": "validated", **asdict(event)}, epoch - 1)
        self.save_checkpoint()
        return event

    def _validate_or_stop(self) -> tuple[Scores, list[str]]:
        """Validate the weights at the end of an epoch.

        Raises: DivergedError if their loss or they themselves are not finite; StopRequested, with a checkpoint saved
            from which a resumed run validates.
        """
        random_states = get_rng_states()
        self._gather_weights()
        self.guard.check_epoch(self.position)
        try:
            with self.averaged():
                scores, notices, batch = self._validate()
        except StopRequested:
            set_rng_states(random_states)
            self.save_checkpoint()
            raise
        self.guard.check_validation(batch, self.position)
        self.guard.check_weights(self.position)
        return scores, notices

    def _finish(self) -> Finished:
        """Choose between the best epoch and the average of the last epochs, and remove the checkpoints."""
        last, best = self.position.epoch, self.position.best
        assert best is not None
        chosen, scores = f"epoch {self.position.best_epoch}", best
        averaged = self.processes.share(
            self.checkpoints.average(last) if self.processes.is_first else None
        )
        if averaged is not None:
            name, weights = averaged
            self.loss.model.load_state_dict(weights)
            averaged_scores = self._validate().scores
            is_better = rank(averaged_scores, self.options.metric) > rank(best, self.options.metric)
            if is_better or self.options.keep_average == "always":
                chosen, scores = name, averaged_scores
                if self.processes.is_first:
                    self.checkpoints.save_best(self.trained)
        notices = self.processes.share(self._calibrate() if self.processes.is_first else [])
        event = Finished(
            run=self.checkpoints.folder,
            epochs=last,
            steps=self.position.step,
            stopped_early=last < self.options.epochs
            and not budget_exhausted(self.options, self.position),
            chosen=chosen,
            scores=scores,
            seconds=time.monotonic() - self.start_time,
            notices=[*total_skipped_notices(self.position.skipped), *notices],
        )
        if self.processes.is_first:
            values = {**asdict(event), "run": event.run.name, **asdict(self.origin)}
            self.checkpoints.write_metrics({"event": "finished", **values}, last)
            self.checkpoints.remove()
        return event

    def _calibrate(self) -> list[str]:
        """Calibrate the run, and return warnings about what it learned."""
        losses = [line["train_loss"] for line in self.checkpoints.validated()]
        notices = calibrate_run(
            self.task,
            self.checkpoints.folder,
            self.train_data,
            self.valid_data,
            self.fabric.device,
            self._raise_if_stopped,
        )
        return [*learning_notices(losses), *notices]

    def _validate(self) -> Validation:
        return validate(
            self.task,
            self.trained,
            self.loss,
            self.valid_batches,
            self.valid_data,
            self._raise_if_stopped,
            self.processes,
        )

    def _raise_if_stopped(self) -> None:
        if self.stop():
            raise StopRequested

    def _should_continue(self) -> bool:
        """Whether to train another epoch, or to validate one that the budget cut short."""
        position, options = self.position, self.options
        epochs_without_improvement = position.epoch - position.best_epoch
        if position.epoch >= options.epochs or 0 < options.patience <= epochs_without_improvement:
            return False
        return position.batch > 0 or not budget_exhausted(options, position)
