"""Format the results of a comparison as text, for the terminal and the HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heedful.answers.base import Metric
from heedful.compare.plan import Plan
from heedful.compare.significance import Difference
from heedful.compare.summary import ContenderSummary, SeedValues, Summary
from heedful.explore.intervals import format_number

NONE = "–"


def table(plan: Plan, summary: Summary) -> list[list[str]]:
    """Return the terminal table: column titles, then one row per contender, those that failed last."""
    longest = max((max(row.latency, default=0) for row in summary.rows), default=0)
    titles = [
        "contender",
        plan.metric.title,
        "± sd",
        f"less {summary.best} (95 %)",
        "p",
        "parameters",
        "tokens/s",
        "train s",
        f"s to {target_text(plan.metric, summary.target)}",
        "memory",
        f"ms at {longest}",
    ]
    rows = [titles]
    for row in summary.rows:
        rows.append(
            [
                row.contender + _failed(row, summary),
                f"{row.quality.mean:{plan.metric.format_spec}}",
                NONE
                if (sd := row.quality.deviation) is None
                else f"{sd:{plan.metric.format_spec}}",
                *difference_cells(row.against_best, plan.metric),
                f"{row.parameters:,}" if row.parameters else NONE,
                f"{row.tokens_per_second.mean:,.0f}" if row.parameters else NONE,
                f"{row.training_seconds.mean:,.1f}",
                NONE if row.contender in plan.baselines else seconds_to(row),
                memory(row.memory),
                milliseconds(row, longest),
            ]
        )
    shown = {row.contender for row in summary.rows}
    failed = dict.fromkeys(each.contender for each in summary.failures)
    rows += [[name, "failed", *[NONE] * (len(titles) - 2)] for name in failed if name not in shown]
    return rows


def _failed(row: ContenderSummary, summary: Summary) -> str:
    """Say how many trainings of a contender on all the data failed; empty for none."""
    failed = sum(
        each.contender == row.contender and each.fraction == 1 for each in summary.failures
    )
    of = len(row.quality.values) + failed
    return f" ({failed} of {of} failed)" if failed else ""


def difference_cells(difference: Difference | None, metric: Metric) -> list[str]:
    """Format a difference with its confidence interval, and its p-value; – for a contender against itself."""
    if difference is None:
        return [NONE, NONE]
    form = f"+{metric.format_spec}"
    middle, low, high = (
        format_number(value, form)
        for value in (difference.difference, difference.low, difference.high)
    )
    return [f"{middle} ({low} to {high})", p_value(difference.p)]


def p_value(p: float | None) -> str:
    """Format a p-value; – for none.

    >>> p_value(0.0312), p_value(0.0009995), p_value(None)
    ('0.031', '<0.001', '–')
    """
    if p is None:
        return NONE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


RELIABLE_SEEDS = 5
"""From as many trainings on, the variance between seeds is taken as known."""


def seeds_note(summary: Summary) -> str:
    """Return what too few trainings leave unknown; empty for enough of them."""
    fewest = min((len(row.quality.values) for row in summary.rows), default=RELIABLE_SEEDS)
    if fewest >= RELIABLE_SEEDS:
        return ""
    if fewest == 1:
        return (
            "With one training of a contender its variance between seeds is unknown: intervals hold for these weights "
            "on other examples, not for another training, and there is no p-value. Use --seeds 3 or more."
        )
    return (
        f"With {fewest} trainings of a contender its variance between seeds is underestimated: intervals are too "
        f"narrow and p-values too small. Use --seeds {RELIABLE_SEEDS} or more to decide between close results."
    )


def memory(added: SeedValues | None) -> str:
    """Format mean bytes as MiB.

    >>> memory(SeedValues(values=(3 * 2**20, 5 * 2**20)))
    '4 MiB'
    """
    return NONE if added is None else f"{added.mean / 2**20:,.0f} MiB"


def milliseconds(row: ContenderSummary, length: int) -> str:
    """Format the latency at an input length."""
    return f"{1000 * row.latency[length]:,.1f}" if length in row.latency else NONE


def seconds_to(row: ContenderSummary) -> str:
    """Format the time to the target, and how many trainings reached it if not all did."""
    if row.seconds_to_target is None:
        return "not reached"
    reached, of = len(row.seconds_to_target.values), len(row.quality.values)
    some = "" if reached == of else f" ({reached} of {of})"
    return f"{row.seconds_to_target.mean:,.1f}{some}"


def failures(summary: Summary) -> Sequence[Sequence[str]]:
    """Return one row for each failed training."""
    return [
        [each.contender, str(each.seed), f"{each.fraction:g}", each.error or ""]
        for each in summary.failures
    ]


def target_text(metric: Metric, target: float | None) -> str:
    """Format the target metric of the times."""
    return NONE if target is None else f"{target:{metric.format_spec}}"


def settings_text(settings: Mapping[str, Any], prefix: str = "") -> str:
    """Format nested settings on one line.

    >>> settings_text({"encoder": {"kind": "lstm", "hidden": 64}})
    'encoder.kind = lstm, encoder.hidden = 64'
    """
    return ", ".join(
        settings_text(value, f"{prefix}{key}.")
        if isinstance(value, Mapping)
        else f"{prefix}{key} = {value}"
        for key, value in settings.items()
    )
