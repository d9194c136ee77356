"""The offline page of a comparison."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from heedful.compare.outcome import Outcome
from heedful.compare.plan import Plan
from heedful.compare.show import (
    NONE,
    difference_cells,
    failures,
    memory,
    milliseconds,
    seconds_to,
    settings_text,
    target_text,
)
from heedful.compare.significance import DRAWS, Difference
from heedful.compare.summary import Row, Spread, Summary
from heedful.explore.chart import Series
from heedful.explore.intervals import Interval
from heedful.explore.report import (
    Chart,
    Intervals,
    MetricTable,
    Paragraph,
    Section,
    report_page,
)

BOOTSTRAP = (
    f"Intervals and p-values are of a paired bootstrap of {DRAWS:,} draws: the validation examples are drawn again, "
    "the same for all contenders, and with them the trainings of each contender. With two or three seeds "
    "the intervals are rather too narrow; p-values are of one comparison each, not corrected for many."
)
TIMES = (
    "Times are by the wall clock, of training steps alone (validation is not counted), so whatever else the machine "
    "did counts. Contenders took turns, one seed of each before the next."
)
MEMORY = (
    "Memory is the most that the training's own process held (its resident set, VmHWM) until training ended, less "
    "what it held with libraries and data loaded. Memory that was freed and kept for the next batch counts."
)
LATENCY = (
    "One input alone in its batch, made of the validation data; the median of 3 or more calls after a first one, "
    "then the median over seeds."
)


def comparison_page(plan: Plan, summary: Summary, outcomes: Sequence[Outcome], name: str) -> str:
    """Return one page: quality, whether it differs, what it costs, and how it came about."""
    sections: list[Section] = [Paragraph("", _lead(plan, outcomes))]
    if summary.rows:
        sections += [
            *_quality(plan, summary),
            *_cost(plan, summary),
            *_curves(plan, summary, outcomes),
        ]
    if summary.failures:
        sections.append(
            MetricTable(
                "What failed",
                ["contender", "seed", "part", "error"],
                failures(summary),
                note="The same command tries these again.",
            )
        )
    rows = [[name, settings_text(each)] for name, each in plan.settings.items()]
    sections.append(MetricTable("How the contenders differ", ["contender", "settings"], rows))
    return report_page(f"Heedful compare: {name}", sections)


def _lead(plan: Plan, outcomes: Sequence[Outcome]) -> str:
    trained = max((each.train_examples for each in outcomes), default=0)
    validated = max((len(each.statistics) for each in outcomes), default=0)
    threads = sorted({each.threads for each in outcomes if each.threads})
    data = next(iter(plan.contenders.values())).data
    return (
        f"{len(plan.contenders)} contenders for the task {plan.task.name}, each trained {len(plan.seeds)} "
        f"{'time' if len(plan.seeds) == 1 else 'times'} with the budget {plan.budget} on {trained:,} "
        f"{plan.task.examples} of {' + '.join(data.train)}, and compared by {plan.metric.title} on {validated:,} "
        f"of {' + '.join(data.valid or data.train)}. Threads: {', '.join(map(str, threads)) or NONE}."
    )


def _quality(plan: Plan, summary: Summary) -> list[Section]:
    metric = plan.metric
    lines = [
        Interval(row.contender, row.quality.mean, *row.interval, row.quality.values)
        for row in summary.rows
    ]
    note = f"The dot is the mean, the line its 95 % interval, the rings are the seeds. {BOOTSTRAP}"
    title = f"Quality: {metric.title}"
    sections: list[Section] = [
        Intervals(title, lines, metric.title, note=note, form=metric.format_spec)
    ]
    differences = [row.against_best for row in summary.rows if row.against_best is not None]
    if differences:
        form = f"+{metric.format_spec}"
        drawn = [Interval(d.contender, d.difference, d.low, d.high) for d in differences]
        label = f"{metric.title} less that of {summary.best}"
        heading = f"How far from the best, {summary.best}"
        sections.append(Intervals(heading, drawn, label, zero=True, form=form))
    rows = [_quality_row(plan, row) for row in summary.rows]
    sections.append(MetricTable("", ["contender", "mean", "± sd", "seeds"], rows))
    first = summary.rows[0].contender
    columns, rows = ["contender"], [[row.contender] for row in summary.rows]
    for against, found in _against(summary, first):
        columns += [f"less {against} (95 %)", "p"]
        for row, each in zip(rows, found, strict=True):
            row += map(_together, difference_cells(each, metric))
    return [*sections, MetricTable("", columns, rows)]


def _together(cell: str) -> str:
    """Keep the ends of an interval on one line."""
    return cell.replace(" to ", "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}")


def _against(summary: Summary, first: str) -> Iterable[tuple[str | None, list[Difference | None]]]:
    """Yield what is compared with: the best, and the first where that is another."""
    yield summary.best, [row.against_best for row in summary.rows]
    if first != summary.best:
        yield first, [row.against_first for row in summary.rows]


def _quality_row(plan: Plan, row: Row) -> list[str]:
    form = plan.metric.format_spec
    deviation = row.quality.deviation
    return [
        row.contender,
        f"{row.quality.mean:{form}}",
        NONE if deviation is None else f"{deviation:{form}}",
        ", ".join(f"{value:{form}}" for value in row.quality.values),
    ]


def _cost(plan: Plan, summary: Summary) -> list[Section]:
    columns = [
        "contender", "parameters", "training tokens/s", "training seconds",
        f"seconds to {target_text(plan.metric, summary.target)}", "memory",
    ]  # fmt: skip
    rows = [
        [
            row.contender,
            f"{row.parameters:,}",
            f"{row.tokens_per_second.mean:,.0f}",
            f"{row.training_seconds.mean:,.1f}",
            seconds_to(row),
            memory(row.memory),
        ]
        for row in summary.rows
    ]
    sections: list[Section] = [
        MetricTable("What it costs", columns, rows, note=f"{TIMES} {MEMORY}")
    ]
    lengths = sorted({length for row in summary.rows for length in row.latency})
    if lengths:
        series = [
            Series(row.contender, [(n, 1000 * t) for n, t in row.latency.items()])
            for row in summary.rows
        ]
        label = f"length ({plan.task.unit})"
        sections.append(
            Chart(
                "Time of one answer by length",
                series, label, "milliseconds", log_x=True, log_y=True, note=LATENCY,
            )
        )  # fmt: skip
        cells = [[r.contender, *(milliseconds(r, n) for n in lengths)] for r in summary.rows]
        titles = ["milliseconds", *(f"{n:,} {plan.task.unit}" for n in lengths)]
        sections.append(MetricTable("", titles, cells))
    return sections


def _curves(plan: Plan, summary: Summary, outcomes: Sequence[Outcome]) -> list[Section]:
    title = plan.metric.title
    heading = title[:1].upper() + title[1:]
    by_time = [
        _mean_curve(row.contender, [o for o in outcomes if o.contender == row.contender])
        for row in summary.rows
    ]
    note = "After each epoch, the mean over seeds; the bars reach from the worst to the best seed."
    sections: list[Section] = [
        Chart(
            f"{heading} by training time",
            by_time,
            "seconds of training steps",
            title,
            from_zero=True,
            note=note,
        )
    ]
    if any(len(by_count) > 1 for by_count in summary.learning.values()):
        series = [_learning(name, by_count) for name, by_count in summary.learning.items()]
        label = f"training {plan.task.examples}"
        note = f"Of the weights that were kept; the same budget, {plan.budget}, for every part of the data."
        sections.append(
            Chart(f"{heading} by amount of data", series, label, title, log_x=True, note=note)
        )
        columns = ["contender", *(f"{n:,}" for n in _counts(summary))]
        rows = [
            [name, *(_at(by_count.get(n), plan.metric.format_spec) for n in _counts(summary))]
            for name, by_count in summary.learning.items()
        ]
        sections.append(MetricTable("", columns, rows))
    return sections


def _mean_curve(name: str, outcomes: Sequence[Outcome]) -> Series:
    """Take the mean over seeds after each validation, of all the data, as far as all seeds went."""
    curves = [each.curve for each in outcomes if each.fraction == 1 and each.error is None]
    together = list(zip(*curves, strict=False))
    return Series(
        name,
        [
            (statistics.fmean(p.seconds for p in at), statistics.fmean(p.quality for p in at))
            for at in together
        ],
        [(min(p.quality for p in at), max(p.quality for p in at)) for at in together],
    )


def _learning(name: str, by_count: dict[int, Spread]) -> Series:
    return Series(
        name,
        [(count, spread.mean) for count, spread in by_count.items()],
        [(min(spread.values), max(spread.values)) for spread in by_count.values()],
    )


def _counts(summary: Summary) -> list[int]:
    return sorted({count for by_count in summary.learning.values() for count in by_count})


def _at(spread: Spread | None, form: str) -> str:
    return NONE if spread is None else f"{spread.mean:{form}}"
