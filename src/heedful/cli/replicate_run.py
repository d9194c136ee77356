"""The work of `heedful replicate`: configure, divide, train with progress, test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from heedful.cli.command import print_error
from heedful.cli.option_values import split_commas
from heedful.cli.output import Output
from heedful.cli.progress import TrainingProgress
from heedful.cli.signals import StopSignals
from heedful.compare.baselines import check_baseline
from heedful.compare.replicates import (
    MODEL,
    RESULTS,
    SPLITS_FILE,
    Replicate,
    make_splits,
    run_replicates,
    summary,
)
from heedful.config import apply_overrides, build
from heedful.data.molecules.splits import Split
from heedful.errors import OptionError, StoppedError, unknown_choice
from heedful.tasks.base import Task
from heedful.tasks.options import GivenOptions
from heedful.tasks.table import ENTRIES, TASKS


@dataclass(frozen=True, kw_only=True)
class ReplicateArguments:
    """The options of `heedful replicate`."""

    task: str
    values: Mapping[str, Any] = field(default_factory=dict)
    """Name of an option of `heedful train` -> its value, for the options given."""
    count: int = 3
    is_folded: bool = False
    ensemble: int | None = None
    baselines: str = ""
    sets: Sequence[str] = ()

    def configure(self, task: Task) -> Any:
        """Return the configuration.

        Raises: OptionError for an option that the task does not have, or a wrong value.
        """
        options = {each.name: each for each in ENTRIES[self.task].all_options}
        for name in self.values:
            if name not in options:
                raise OptionError(
                    f"the option {name.replace('_', '-')} has no effect on the task {self.task!r}; leave it out"
                )
        given = GivenOptions(self.values, {}, self.sets, self.task)
        overrides = [
            each
            for name, value in self.values.items()
            for each in options[name].overrides(value, given)
        ]
        if self.ensemble is not None:
            overrides.append(f"ensemble.members={self.ensemble}")
        return build(
            task.configuration, apply_overrides(task.configuration, {}, [*overrides, *self.sets])
        )


def run(arguments: ReplicateArguments, out: Path | None, output: Output) -> None:
    """Run `heedful replicate`."""
    if arguments.task not in TASKS:
        raise unknown_choice("task", arguments.task, TASKS)
    if out is None:
        raise OptionError("--out is missing: name a folder for the runs, as in --out replicates")
    task = TASKS[arguments.task]
    names = split_commas(arguments.baselines) if arguments.baselines else []
    for name in names:
        check_baseline(name, task)
    config = arguments.configure(task)
    table: Any = task.reader.read(config.data.train, config.data, "train")
    splits = make_splits(table, config.data, arguments.count, arguments.is_folded)
    if config.data.split == "scaffold" and len(splits) > 1:
        output.say(
            "note: the scaffold split is the same for any seed; the replicates differ in the model alone"
        )
    with StopSignals() as signals:
        try:
            found = _run(task, config, splits, out, names, output, signals)
        except (KeyboardInterrupt, StoppedError):
            print_error("interrupted; run the same command to resume", label="")
            raise typer.Exit(signals.status) from None
    _report(task, found, out, output)


def _run(
    task: Task,
    config: Any,
    splits: Sequence[Split],
    out: Path,
    baselines: Sequence[str],
    output: Output,
    signals: StopSignals,
) -> list[Replicate]:
    found = []
    with (
        TrainingProgress(task, output) as bar,
        closing(run_replicates(task, config, splits, out, baselines, stop=signals)) as events,  # type: ignore[type-var]
    ):
        for event in events:
            if isinstance(event, Replicate):
                found.append(event)
            else:
                bar.show(event)
    return found


def _report(task: Task, found: Sequence[Replicate], out: Path, output: Output) -> None:
    metric = task.answer.metrics[task.answer.primary_metric]
    form, over = metric.format_spec, summary(found)
    rows = [["contender", metric.title, "± sd", *(f"test {each.number}" for each in found)]]
    for name, values in over.items():
        deviation = values["deviation"]
        each = [f"{one.values[name]:{form}}" for one in found]
        rows.append(
            [
                name,
                f"{values['mean']:{form}}",
                "–" if deviation is None else f"{deviation:{form}}",
                *each,
            ]
        )
    output.say()
    output.table(rows)
    held = [each.coverage for each in found if each.coverage is not None]
    if held:
        shown = ", ".join(f"{each:.1%}" for each in held)
        output.say(f"90 % intervals of {MODEL} hold {shown} of the test targets")
    output.say(f"\nwritten: {out / RESULTS}, {out / SPLITS_FILE}")
    output.result({"out": str(out), "summary": over, "coverage": held})
