"""The offline page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from heedful.compare.outcome import Outcome
from heedful.compare.plan import Plan
from heedful.compare.show import table
from heedful.compare.summary import Summary
from heedful.explore.report import MetricTable, report_page


def comparison_page(plan: Plan, summary: Summary, outcomes: Sequence[Outcome], name: str) -> str:
    """Return the page."""
    titles, *rows = table(plan, summary)
    return report_page(f"Heedful compare: {name}", [MetricTable("All", titles, rows)])
