"""`python -m benchmarks`: measure everything on this machine and write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from pathlib import Path

from benchmarks import page, store
from benchmarks.headlines import lines
from benchmarks.scans import SCANS, THREADS, jobs
from benchmarks.vectors import LIMITS, restart_limited
from heedful.bench.machine import describe, vectors
from heedful.bench.settings import Job
from heedful.cli.bench import measure
from heedful.cli.output import Output, duration
from heedful.errors import HeedfulError, OptionError, unknown_choice

ROOT = Path(__file__).resolve().parents[1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure Heedful side by side with other ways to compute the same, and write docs/benchmarks.md.",
    )
    parser.add_argument("names", nargs="*", metavar="OPERATION", help=", ".join(SCANS))
    parser.add_argument(
        "--quick", action="store_true", help="short lengths, nothing compiled, no page"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=THREADS, metavar="N")
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=[], metavar="N", help="only these lengths"
    )
    parser.add_argument(
        "--vectors",
        choices=LIMITS,
        help="measure as on a processor with no wider vectors; results are kept apart by class",
    )
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="times of the processor instead of the clock, on a machine that does other work; with one thread",
    )
    parser.add_argument("--resume", action="store_true", help="keep what was measured already")
    parser.add_argument("--page", action="store_true", help="measure nothing; write the page again")
    parser.add_argument(
        "--out",
        type=Path,
        help="write results, page and plots into this folder instead of the repository",
    )
    return parser.parse_args()


def run(job: Job, output: Output) -> store.Measured:
    """Measure one job."""
    began = time.monotonic()
    results = measure([job], output)
    today = datetime.date.today().isoformat()
    seconds = time.monotonic() - began
    return store.Measured(job, describe(), today, seconds, tuple(results), vectors())


def main() -> int:
    options = arguments()
    if options.vectors:
        restart_limited("benchmarks", sys.argv[1:], options.vectors)
    if options.processor_time and options.threads != [1]:
        raise OptionError("--processor-time is the time of one thread: add --threads 1")
    output = Output(json=False, quiet=False)
    for name in options.names:
        if name not in SCANS:
            raise unknown_choice("operation", name, SCANS)
    base = options.out or ROOT
    results = base / "results" if options.out else base / "benchmarks" / "results"
    docs = base if options.out else base / "docs"
    keep = not options.quick or options.out
    fresh: list[store.Measured] = []
    for job in jobs(
        options.names or list(SCANS),
        tuple(options.threads),
        quick=options.quick,
        only=tuple(options.lengths),
        processor_time=options.processor_time,
    ):
        if options.page or (options.resume and store.done(results, job, vectors())):
            continue
        output.say(f"== {job.operation}, {job.settings.threads} threads")
        fresh.append(run(job, output))
        if keep:
            store.save(fresh[-1], results)
        output.say(f"   {duration(fresh[-1].seconds)}\n")
    for line in lines([result for one in fresh for result in one.results]):
        output.say(
            f"{line.what}, {line.threads} threads: wanted {line.wanted}, measured {line.measured}"
        )
    if keep:
        page.write(store.load(results), docs / "benchmarks.md", docs / "images")
        output.say(f"written: {docs / 'benchmarks.md'}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HeedfulError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; go on with: python -m benchmarks --resume")
