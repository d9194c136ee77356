"""docs/benchmarks.md: every result as tables and plots, each class of processor beside the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from benchmarks.headlines import length_of, lines, times
from benchmarks.store import Measured
from benchmarks.vectors import folder_of
from heedful.bench import show
from heedful.bench.machine import CLASSES
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
python -m benchmarks --vectors avx2                # all of it as on a processor without AVX-512
python -m benchmarks additive window --quick       # a taste
heedful bench additive --queries 256 --keys 256 --hidden 128 --threads 1
```"""
HOW = Path(__file__).with_name("how.md")


def write(measured: Sequence[Measured], page: Path, images: Path) -> None:
    """Write the page, and its plots beside it."""
    images.mkdir(parents=True, exist_ok=True)
    order = {name: number for number, name in enumerate(OPERATIONS)}
    ordered = sorted(
        measured,
        key=lambda one: (order[one.job.operation], _rank(one.vectors), one.job.settings.threads),
    )
    classes = by_class(ordered)
    parts = ["# Benchmarks", *_opening(ordered), "## What was wanted", *headlines(classes)]
    if len(classes) > 1:
        parts += ["## Side by side", *side_by_side(classes)]
    parts += [
        "## Where Heedful is behind",
        *_behind(classes),
        "## How it is measured",
        HOW.read_text(encoding="utf-8").strip(),
    ]
    for name, group in groupby(ordered, key=lambda one: one.job.operation):
        parts += _operation(name, list(group), images, page.parent, tuple(classes))
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
    for name in sorted({one.vectors for one in measured}, key=_rank):
        mine = [one for one in measured if one.vectors == name]
        for machine in sorted({tuple(one.machine.items()) for one in mine}):
            yield table([["class", name], *([key, value] for key, value in machine)])
        yield _when(name, mine)
    yield COMMANDS


def _when(name: str, measured: Sequence[Measured]) -> str:
    """When and how one class was measured."""
    dates = sorted({one.date for one in measured})
    minutes = sum(one.seconds for one in measured) / 60
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    text = f"{name}: measured on {when}, in {minutes:.0f} minutes."
    short = sorted({one.job.operation for one in measured if one.job.settings.processor_time})
    if short:
        text += (
            "\nThe machine did other work meanwhile, so these are times of the processor instead of the clock,\n"
            f"at some lengths: {', '.join(short)}."
        )
    return text


def _rank(vectors: str) -> tuple[int, str]:
    """Widest vectors first."""
    known = list(CLASSES.values())
    return (known.index(vectors) if vectors in known else len(known), vectors)


def by_class(measured: Iterable[Measured]) -> dict[str, list[Result]]:
    """The results of each class of processor, widest vectors first."""
    found: dict[str, list[Result]] = {}
    for one in sorted(measured, key=lambda one: _rank(one.vectors)):
        found.setdefault(one.vectors, []).extend(one.results)
    return found


def headlines(classes: Mapping[str, Sequence[Result]]) -> Iterator[str]:
    """Every wanted figure, with what each class of processor reached."""
    marks = {True: "", False: " **no**", None: ""}
    rows: dict[tuple[str, int, str], dict[str, str]] = {}
    for name, results in classes.items():
        for line in lines(results):
            told = "–" if line.holds is None else line.measured + marks[line.holds]
            rows.setdefault((line.what, line.threads, line.wanted), {})[name] = told
    yield table(
        [
            ["what", "threads", "wanted", *classes],
            *(
                [what, str(threads), wanted, *(told.get(name, "–") for name in classes)]
                for (what, threads, wanted), told in rows.items()
            ),
        ]
    )
    yield "**no**: less than was wanted; –: not measured."


def side_by_side(classes: Mapping[str, Sequence[Result]]) -> Iterator[str]:
    """How many times as long as Heedful each contender takes on each class, at the largest length that all measured."""
    yield (
        "The time of each contender over that of Heedful on each class of processor, one thread, at the longest\n"
        "length that both measured: above 1, Heedful is faster. First, the time that Heedful takes."
    )
    ratios: dict[tuple[str, str, int, Mode], dict[str, str]] = {}
    for name, results in classes.items():
        for one in results:
            for mode, _ in MODES:
                told = _beside(one, mode)
                if told and one.threads == 1:
                    key = one.operation, one.contender, length_of(one), mode
                    ratios.setdefault(key, {})[name] = told
    longest: dict[tuple[str, str, Mode], int] = {}
    for (operation, contender, length, mode), told in ratios.items():
        if len(told) == len(classes):
            place = operation, contender, mode
            longest[place] = max(length, longest.get(place, 0))
    passes = dict(MODES)
    rows = [
        [
            OPERATIONS[operation].title, f"{length:,}", passes[mode], contender,
            *ratios[operation, contender, length, mode].values(),
        ]
        for (operation, contender, mode), length in longest.items()
    ]  # fmt: skip
    yield table([["operation", "length", "passes", "contender", *classes], *rows])


def _beside(result: Result, mode: Mode) -> str:
    """Heedful's time, or the ratio of another's to it; empty where there is none."""
    if result.contender == "heedful":
        timing = result.timing(mode)
        return "" if timing is None else show.timing(timing)
    ratio = result.ratio(mode)
    return "" if ratio is None else times(ratio)


def _behind(classes: Mapping[str, Sequence[Result]]) -> Iterator[str]:
    """Every contender and case that is faster than ours."""
    rows = [[name, *row] for name, results in classes.items() for row in _behind_on_class(results)]
    if not rows:
        yield "Nowhere in this run."
        return
    yield (
        "Cases in which another contender took less time than Heedful, by more than 3 %: its time over ours,\n"
        "length by length."
    )
    header = ["processor", "operation", "threads", "faster", "passes", "lengths and ratios"]
    yield table([header, *rows])


def _behind_on_class(results: Sequence[Result]) -> Iterator[list[str]]:
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
                yield [OPERATIONS[operation].title, str(threads), contender, passes, where]


def _operation(
    name: str, measured: Sequence[Measured], images: Path, root: Path, classes: Sequence[str]
) -> Iterator[str]:
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
            # The first class has the plain name.
            suffix = "" if one.vectors == classes[0] else f"-{folder_of(one.vectors)}"
            file = images / f"benchmark-{name}{suffix}.svg"
            draw(one.results, file, f"{show.operation_title(one.results)}, {one.vectors}")
            yield (
                f"![{operation.title}, {one.vectors}: time and memory over lengths]"
                f"({file.relative_to(root).as_posix()})"
            )
        yield f"### {operation.title}, {one.vectors}, {threads} thread{'s' if threads > 1 else ''}"
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
