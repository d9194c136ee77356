"""The work of `heedful train`: configure, read the data, train with progress, report."""

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
from heedful.cli.settings import TrainArguments, configure_run
from heedful.cli.skipped import say_skipped
from heedful.data.preparation import Preparing, reporting_preparation
from heedful.errors import OptionError
from heedful.explore.run_report import REPORT, next_commands
from heedful.tasks.base import Task
from heedful.tasks.predictor import Predictor
from heedful.tasks.table import TASKS
from heedful.training.checks import check_start
from heedful.training.events import Event, Finished


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
    base = out if options.resume else options.init_from
    config = configure_run(options.config, arguments, base, new_data=not options.resume)
    if not options.resume:
        run_folder.check_free(out, overwrite=options.overwrite)
    with TrainingProgress(task, output) as bar, reporting_preparation(bar.show):
        data = task.reader.read_training(config.data)
    for part in data:
        say_skipped(part, output, f", listed in {out / run_folder.SKIPPED}")
    model, finished = train_with_progress(
        task,
        config,
        data,
        out,
        output,
        resume=options.resume,
        overwrite=options.overwrite,
        initial=None if options.init_from is None else task.load_initial(config, options.init_from),
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
    """Call `heedful.api.fit` and show progress; on Ctrl-C print how to resume and exit."""
    last: Event | None = None
    with TrainingProgress(task, output) as bar:

        def show(event: Event) -> None:
            nonlocal last
            if not isinstance(event, Preparing):
                last = event
            bar.show(event)

        try:
            model = api.fit(
                task,
                config,
                *data,
                out,
                progress=show,
                resume=resume,
                overwrite=overwrite,
                initial=initial,
            )
        except KeyboardInterrupt:
            command = f"heedful train {task.name} --resume --out {shlex.quote(str(out))}"
            advice = "nothing was written" if last is None else f"resume with: {command}"
            print_error(f"interrupted; {advice}", label="")
            raise typer.Exit(INTERRUPTED) from None
    assert isinstance(last, Finished)
    return model, last
