"""`heedful bench`: benchmark attention on this machine against other implementations."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.option_values import check_threads, parse_positive_integers
from heedful.cli.options import Json, Overwrite, Plot, Quiet
from heedful.cli.output import Output
from heedful.cli.output_files import check_writable
from heedful.errors import OptionError, unknown_choice

if TYPE_CHECKING:
    from heedful.bench.results import Result
    from heedful.bench.settings import Job, Settings
    from heedful.bench.values import Contender, Operation


def _size(help: str) -> Any:
    return typer.Option(min=1, metavar="N", help=help, show_default=False)


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="OPERATION...",
            help="Operations to benchmark; see --list.",
            show_default=False,
        ),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the operations, their sizes and contenders.")
    ] = False,
    batch: Annotated[int | None, _size("Batch size.")] = None,
    heads: Annotated[int | None, _size("Number of heads.")] = None,
    queries: Annotated[int | None, _size("Queries per sequence.")] = None,
    keys: Annotated[int | None, _size("Keys per sequence.")] = None,
    length: Annotated[int | None, _size("Sequence length, for self-attention.")] = None,
    features: Annotated[int | None, _size("Features per head.")] = None,
    hidden: Annotated[int | None, _size("Features of a hidden layer or state.")] = None,
    window: Annotated[int | None, _size("Window size on each side.")] = None,
    nodes: Annotated[int | None, _size("Nodes of the graph.")] = None,
    degree: Annotated[int | None, _size("Incoming edges per node of the graph.")] = None,
    vocabulary: Annotated[int | None, _size("Vocabulary size.")] = None,
    lengths: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Measure at these lengths, and fit the exponent by which time grows.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="CPU threads.")] = 1,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Measure only this contender; repeatable.", show_default=False
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(min=0.01, metavar="S", help="Time per length; at least five rounds are run."),
    ] = 0.5,
    memory: Annotated[
        float, typer.Option(min=0.01, metavar="GIB", help="Skip contenders that need more memory.")
    ] = 4.0,
    compiled: Annotated[
        bool,
        typer.Option("--compiled", help="Include contenders that compile for tens of seconds."),
    ] = False,
    out: Plot = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Benchmark attention against other implementations.

    Each round runs every contender once, in random order. The table shows the median and, in brackets, the
    interquartile range; × is the time relative to Heedful in the same rounds. No time is reported for a contender
    whose result differs from the float64 reference. `pip install "heedful[bench]"` installs the other libraries.

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
            "name an operation, such as additive; heedful bench --list lists them all"
        )
    for name in names:
        if name not in OPERATIONS:
            raise unknown_choice("operation", name, OPERATIONS)
    sizes = {
        "batch": batch, "heads": heads, "queries": queries, "keys": keys, "length": length,
        "features": features, "hidden": hidden, "window": window, "nodes": nodes, "degree": degree,
        "vocabulary": vocabulary,
    }  # fmt: skip
    changes = {name: size for name, size in sizes.items() if size is not None}
    settings = Settings(
        threads=check_threads(threads),
        seconds=seconds,
        memory_bytes=round(memory * GIB),
        compiled=compiled,
        only=tuple(only or ()),
    )
    jobs = [_make_job(OPERATIONS[name], changes, lengths, settings) for name in names]
    plots = _plot_files(out, names, overwrite=overwrite)
    results = measure(jobs, output)
    _report(results, plots, output)


def _report(results: Sequence[Result], plots: dict[str, Path], output: Output) -> None:
    """Print the growth of times with length, save the plots, and write the JSON."""
    from heedful.bench.machine import describe
    from heedful.bench.plot import draw
    from heedful.bench.show import growths, operation_title

    growth_rows = growths(results)
    if growth_rows:
        output.table(
            [["operation", "contender", "forward grows as", "forward+backward as"], *growth_rows]
        )
    for name, file in plots.items():
        own_results = [result for result in results if result.operation == name]
        draw(own_results, file, operation_title(own_results))
        output.say(f"written: {file}")
    output.result(
        {
            "machine": describe(),
            "files": [str(file) for file in plots.values()],
            "results": [result.to_dict() for result in results],
        }
    )


def _list(operations: Sequence[Operation], output: Output) -> None:
    """Print the operations with their sizes and contenders."""
    rows = [["operation", "description", "sizes", "contenders"]]
    for one in operations:
        sizes = ", ".join(f"{name} {count}" for name, count in one.sizes.items())
        rows.append([one.name, one.title, sizes, ", ".join(map(_contender_cell, one.contenders))])
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


def _contender_cell(contender: Contender) -> str:
    return f"{contender.name} (not installed)" if contender.missing() else contender.name


def _make_job(
    operation: Operation, changes: dict[str, int], lengths: str | None, settings: Settings
) -> Job:
    """Validate sizes and contenders, and return the job of an operation."""
    from heedful.bench.settings import Job

    known = [each.name for each in operation.contenders]
    for name in settings.only:
        if name not in known:
            raise unknown_choice(f"contender of {operation.name}", name, known)
    operation.case(changes)  # raises for an unknown size
    scans = (
        [{}]
        if lengths is None
        else list(map(operation.scanned, parse_positive_integers("--lengths", lengths)))
    )
    return Job(operation.name, tuple({**changes, **scan} for scan in scans), settings)


def _plot_files(out: Path | None, names: Sequence[str], *, overwrite: bool) -> dict[str, Path]:
    """Return operation -> plot file: --out for one operation, --out with the name appended for several."""
    if out is None:
        return {}
    from heedful.plots import check_format

    check_format(out)
    if len(names) == 1:
        files = {names[0]: out}
    else:
        files = {name: out.with_name(f"{out.stem}-{name}{out.suffix}") for name in names}
    for file in files.values():
        check_writable(file, overwrite=overwrite)
    return files


def measure(jobs: Sequence[Job], output: Output) -> list[Result]:
    """Run the jobs one after the other, and show each case when it is done."""
    from heedful.bench.process import Doing, run_job
    from heedful.cli.progress import status_bar

    results: list[Result] = []
    with status_bar(output) as bar:
        for job in jobs:
            task = bar.add_task(job.operation, total=1.0, status="starting")
            with contextlib.closing(run_job(job, os.environ)) as events:
                for event in events:
                    if isinstance(event, Doing):
                        bar.update(task, completed=event.share, status=event.text)
                    else:
                        results += event
                        _show(event, output)
            bar.remove_task(task)
    return results


def _show(case: Sequence[Result], output: Output) -> None:
    """Print the results of one case."""
    from heedful.bench.show import case_title, operation_title, table, without_speed

    if output.json:
        return
    output.console.print(f"{operation_title(case)}: {case_title(case)}")
    output.table(table(case))
    for line in without_speed(case):
        output.console.print(f"  {line}")
    output.console.print()
