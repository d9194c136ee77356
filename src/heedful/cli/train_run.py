"""The work of `heedful train`: configure, read the data, train with progress, report."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
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
from heedful.cli.workers import (
    LOST,
    Ended,
    Workers,
    end_with_parent,
    is_supervised,
    run_workers,
    worker_index,
)
from heedful.data.preparation import Preparing, reporting_preparation
from heedful.errors import DivergedError, LostProcessError, OptionError, StoppedError
from heedful.explore.run_report import next_commands
from heedful.tasks.base import Task
from heedful.tasks.predictor import Predictor
from heedful.tasks.sections import TrainingConfig
from heedful.tasks.table import TASKS
from heedful.training.checkpoint_manager import has_checkpoint
from heedful.training.checks import check_start
from heedful.training.events import Event, Finished, Stopped
from heedful.training.processes import device_count
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
    """Run `heedful train`."""
    out, task = options.folder(), TASKS[arguments.task]
    index = worker_index()
    end_with_parent()
    if index:
        output = Output(json=False, quiet=True)
    else:
        recover(out)
    if options.resume:
        check_began(out)
    base = out if options.resume else options.init_from
    config = configure_run(options.config, arguments, base, new_data=not options.resume)
    if not options.resume and not index:
        run_folder.check_free(out, overwrite=options.overwrite)
    if index is None:
        train_in_workers(config.training, _resume_command(task, out))
    with TrainingProgress(task, output) as bar, reporting_preparation(bar.show):
        data = task.reader.read_training(config.data)
    for part in data:
        say_skipped(part, output, f", listed in {out / run_folder.SKIPPED}")
    initial = None
    if options.init_from is not None and not index:
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
    if index:
        return
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
            if is_supervised():  # the command that started this process knows more
                raise typer.Exit(LOST) from None
            _end(f"{error}: {command}", "error: ", FAILED)
        except DivergedError as error:
            rate = f"--set training.learning_rate={error.learning_rate:g}"
            _end(f"{error}. With the learning rate: {command} {rate}", "error: ", FAILED)
    assert isinstance(last, Finished)
    return model, last


def _resume_command(task: Task, out: Path) -> str:
    return f"heedful train {task.name} --resume --out {shlex.quote(str(out))}"


def train_in_workers(training: TrainingConfig, resume: str) -> None:
    """Run this command as the processes that the configuration asks for, and exit; return if it is one.

    Args:
        training: says how many.
        resume: the command that resumes the training.
    """
    devices = device_count(training)
    if devices * training.nodes == 1:
        return
    workers = Workers(devices=devices, nodes=training.nodes)
    status, ended = run_workers(workers, sys.argv[1:])
    if ended is not None:
        print_error(f"{_why(ended, workers, training.peer_seconds)}\nResume with: {resume}")
    raise typer.Exit(status)


def _why(ended: Ended, workers: Workers, seconds: float) -> str:
    """Say which process ended the training of several."""
    which = f"process {ended.index} of the {workers.devices * workers.nodes} that train together"
    if ended.index < 0:
        return "a process on another machine ended, or does not answer, so the training was ended"
    if ended.status == 0:
        return f"{which} did not answer for {seconds:g} seconds (training.peer_seconds), so all were ended"
    if ended.status < 0:
        name = signal.Signals(-ended.status).name
        cause = ", perhaps as memory ran out" if name == "SIGKILL" else ""
        return f"{which} was ended by {name}{cause}, so the training was ended"
    return (
        f"{which} failed: {ended.message.removeprefix('error: ') or f'exit status {ended.status}'}"
    )


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
