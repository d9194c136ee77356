"""docs/benchmarks.md: every result as tables and plots, in words where Heedful is behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from benchmarks.headlines import length_of, lines, times
from benchmarks.store import Measured
from heedful.bench import show
from heedful.bench.operations import OPERATIONS
from heedful.bench.plot import draw
from heedful.bench.results import Mode, Result
from heedful.bench.show import growths

MODES: tuple[tuple[Mode, str], ...] = (("forward", "forward"), ("both", "forward+backward"))
BEHIND = 1.03
"""From here on a contender counts as faster: closer is within the noise of a shared machine."""

COMMANDS = """\
```sh
pip install -e ".[bench]"
python -m benchmarks                               # all of it
python -m benchmarks additive window --quick       # a taste
heedful bench additive --queries 256 --keys 256 --hidden 128 --threads 1
```"""
HOW = Path(__file__).with_name("how.md")


def write(measured: Sequence[Measured], page: Path, images: Path) -> None:
    """Write the page, and its plots beside it."""
    images.mkdir(parents=True, exist_ok=True)
    order = {name: number for number, name in enumerate(OPERATIONS)}
    ordered = sorted(measured, key=lambda one: (order[one.job.operation], one.job.settings.threads))
    results = [result for one in ordered for result in one.results]
    parts = ["# Benchmarks", *_opening(ordered), "## What was wanted", *_headlines(results)]
    parts += [
        "## Where Heedful is behind",
        *_behind(results),
        "## How it is measured",
        HOW.read_text(encoding="utf-8").strip(),
    ]
    for name, group in groupby(ordered, key=lambda one: one.job.operation):
        parts += _operation(name, list(group), images, page.parent)
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def table(rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table, its first row the header."""
    header, *rest = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return "\n".join(
        "| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rest]
    )


def _opening(measured: Sequence[Measured]) -> Iterator[str]:
    """The machine, the dates and the commands."""
    yield (
        "What attention costs, by `attend` and the layers built on it and by other ways to compute the same,\n"
        "side by side. Written by `python -m benchmarks` from the files in `benchmarks/results`; measure your own\n"
        "machine with `heedful bench`."
    )
    machines = {tuple(one.machine.items()) for one in measured}
    for machine in sorted(machines):
        yield table([["machine", ""], *([key, value] for key, value in machine)])
    dates = sorted({one.date for one in measured})
    minutes = sum(one.seconds for one in measured) / 60
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    yield f"Measured on {when}, in {minutes:.0f} minutes."
    yield COMMANDS


def _headlines(results: Sequence[Result]) -> Iterator[str]:
    found = lines(results)
    words = {True: "yes", False: "**no**", None: "–"}
    yield table(
        [
            ["what", "threads", "wanted", "measured", "holds"],
            *(
                [one.what, str(one.threads), one.wanted, one.measured, words[one.holds]]
                for one in found
            ),
        ]
    )


def _behind(results: Sequence[Result]) -> Iterator[str]:
    """Every contender and case that is faster than ours."""
    rows = []
    for threads, operation, contender in dict.fromkeys(
        (one.threads, one.operation, one.contender) for one in results if not one.ours
    ):
        for mode, passes in MODES:
            faster = [
                (length_of(one), ratio)
                for one in results
                if (one.threads, one.operation, one.contender) == (threads, operation, contender)
                and (ratio := one.ratio(mode))
                and ratio.median * BEHIND < 1
            ]
            if faster:
                where = ", ".join(f"{length:,}: {times(ratio)}" for length, ratio in faster)
                rows.append([OPERATIONS[operation].title, str(threads), contender, passes, where])
    if not rows:
        yield "Nowhere in this run."
        return
    yield (
        "Cases in which another contender took less time than Heedful, by more than 3 %: its time over ours,\n"
        "length by length."
    )
    yield table([["operation", "threads", "faster", "passes", "lengths and ratios"], *rows])


def _operation(name: str, measured: Sequence[Measured], images: Path, root: Path) -> Iterator[str]:
    """A section: the plot, and for each number of threads its tables."""
    operation = OPERATIONS[name]
    yield f"## {operation.title}"
    fixed = {size: count for size, count in operation.sizes.items() if size not in operation.scans}
    sizes = ", ".join(f"{size} {count:,}" for size, count in fixed.items())
    yield f"`heedful bench {name}`: {sizes}; lengths are {operation.axis}."
    for one in measured:
        threads = one.job.settings.threads
        if not any(result.status == "measured" for result in one.results):
            continue
        if threads == 1:
            file = images / f"benchmark-{name}.svg"
            draw(one.results, file, show.operation_title(one.results))
            yield f"![{operation.title}: time and memory over lengths]({file.relative_to(root).as_posix()})"
        yield f"### {operation.title}, {threads} thread{'s' if threads > 1 else ''}"
        yield from _tables(one.results, with_memory=threads == 1)


def _tables(results: Sequence[Result], *, with_memory: bool) -> Iterator[str]:
    names = list(dict.fromkeys(one.contender for one in results))
    lengths = sorted({length_of(one) for one in results})
    cells = {(one.contender, length_of(one)): one for one in results}
    shown = [name for name in names if any(one.forward for one in results if one.contender == name)]
    for mode, passes in MODES:
        body = [
            [f"{length:,}", *(_time(cells.get((name, length)), mode) for name in shown)]
            for length in lengths
        ]
        grown = {row[1]: row[2 if mode == "forward" else 3] for row in growths(results)}
        if any(grown.values()):
            body.append(["grows as", *(grown.get(name, "") or "–" for name in shown)])
        yield table([[passes, *shown], *body])
    if with_memory:
        body = [
            [f"{length:,}", *(_memory(cells.get((name, length))) for name in shown)]
            for length in lengths
        ]
        yield table([["kept for backward / peak; first call", *shown], *body])
    reasons = _reasons(results)
    if reasons:
        yield "Without a speed:\n\n" + "\n".join(f"- {reason}" for reason in reasons)


def _time(result: Result | None, mode: Mode) -> str:
    if result is None or result.timing(mode) is None:
        return "–"
    ratio = result.ratio(mode)
    against = f", **{show.figures(ratio.median)}×**" if ratio and not result.ours else ""
    return show.timing(result.timing(mode)) + against


def _memory(result: Result | None) -> str:
    if result is None or result.memory is None or result.first_seconds is None:
        return "–"
    memory = result.memory
    peak = memory.peak_forward if memory.peak_both is None else memory.peak_both
    return f"{show.size(memory.kept)} / {show.size(peak)}; {show.seconds(result.first_seconds)}"


def _reasons(results: Iterable[Result]) -> list[str]:
    """Who has no speed at which lengths, and why; lengths with the same words together."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in results:
        if one.status != "measured":
            words = one.reason if one.status == "not installed" else f"{one.status}: {one.reason}"
            found.setdefault((one.contender, words), []).append(f"{length_of(one):,}")
    return [f"{name}, {'; '.join(lengths)}: {words}" for (name, words), lengths in found.items()]
