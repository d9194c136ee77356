"""Run a training for a person: the run's folder is kept safe, progress is shown, Ctrl-C is answered."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer

from heedful import run_folder
from heedful.cli.command import INTERRUPTED, complain
from heedful.cli.output import Output
from heedful.cli.progress import TrainingProgress
from heedful.cli.settings import TaskChoices, configure_run
from heedful.errors import OptionError, RunError
from heedful.explore.run_report import next_commands, write_report
from heedful.tasks.base import Task
from heedful.tasks.table import TASKS
from heedful.training.events import Finished, Started
from heedful.training.loop import train_model

CHOICES: Final = "--resume goes on with it, --overwrite replaces it, or "
"""What `train` offers where a run is already; `or_else` says it before "name another folder"."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """How a training begins: where, from which settings, anew or going on."""

    out: Path | None
    config: Path | None = None
    resume: bool = False
    overwrite: bool = False

    def folder(self) -> Path:
        """Return the run's folder.

        Raises: OptionError when it was not named, or was to be both resumed and replaced.
        """
        if self.out is None:
            raise OptionError("--out is missing: name the run's folder, as in --out runs/first")
        if self.resume and self.overwrite:
            raise OptionError(
                "--resume goes on with a run and --overwrite replaces it; give one of them"
            )
        return self.out


def train_for_a_person(choices: TaskChoices, start: Start, output: Output) -> None:
    """Do all of a `heedful train` command: settings, data, training, report, advice."""
    out, task = start.folder(), TASKS[choices.task]
    settings = configure_run(start.config, choices, out if start.resume else None)
    if not start.resume:
        check_out(out, overwrite=start.overwrite)
    data = task.reader.read_training(settings.data)
    finished = run_training(
        task, settings, data, out, output, resume=start.resume, overwrite=start.overwrite
    )
    predictor = task.load(out)
    report = write_report(predictor, out, data[1])
    output.say(f"\nThe run is in {out}; its report: {report}")
    output.advise(next_commands(predictor, out, data[1]))
    output.result(results(finished, report))


def check_out(out: Path, *, overwrite: bool, or_else: str = CHOICES) -> None:
    """Check, and change nothing, that a run can be written to `out`.

    Raises: RunError when something is there that may not be replaced.
    """
    if overwrite and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        if not _is_run(out):
            raise RunError(
                f"{out} is not the folder of a run, so --overwrite leaves it alone; "
                "name another folder"
            )
        return
    if _is_run(out):
        raise RunError(f"{out} holds a run already; {or_else}name another folder with --out")
    run_folder.check_free(out)


def _is_run(folder: Path) -> bool:
    try:
        marker = json.loads((folder / run_folder.MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(marker, dict) and "task" in marker


def run_training(
    task: Task,
    config: Any,
    data: tuple[Any, Any],
    out: Path,
    output: Output,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> Finished:
    """Train into `out` on (training, validation) data, showing what happens.

    An interruption ends the program with advice.

    With `overwrite` the run in `out` is set aside, and removed only when the new one has its folder.
    """
    aside = _set_aside(out) if overwrite and _is_run(out) else None
    started = False
    try:
        with TrainingProgress(task, output) as progress:
            for event in train_model(task, config, *data, out, resume=resume):
                progress.show(event)
                if isinstance(event, Started):
                    started = True
                    if aside is not None:
                        shutil.rmtree(aside)
                if isinstance(event, Finished):
                    return event
    except KeyboardInterrupt:
        advice = f"; go on with: heedful train {task.name} --resume --out {shlex.quote(str(out))}"
        complain(f"stopped{advice if started else ', nothing was written'}", label="")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        if aside is not None and not started:
            shutil.rmtree(out, ignore_errors=True)
            aside.rename(out.resolve())
    raise AssertionError("a training ends with the event Finished")


def _set_aside(out: Path) -> Path:
    """Rename the run to a free name beside it."""
    place = out.resolve()
    number = 1
    while (aside := place.with_name(f".{place.name}.replaced-{number}")).exists():
        number += 1
    return place.rename(aside)


def results(finished: Finished, report: Path) -> dict[str, Any]:
    """Return what a training says of itself in JSON."""
    return {
        "run": str(finished.run),
        "report": str(report),
        "epochs": finished.epochs,
        "steps": finished.steps,
        "stopped_early": finished.stopped_early,
        "chosen": finished.chosen,
        "validation": finished.scores,
        "seconds": finished.seconds,
    }
