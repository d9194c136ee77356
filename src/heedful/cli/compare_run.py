"""The work of `heedful compare`: plan, train in worker processes with progress, report."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import typer

from heedful.cli.command import FAILED, print_error
from heedful.cli.compare_settings import CompareArguments, CompareSource, build_plan
from heedful.cli.compare_worker import EVENT_TYPES, job_to_dict
from heedful.cli.output import Output, duration
from heedful.cli.progress import LINE_INTERVAL, status_bar
from heedful.cli.signals import StopSignals
from heedful.cluster.ray_cluster import Cluster, check_address, connected
from heedful.cluster.workers import run_worker
from heedful.compare.comparison import (
    PAGE,
    RESULTS,
    JobFinished,
    JobStarted,
    Runner,
    check_folder,
    data_digest,
    run_all,
    unfinished,
    write_results,
)
from heedful.compare.formatting import seeds_note, table
from heedful.compare.outcome import Outcome, outcome_from_dict
from heedful.compare.page import comparison_page
from heedful.compare.plan import Job, Plan
from heedful.compare.summary import summarize
from heedful.errors import OptionError, RunError, count
from heedful.run_folder import write_text
from heedful.training.events import Event, Progress, Started, Validated
from heedful.worker_process import stream_events

WORKER: Final = "heedful.cli.compare_worker"
"""The module that a worker process runs."""


def run_comparison(
    source: str,
    arguments: CompareArguments,
    out: Path | None,
    output: Output,
    on: str | None = None,
) -> None:
    """Run `heedful compare`; `on` is the address of a cluster."""
    if on is not None:
        check_address(on)
    if out is None:
        raise OptionError("--out is missing: name the report's folder, as in --out reports/first")
    plan = build_plan(CompareSource(source), arguments)
    data = plan.task.reader.read_training(next(iter(plan.contenders.values())).data)
    for config in plan.contenders.values():
        plan.task.check(config, *data)
    digest = data_digest(data)
    if check_folder(plan, out, digest):
        output.say(f"resuming the comparison in {out}")
    output.say(
        f"{len(plan.contenders)} contenders, {count(len(plan.seeds), 'seed')}, budget {plan.budget}: "
        f"{len(plan.jobs)} trainings of {len(data[0]):,} {plan.task.examples}, "
        f"validated on {len(data[1]):,}"
    )
    with runner_on(on, plan, out) as runner:
        outcomes = _run(plan, out, digest, output, runner)
    _report(plan, out, digest, outcomes, output)


def _run(plan: Plan, out: Path, digest: str, output: Output, runner: Runner) -> list[Outcome]:
    """Run the unfinished trainings; after a signal print how to resume, and exit once the worker has saved."""
    outcomes = []
    with StopSignals() as signals:
        try:
            with (
                _ComparisonProgress(plan, output) as progress,
                closing(run_all(plan, out, digest, runner)) as events,
            ):
                for event in events:
                    progress.show(event)
                    if isinstance(event, JobFinished):
                        outcomes.append(event.outcome)
        except KeyboardInterrupt:
            by = f" by {signals.name}" if signals.name else ""
            with contextlib.suppress(OSError):  # the terminal may be gone
                print_error(f"interrupted{by}; run the same command to resume", label="")
            raise typer.Exit(signals.status) from None
    return outcomes


@contextlib.contextmanager
def runner_on(on: str | None, plan: Plan, out: Path) -> Iterator[Runner]:
    """Provide the function that runs a job: in a process of this machine, or on a cluster at the address `on`."""
    if on is None:
        yield subprocess_runner(plan)
        return
    with connected(on) as cluster:
        yield cluster_runner(plan, out, cluster)


def subprocess_runner(plan: Plan) -> Any:
    """Return a function that runs a job in a process of its own and yields its events."""

    def run(job: Job, folder: Path) -> Iterator[Event | Outcome]:
        command = [sys.executable, "-m", WORKER]
        values = job_to_dict(plan.task.name, job, folder, plan.lengths)
        with closing(stream_events(command, values, os.environ)) as events:
            yield from read_events(events)

    return run


def cluster_runner(plan: Plan, out: Path, cluster: Cluster) -> Runner:
    """Return a function that starts all unfinished jobs of a comparison at its first call, and waits for one at each.

    A job is a worker process as of `subprocess_runner`, on a machine of the cluster, for which as many processors are
    kept free as it has threads.
    """
    calls: dict[str, Any] = {}
    place = out.resolve()

    def run(job: Job, folder: Path) -> Iterator[Event | Outcome]:
        if not calls:
            for each, run_folder in unfinished(plan, place):
                values = job_to_dict(plan.task.name, each, run_folder, plan.lengths)
                calls[each.name] = cluster.submit(
                    run_worker,
                    WORKER,
                    values,
                    os.getcwd(),
                    str(place / RESULTS),
                    cpus=max(1, each.config.training.threads),
                )
        yield from read_events(cluster.result(calls[job.name]))

    return run


def read_events(events: Iterable[dict[str, Any]]) -> Iterator[Event | Outcome]:
    """Yield what a worker wrote as events.

    Raises: RunError for a training that failed.
    """
    for event in events:
        if event["kind"] == "failed":
            raise RunError(event["value"])
        if event["kind"] == "outcome":
            yield outcome_from_dict(event["value"])
        else:
            yield EVENT_TYPES[event["kind"]](**event["value"])


def _report(
    plan: Plan, out: Path, digest: str, outcomes: Sequence[Outcome], output: Output
) -> None:
    """Print the table and write comparison.json and the HTML page."""
    summary = summarize(plan, outcomes)
    values = {
        "task": plan.task.name,
        "data": digest,
        "budget": str(plan.budget),
        "contenders": dict(plan.settings),
        "seeds": list(plan.seeds),
        "fractions": list(plan.fractions),
        "summary": summary.to_dict(),
        "runs": [each.to_dict(whole=False) for each in outcomes],
    }
    write_results(out, values)
    page = out / PAGE
    write_text(page, comparison_page(plan, summary, outcomes, out.name))
    if summary.rows:
        output.say()
        output.table(table(plan, summary))
        if note := seeds_note(summary):
            output.say(f"\n{note}")
    for failure in summary.failures:
        print_error(f"{failure.contender}, seed {failure.seed}: {failure.error}", label="failed: ")
    output.say(f"\nwritten: {page}, {out / RESULTS}")
    output.result({"out": str(out), "report": str(page), **values})
    if not summary.rows:
        raise RunError("every training failed; see the errors above or in the report")
    if summary.failures:
        raise typer.Exit(FAILED)


class _ComparisonProgress:
    """Shows the events of a comparison: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, plan: Plan, output: Output):
        self.plan, self.output = plan, output
        self.last_report = 0.0
        self.title = ""
        self.shown_notices: set[str] = set()
        self.bar = status_bar(output)
        self.task = self.bar.add_task("", total=None, status="starting")

    def __enter__(self) -> _ComparisonProgress:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def show(self, event: Any) -> None:
        """Show one event."""
        match event:
            case JobStarted():
                self.title = f"[{event.number}/{event.total}] {event.job.name}"
                self.last_report = time.monotonic()
                self.bar.reset(self.task, total=None, description=self.title, status="starting")
            case Started():
                self._show_notices(event)
            case Progress():
                self._advance(event)
            case Validated():
                metric = self.plan.metric
                quality = event.scores[self.plan.answer.primary_metric]
                self.bar.update(self.task, status=f"{metric.title} {quality:{metric.format_spec}}")
            case JobFinished():
                self._finish(event)

    def _show_notices(self, event: Started) -> None:
        """Show each notice once, for the first training that gives it."""
        for notice in event.notices:
            if notice not in self.shown_notices:
                self.shown_notices.add(notice)
                self.output.say(f"{self.title}: note: {notice}")

    def _advance(self, event: Progress) -> None:
        status = f"step {event.step:,}/{event.steps:,}, {event.tokens_per_second:,.0f} tokens/s"
        self.bar.update(self.task, completed=event.step, total=event.steps, status=status)
        if not self.output.is_interactive and time.monotonic() - self.last_report >= LINE_INTERVAL:
            self.last_report = time.monotonic()
            self.output.say(f"{self.title}: {status}")

    def _finish(self, event: JobFinished) -> None:
        outcome, metric = event.outcome, self.plan.metric
        title = f"[{event.number}/{event.total}] {event.job.name}"
        if outcome.error is not None:
            self.output.say(f"{title}: failed: {outcome.error}")
            return
        reused = " (already done)" if event.reused else ""
        speed = f"{outcome.tokens_per_second:,.0f} tokens/s, " if outcome.tokens else ""
        self.output.say(
            f"{title}: {metric.title} {outcome.quality:{metric.format_spec}}, "
            f"{speed}{duration(outcome.seconds)}{reused}"
        )
