"""`heedful bench`: how fast attention is on this machine, side by side with other ways to compute it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli import lists
from heedful.cli.files import check_writable
from heedful.cli.options import Json, Overwrite, Plot, Quiet
from heedful.cli.output import Output
from heedful.errors import OptionError, unknown_choice

if TYPE_CHECKING:
    from heedful.bench.results import Result
    from heedful.bench.settings import Job, Settings
    from heedful.bench.values import Contender, Operation


def _size(what: str) -> Any:
    return typer.Option(min=1, metavar="N", help=what, show_default=False)


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="OPERATION...",
            help="What to measure; --list tells what there is.",
            show_default=False,
        ),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the operations, their sizes and contenders.")
    ] = False,
    batch: Annotated[int | None, _size("Sequences at once.")] = None,
    heads: Annotated[int | None, _size("Heads.")] = None,
    queries: Annotated[int | None, _size("Queries of each sequence.")] = None,
    keys: Annotated[int | None, _size("Keys of each sequence.")] = None,
    length: Annotated[int | None, _size("Positions, where queries and keys are the same.")] = None,
    features: Annotated[int | None, _size("Features of each head.")] = None,
    hidden: Annotated[int | None, _size("Features of a hidden layer or state.")] = None,
    window: Annotated[int | None, _size("Positions seen on each side.")] = None,
    nodes: Annotated[int | None, _size("Nodes of a graph.")] = None,
    degree: Annotated[int | None, _size("Edges to each node of a graph.")] = None,
    vocabulary: Annotated[int | None, _size("Tokens of a vocabulary.")] = None,
    lengths: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Measure at several lengths, and fit how the time grows.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Processor threads.")] = 1,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Measure this contender; once for each.", show_default=False
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            min=0.01, metavar="S", help="For the rounds of one length; at least five are run."
        ),
    ] = 0.5,
    memory: Annotated[
        float, typer.Option(min=0.01, metavar="GIB", help="Leave out what needs more memory.")
    ] = 4.0,
    compiled: Annotated[
        bool,
        typer.Option(
            "--compiled", help="Also what compiles for tens of seconds before it is fast."
        ),
    ] = False,
    out: Plot = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure attention on this machine, side by side with other ways to compute it.

    Every contender runs once in each round, in a new order each round. Shown are the median and in brackets the
    middle half of the rounds; × is how many times as long as Heedful in the same rounds. One whose result differs
    from the definition in float64 gets no speed. `pip install "heedful[bench]"` brings the libraries compared with.

    Example:
        heedful bench --list
        heedful bench additive --queries 256 --keys 256 --hidden 128 --threads 1
        heedful bench dot --lengths 64,128,256 --out dot.png
    """
    from heedful.bench.operations import OPERATIONS
    from heedful.bench.settings import GIB, Settings

    output = Output(json=json, quiet=quiet)
    if list_:
        _list(list(OPERATIONS.values()), output)
        return
    if not names:
        raise OptionError(
            "name an operation, such as additive; heedful bench --list tells them all"
        )
    for name in names:
        if name not in OPERATIONS:
            raise unknown_choice("operation", name, OPERATIONS)
    asked = {
        "batch": batch, "heads": heads, "queries": queries, "keys": keys, "length": length,
        "features": features, "hidden": hidden, "window": window, "nodes": nodes, "degree": degree,
        "vocabulary": vocabulary,
    }  # fmt: skip
    changes = {name: count for name, count in asked.items() if count is not None}
    settings = Settings(
        threads=lists.threads(threads),
        seconds=seconds,
        memory_bytes=round(memory * GIB),
        compiled=compiled,
        only=tuple(only or ()),
    )
    jobs = [_job(OPERATIONS[name], changes, lengths, settings) for name in names]
    pictures = _pictures(out, names, overwrite=overwrite)
    found = measure(jobs, output)
    _finish(found, pictures, output)


def _finish(found: Sequence[Result], pictures: dict[str, Path], output: Output) -> None:
    """Show how times grow, draw, and write the JSON."""
    from heedful.bench.machine import describe
    from heedful.bench.plot import draw
    from heedful.bench.show import growths, operation_title

    grown = growths(found)
    if grown:
        output.table(
            [["operation", "contender", "forward grows as", "forward+backward as"], *grown]
        )
    for name, file in pictures.items():
        one = [result for result in found if result.operation == name]
        draw(one, file, operation_title(one))
        output.say(f"written: {file}")
    output.result(
        {
            "machine": describe(),
            "files": [str(file) for file in pictures.values()],
            "results": [result.to_dict() for result in found],
        }
    )


def _list(operations: Sequence[Operation], output: Output) -> None:
    """Tell each operation, its sizes, and who computes it."""
    rows = [["operation", "what it is", "sizes", "contenders"]]
    for one in operations:
        sizes = ", ".join(f"{name} {count}" for name, count in one.sizes.items())
        rows.append([one.name, one.title, sizes, ", ".join(map(_named, one.contenders))])
    output.table(rows)
    output.result(
        {
            "operations": [
                {
                    "name": one.name,
                    "title": one.title,
                    "sizes": dict(one.sizes),
                    "contenders": [each.name for each in one.contenders],
                    "not_installed": [each.name for each in one.contenders if each.missing()],
                }
                for one in operations
            ]
        }
    )


def _named(contender: Contender) -> str:
    return f"{contender.name} (not installed)" if contender.missing() else contender.name


def _job(
    operation: Operation, changes: dict[str, int], lengths: str | None, settings: Settings
) -> Job:
    """Check sizes and names, and make the job of an operation."""
    from heedful.bench.settings import Job

    known = [each.name for each in operation.contenders]
    for name in settings.only:
        if name not in known:
            raise unknown_choice(f"contender of {operation.name}", name, known)
    operation.case(changes)
    scans = (
        [{}]
        if lengths is None
        else list(map(operation.scanned, lists.whole_numbers("--lengths", lengths)))
    )
    return Job(operation.name, tuple({**changes, **scan} for scan in scans), settings)


def _pictures(out: Path | None, names: Sequence[str], *, overwrite: bool) -> dict[str, Path]:
    """Name the plot of each operation: --out for one, with the operation's name in it for several."""
    if out is None:
        return {}
    from heedful.bench.plot import check_format

    check_format(out)
    if len(names) == 1:
        files = {names[0]: out}
    else:
        files = {name: out.with_name(f"{out.stem}-{name}{out.suffix}") for name in names}
    for file in files.values():
        check_writable(file, overwrite=overwrite)
    return files


def measure(jobs: Sequence[Job], output: Output) -> list[Result]:
    """Measure the jobs one after the other; show each case when it is done."""
    from heedful.bench.process import Doing, run_job
    from heedful.cli.progress import doing_bar

    found: list[Result] = []
    with doing_bar(output) as bar:
        for job in jobs:
            task = bar.add_task(job.operation, total=1.0, doing="starting")
            with contextlib.closing(run_job(job, os.environ)) as events:
                for event in events:
                    if isinstance(event, Doing):
                        bar.update(task, completed=event.share, doing=event.text)
                    else:
                        found += event
                        _show(event, output)
            bar.remove_task(task)
    return found


def _show(case: Sequence[Result], output: Output) -> None:
    """Show one case as soon as it is measured."""
    from heedful.bench.show import case_title, operation_title, table, without_speed

    if output.json:
        return
    output.console.print(f"{operation_title(case)}: {case_title(case)}")
    output.table(table(case))
    for line in without_speed(case):
        output.console.print(f"  {line}")
    output.console.print()
