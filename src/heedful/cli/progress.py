"""Progress of long operations: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from heedful.answers.base import Scores
from heedful.cli.output import Output, duration
from heedful.data.preparation import Preparing
from heedful.errors import count
from heedful.tasks.base import Task
from heedful.training.events import Event, Finished, Progress, Started, Validated

Item = TypeVar("Item")

LINE_INTERVAL = 10.0
"""Seconds between two plain lines of progress."""


def status_bar(output: Output) -> Bar:
    """Return a progress bar whose tasks have a description and a `status`."""
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[status]}"),
        console=output.console,
        disable=not output.is_interactive,
        transient=True,
    )


class TrainingProgress:
    """Shows the events of a training; a context manager, so that the bar is always closed."""

    def __init__(self, task: Task, output: Output):
        self.task = task
        self.output = output
        self.epochs = 0
        self.last_report = -LINE_INTERVAL
        self.notices: Sequence[str] = ()
        self.bar = Bar(
            TextColumn("{task.fields[what]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            console=output.console,
            disable=not output.is_interactive,
            transient=True,
        )
        self.bar_task = self.bar.add_task("", total=None, what="", state="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone
            self.bar.stop()

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Preparing():
                self._prepare(event)
            case Started():
                self._start(event)
            case Progress():
                self._advance(event)
            case Validated():
                self.output.say(validation_line(self.task, event))
                self._notes([each for each in event.notices if each not in self.notices])
                self.notices = event.notices
            case Finished():
                reason = "stopped early" if event.stopped_early else "finished"
                self.output.say(
                    f"{reason} after {count(event.epochs, 'epoch')} and {duration(event.seconds)}; "
                    f"best weights: {event.chosen} ({metrics_line(self.task, event.scores)})"
                )
                self._notes([each for each in event.notices if each not in self.notices])

    def _prepare(self, event: Preparing) -> None:
        total, rate = event.total, event.done / event.seconds
        left = "" if total is None else f", {duration((total - event.done) / rate)} left"
        state = f"{event.unit}, {rate:,.0f}/s{left}"
        self.bar.update(
            self.bar_task, total=total, completed=event.done, what=event.action, state=state
        )
        count_of = "" if total is None else f"/{total:,}"
        self._say_seldom(f"{event.action}: {event.done:,}{count_of} {state}")

    def _say_seldom(self, line: str) -> None:
        """Write a line unless a bar shows it, or one was written a moment ago."""
        if not self.output.is_interactive and time.monotonic() - self.last_report >= LINE_INTERVAL:
            self.last_report = time.monotonic()
            self.output.say(line)

    def _start(self, event: Started) -> None:
        self.epochs = event.epochs
        total = event.epochs * event.steps_per_epoch
        self.bar.update(
            self.bar_task,
            total=total,
            completed=event.first_step,
            what=f"epoch 1/{event.epochs}",
            state="",
        )
        skipped = f", {event.left_out:,} skipped as too long" if event.left_out else ""
        sizes = ", ".join(f"{name} {size:,}" for name, size in event.sizes.items())
        self.output.say(
            f"{event.train_examples:,} training {self.task.examples}{skipped}, "
            f"{event.valid_examples:,} validation {self.task.examples}; {sizes}; "
            f"{event.parameters:,} parameters"
        )
        if event.steps is not None:
            self.output.say(
                f"{count(event.epochs, 'epoch')} of {count(event.steps_per_epoch, 'step')}: {event.steps:,} steps, "
                f"of which {event.warmup_steps:,} warm-up"
            )
        self._notes(event.notices)
        if event.first_step:
            self.output.say(f"resuming from step {event.first_step:,} of {total:,}")

    def _notes(self, notices: Sequence[str]) -> None:
        for notice in notices:
            self.output.say(f"note: {notice}")

    def _advance(self, event: Progress) -> None:
        state = (
            f"loss {event.loss:.3f}, {event.tokens_per_second:,.0f} tokens/s, "
            f"{duration(event.seconds_left)} left"
        )
        epoch = f"epoch {event.epoch}/{self.epochs}"
        self.bar.update(
            self.bar_task, total=event.steps, completed=event.step, what=epoch, state=state
        )
        self._say_seldom(f"{epoch}, step {event.step:,}/{event.steps:,}: {state}")


def validation_line(task: Task, event: Validated) -> str:
    """Format the losses and validation metrics of an epoch."""
    best = ", best so far" if event.best else ""
    return (
        f"epoch {event.epoch}: training loss {event.train_loss:.3f}, validation {metrics_line(task, event.scores)}"
        f"{best} ({duration(event.seconds)})"
    )


def metrics_line(task: Task, scores: Scores) -> str:
    """Format validation metrics on one line."""
    return ", ".join(
        f"{metric.title} {scores[name]:{metric.format_spec}}"
        for name, metric in task.answer.metrics.items()
    )


def with_progress(
    items: Iterable[Item], total: int | None, output: Output, unit: str = "lines"
) -> Iterator[Item]:
    """Yield the items and show how many are done."""
    with Bar(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        console=output.console,
        disable=not output.is_interactive,
        transient=True,
    ) as bar:
        task, last_report = bar.add_task("", total=total), time.monotonic()
        for done, item in enumerate(items, start=1):
            yield item
            bar.update(task, completed=done)
            if not output.is_interactive and time.monotonic() - last_report >= LINE_INTERVAL:
                last_report = time.monotonic()
                output.say(f"{done:,}{'' if total is None else f'/{total:,}'} {unit}")
