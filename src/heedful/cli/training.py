"""`heedful train`: settings, data, training with progress, the report, and what to type next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from heedful import api, run_folder
from heedful.cli.command import INTERRUPTED, print_error
from heedful.cli.output import Output
from heedful.cli.progress import TrainingProgress
from heedful.cli.settings import TaskChoices, configure_run
from heedful.cli.skipped import say_skipped
from heedful.errors import OptionError
from heedful.explore.run_report import REPORT, next_commands
from heedful.tasks.base import Task
from heedful.tasks.table import TASKS
from heedful.training.events import Event, Finished


@dataclass(frozen=True, kw_only=True)
class Start:
    """How a training starts: its folder, its settings, and whether a run is resumed or overwritten."""

    out: Path | None
    config: Path | None = None
    resume: bool = False
    overwrite: bool = False

    def folder(self) -> Path:
        """Return the run folder.

        Raises: OptionError when it is missing, or the run is to be both resumed and overwritten.
        """
        if self.out is None:
            raise OptionError("--out is missing: name the run's folder, as in --out runs/first")
        if self.resume and self.overwrite:
            raise OptionError(
                "--resume goes on with a run and --overwrite replaces it; give one of them"
            )
        return self.out


def train(choices: TaskChoices, start: Start, output: Output) -> None:
    """Run a whole `heedful train` command."""
    out, task = start.folder(), TASKS[choices.task]
    config = configure_run(start.config, choices, out if start.resume else None)
    if not start.resume:
        run_folder.check_free(out, overwrite=start.overwrite)
    data = task.reader.read_training(config.data)
    for part in data:
        say_skipped(part, output, f", listed in {out / run_folder.SKIPPED}")
    model, finished = train_with_progress(
        task, config, data, out, output, resume=start.resume, overwrite=start.overwrite
    )
    report = out / REPORT
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
) -> tuple[api.TrainedModel, Finished]:
    """Train as `heedful.api.fit` does and show progress; Ctrl-C ends the program with advice."""
    last: Event | None = None
    with TrainingProgress(task, output) as bar:

        def show(event: Event) -> None:
            nonlocal last
            last = event
            bar.show(event)

        try:
            model = api.fit(
                task, config, *data, out, progress=show, resume=resume, overwrite=overwrite
            )
        except KeyboardInterrupt:
            command = f"heedful train {task.name} --resume --out {shlex.quote(str(out))}"
            advice = "nothing was written" if last is None else f"go on with: {command}"
            print_error(f"stopped; {advice}", label="")
            raise typer.Exit(INTERRUPTED) from None
    assert isinstance(last, Finished)
    return model, last
