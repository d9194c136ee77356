"""The offline HTML page of a comparison."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from heedful.compare.formatting import (
    NONE,
    difference_cells,
    failures,
    memory,
    milliseconds,
    seconds_to,
    seeds_note,
    settings_text,
    target_text,
)
from heedful.compare.outcome import Outcome
from heedful.compare.plan import Plan
from heedful.compare.significance import NUM_RESAMPLES, Difference
from heedful.compare.summary import ContenderSummary, SeedValues, Summary
from heedful.explore.chart import Series
from heedful.explore.intervals import Interval
from heedful.explore.report import (
    Chart,
    Intervals,
    KeyFigures,
    MetricTable,
    Paragraph,
    Section,
    report_page,
)

BOOTSTRAP = (
    f"Confidence intervals and p-values are from a paired bootstrap with {NUM_RESAMPLES:,} resamples of the validation "
    "examples, the same for all contenders, and of the trainings of each contender. With two or three seeds the "
    "intervals are too narrow. p-values are not corrected for multiple comparisons."
)
TIMES = (
    "Times are wall-clock times of the training steps, without validation; other load on the machine increases them. "
    "Contenders took turns, one seed of each before the next."
)
MEMORY = (
    "Memory is the peak resident set (VmHWM) of the training's own process until training ended, minus its resident "
    "set with libraries and data loaded. It includes memory that the allocator kept for reuse."
)
LATENCY = (
    "Batches of one input, made from the validation data; the median of 3 or more calls after a warm-up call, then "
    "the median over seeds."
)

MOST_FIGURES = 4
"""Contenders in large letters at the top."""


def comparison_page(plan: Plan, summary: Summary, outcomes: Sequence[Outcome], name: str) -> str:
    """Return an HTML page of quality, significance, cost, learning curves, failures and settings."""
    sections: list[Section] = [Paragraph("", _lead(plan, outcomes))]
    if summary.rows:
        sections += [
            _answer(plan, summary),
            *_quality(plan, summary),
            *_cost(plan, summary),
            *_curves(plan, summary, outcomes),
        ]
    if summary.failures:
        sections.append(
            MetricTable(
                "Failed trainings",
                ["contender", "seed", "part", "error"],
                failures(summary),
                note="Run the same command to try these again.",
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


def _answer(plan: Plan, summary: Summary) -> KeyFigures:
    """Return the contenders by quality, best first, with their difference from the best."""
    best = next((row for row in summary.rows if row.contender == summary.best), summary.rows[0])
    figures = [(f"{best.quality.mean:{plan.metric.format_spec}}", f"{best.contender}, the best")]
    for row in summary.rows:
        found = row.against_best
        if row is best or len(figures) == MOST_FIGURES:
            continue
        less = "" if found is None else f": {difference_cells(found, plan.metric)[0]}"
        figures.append((f"{row.quality.mean:{plan.metric.format_spec}}", f"{row.contender}{less}"))
    note = (
        f"{plan.metric.title}, the mean over seeds; differences from the best have 95 % intervals."
    )
    return KeyFigures("", figures, note)


def _quality(plan: Plan, summary: Summary) -> list[Section]:
    metric = plan.metric
    lines = [
        Interval(row.contender, row.quality.mean, *row.interval, row.quality.values)
        for row in summary.rows
    ]
    note = f"Dots are means, lines their 95 % confidence intervals, rings single seeds. {BOOTSTRAP}"
    title = f"Quality: {metric.title}"
    sections: list[Section] = [
        Intervals(title, lines, metric.title, note=note, form=metric.format_spec)
    ]
    differences = [row.against_best for row in summary.rows if row.against_best is not None]
    if differences:
        form = f"+{metric.format_spec}"
        difference_intervals = [
            Interval(d.contender, d.difference, d.low, d.high) for d in differences
        ]
        label = f"{metric.title} minus that of {summary.best}"
        heading = f"Difference from the best, {summary.best}"
        sections.append(Intervals(heading, difference_intervals, label, zero=True, form=form))
    rows = [_quality_row(plan, row) for row in summary.rows]
    sections.append(MetricTable("", ["contender", "mean", "± sd", "seeds"], rows))
    first = summary.rows[0].contender
    columns, rows = ["contender"], [[row.contender] for row in summary.rows]
    for against, compared in _against(summary, first):
        columns += [f"less {against} (95 %)", "p"]
        for row, each in zip(rows, compared, strict=True):
            row += map(_unbreakable, difference_cells(each, metric))
    return [*sections, MetricTable("", columns, rows, note=seeds_note(summary))]


def _unbreakable(cell: str) -> str:
    """Replace the spaces inside an interval by no-break spaces."""
    return cell.replace(" to ", "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}")


def _against(summary: Summary, first: str) -> Iterable[tuple[str | None, list[Difference | None]]]:
    """Yield the differences from the best contender, and from the first if that is another."""
    yield summary.best, [row.against_best for row in summary.rows]
    if first != summary.best:
        yield first, [row.against_first for row in summary.rows]


def _quality_row(plan: Plan, row: ContenderSummary) -> list[str]:
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
            f"{row.parameters:,}" if row.parameters else NONE,
            f"{row.tokens_per_second.mean:,.0f}" if row.parameters else NONE,
            f"{row.training_seconds.mean:,.1f}",
            NONE if row.contender in plan.baselines else seconds_to(row),
            memory(row.memory),
        ]
        for row in summary.rows
    ]
    sections: list[Section] = [MetricTable("Cost", columns, rows, note=f"{TIMES} {MEMORY}")]
    lengths = sorted({length for row in summary.rows for length in row.latency})
    if lengths:
        series = [
            Series(row.contender, [(n, 1000 * t) for n, t in row.latency.items()])
            for row in summary.rows
        ]
        label = f"length ({plan.task.unit})"
        sections.append(
            Chart(
                "Latency by input length",
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
    note = "Mean over seeds after each epoch; error bars from the worst to the best seed."
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
        note = f"Metric of the best checkpoint; every amount of data has the same budget, {plan.budget}."
        sections.append(
            Chart(f"{heading} by amount of data", series, label, title, log_x=True, note=note)
        )
        columns = ["contender", *(f"{n:,}" for n in _counts(summary))]
        rows = [
            [
                name,
                *(_format_mean(by_count.get(n), plan.metric.format_spec) for n in _counts(summary)),
            ]
            for name, by_count in summary.learning.items()
        ]
        sections.append(MetricTable("", columns, rows))
    return sections


def _mean_curve(name: str, outcomes: Sequence[Outcome]) -> Series:
    """Return the mean over seeds at each validation that all trainings on all the data reached."""
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


def _learning(name: str, by_count: dict[int, SeedValues]) -> Series:
    return Series(
        name,
        [(count, spread.mean) for count, spread in by_count.items()],
        [(min(spread.values), max(spread.values)) for spread in by_count.values()],
    )


def _counts(summary: Summary) -> list[int]:
    return sorted({count for by_count in summary.learning.values() for count in by_count})


def _format_mean(spread: SeedValues | None, form: str) -> str:
    return NONE if spread is None else f"{spread.mean:{form}}"
