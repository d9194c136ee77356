"""The work of `heedful train`: configure, read the data, train with progress, report."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import typer

from heedful import api, run_folder
from heedful.cli.command import FAILED, print_error
from heedful.cli.output import Output
from heedful.cli.progress import TrainingProgress
from heedful.cli.settings import TrainArguments, configure_run
from heedful.cli.signals import StopSignals
from heedful.cli.skipped import say_skipped
from heedful.cli.train_workers import train_in_workers
from heedful.cli.workers import LOST, end_with_parent, is_supervised, worker_index
from heedful.data.preparation import Preparing, reporting_preparation
from heedful.errors import DivergedError, LostProcessError, OptionError, StoppedError
from heedful.explore.run_report import next_commands
from heedful.tasks.base import Task
from heedful.tasks.predictor import Predictor
from heedful.tasks.table import TASKS
from heedful.training.checkpoint_manager import has_checkpoint
from heedful.training.checks import check_start
from heedful.training.events import Event, Finished, Stopped
from heedful.training.resume_checks import check_began
from heedful.training.staging import recover


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The run folder, the configuration file, and whether to resume or overwrite a run."""

    out: Path | None
    config: Path | None = None
    resume: bool = False
    overwrite: bool = False
    init_from: Path | None = None

    def folder(self) -> Path:
        """Return the run folder.

        Raises: OptionError if it is missing, or both `resume` and `overwrite` are set.
        """
        if self.out is None:
            raise OptionError("--out is missing: name the run's folder, as in --out runs/first")
        check_start(
            resume=self.resume, overwrite=self.overwrite, init_from=self.init_from is not None
        )
        return self.out


def train(arguments: TrainArguments, options: RunOptions, output: Output) -> None:
    """Run `heedful train`, or one of the processes that train together, of which the first one speaks."""
    out, task, worker = options.folder(), TASKS[arguments.task], worker_index()
    end_with_parent()
    if worker:
        output = Output(json=False, quiet=True)
    config = _configure(arguments, options, is_first=not worker)
    if worker is None:
        train_in_workers(config.training, _resume_command(task, out))
    with TrainingProgress(task, output) as bar, reporting_preparation(bar.show):
        data = task.reader.read_training(config.data)
    for part in data:
        say_skipped(part, output, f", listed in {out / run_folder.SKIPPED}")
    initial = None
    if options.init_from is not None and not worker:
        initial = task.load_initial(config, options.init_from)
    model, finished = train_with_progress(
        task,
        config,
        data,
        out,
        output,
        resume=options.resume,
        overwrite=options.overwrite,
        initial=initial,
    )
    if not worker:
        _say_result(model, finished, data, output)


def _configure(arguments: TrainArguments, options: RunOptions, *, is_first: bool) -> Any:
    """Return the configuration, after checks of the run folder by the process that writes it."""
    out = options.folder()
    if is_first:
        recover(out)
    if options.resume:
        check_began(out)
    base = out if options.resume else options.init_from
    config = configure_run(options.config, arguments, base, new_data=not options.resume)
    if is_first and not options.resume:
        run_folder.check_free(out, overwrite=options.overwrite)
    return config


def _say_result(model: api.TrainedModel, finished: Finished, data: Any, output: Output) -> None:
    """Say where the run is, what it came to and what to do next."""
    out = model.run
    report = out / run_folder.REPORT
    output.say(f"\nThe run is in {out}; its report: {report}")
    output.suggest(next_commands(model.predictor, out, data[1]))
    skipped = sum(len(part.skipped) for part in data)
    output.result(
        {
            "run": str(finished.run),
            "report": str(report),
            "epochs": finished.epochs,
            "steps": finished.steps,
            "stopped_early": finished.stopped_early,
            "chosen": finished.chosen,
            "validation": finished.scores,
            "notices": list(finished.notices),
            "seconds": finished.seconds,
            **({"skipped": skipped} if skipped else {}),
        }
    )


def train_with_progress(
    task: Task,
    config: Any,
    data: tuple[Any, Any],
    out: Path,
    output: Output,
    *,
    resume: bool = False,
    overwrite: bool = False,
    initial: Predictor | None = None,
) -> tuple[api.TrainedModel, Finished]:
    """Call `heedful.api.fit` and show progress; after a signal or divergence print how to go on, and exit."""
    last: Event | None = None
    command = _resume_command(task, out)
    notice = "" if output.quiet else "stopping after this step; Ctrl-C again stops at once"
    with StopSignals(notice) as signals, TrainingProgress(task, output) as bar:

        def show(event: Event) -> None:
            nonlocal last
            if not isinstance(event, Preparing):
                last = event
            # before the first step there is nothing to save; afterwards the run is complete
            signals.is_deferred = not isinstance(event, Preparing | Finished | Stopped)
            _show(bar, event, signals)

        try:
            model = api.fit(
                task,
                config,
                *data,
                out,
                progress=show,
                stop=signals,
                resume=resume,
                overwrite=overwrite,
                initial=initial,
            )
        except (KeyboardInterrupt, StoppedError):
            interrupted = "interrupted" + (f" by {signals.name}" if signals.name else "")
            has_begun = last is not None or ((resume or not overwrite) and has_checkpoint(out))
            advice = _advice(last, command) if has_begun else "nothing was written"
            _end(f"{interrupted}; {advice}", "", signals.status)
        except LostProcessError as error:
            # the command that started this process knows more; else one process speaks for all that are left
            if is_supervised() or worker_index() != error.speaker:
                raise typer.Exit(LOST) from None
            _end(f"{error}: {command}", "error: ", FAILED)
        except DivergedError as error:
            rate = f"--set training.learning_rate={error.learning_rate:g}"
            _end(f"{error}. With the learning rate: {command} {rate}", "error: ", FAILED)
    assert isinstance(last, Finished)
    return model, last


def _resume_command(task: Task, out: Path) -> str:
    return f"heedful train {task.name} --resume --out {shlex.quote(str(out))}"


def _show(bar: TrainingProgress, event: Event, signals: StopSignals) -> None:
    """Show an event; if the terminal is gone, as at a SIGHUP, the training still stops in good order."""
    try:
        bar.show(event)
    except OSError:
        if not signals():
            raise


def _advice(last: Event | None, command: str) -> str:
    match last:
        case Finished():
            return f"the run in {last.run} is trained; write its report with: {command}"
        case Stopped():
            return f"saved after step {last.step:,}; resume with: {command}"
    return f"resume with: {command}"


def _end(message: str, label: str, status: int) -> NoReturn:
    """Print an error and exit with a status; a terminal that is gone does not change the status."""
    with contextlib.suppress(OSError):
        print_error(message, label)
    raise typer.Exit(status) from None
