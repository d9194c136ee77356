"""HTML report pages built from sections: text, tables, charts, heat maps and commands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from heedful.explore.chart import Series, line_chart
from heedful.explore.html import figure, introduction, page
from heedful.explore.intervals import Interval, interval_chart
from heedful.explore.page_data import Drawing
from heedful.explore.schema import AttentionRecord
from heedful.explore.tokens import html_text


@dataclass(frozen=True)
class Paragraph:
    """Plain text under a heading; empty: no heading."""

    heading: str
    text: str


@dataclass(frozen=True)
class MetricTable:
    """A table of column names and rows; numbers are already formatted."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """A line chart, such as loss by step."""

    heading: str
    series: Sequence[Series]
    x_label: str
    y_label: str
    log_x: bool = False
    log_y: bool = False
    from_zero: bool = False
    """Start the horizontal axis at 0, as for time."""
    note: str = ""
    """Text above the chart."""


@dataclass(frozen=True)
class Intervals:
    """An interval plot: values with their confidence intervals, one per line."""

    heading: str
    intervals: Sequence[Interval]
    x_label: str
    note: str = ""
    zero: bool = False
    """Draw a line at 0, as for differences."""
    form: str = ".3g"
    """Format specification of the numbers in the alternative text."""


@dataclass(frozen=True)
class Maps:
    """Heat maps side by side: (caption, records of one example) for each."""

    heading: str
    examples: Sequence[tuple[str, Sequence[AttentionRecord]]]
    pictures: Sequence[str] = ()
    """HTML above the heat maps of each example; empty: none."""
    drawings: Sequence[Drawing | None] = ()
    """What the input of each example looks like; empty: none."""


@dataclass(frozen=True)
class Code:
    """Commands: (command, description) for each."""

    heading: str
    commands: Sequence[tuple[str, str]]


Section = Paragraph | MetricTable | Chart | Intervals | Maps | Code

_NUMBER: Final = re.compile(r"[-+<]?\d[\d,]*(\.\d+)?(e[-+]\d+)?( ?%| [KMG]iB)?")
_HEADING: Final = "<h2>{}</h2>\n"


def report_page(title: str, sections: Sequence[Section]) -> str:
    """Return one offline HTML page of the sections, in order.

    Raises:
        OptionError: a `Maps` example has no records, a `Chart` no points, or `Intervals` no intervals.

    >>> text = report_page("Run", [MetricTable("Results", ["metric", "value"], [["BLEU", "33.1"]])])
    >>> '<td class="number">33.1</td>' in text
    True
    """
    body = []
    for number, section in enumerate(sections, start=1):
        match section:
            case Paragraph():
                inner = f"<p>{html_text(section.text)}</p>\n"
            case MetricTable():
                inner = _note(section.note) + _table(section)
            case Chart():
                inner = _note(section.note) + _chart(section)
            case Intervals():
                drawn = interval_chart(
                    section.intervals, section.x_label, zero=section.zero, form=section.form
                )
                inner = _note(section.note) + _wide(drawn)
            case Maps():
                inner = _maps(section, f"maps-{number}")
            case Code():
                inner = _commands(section)
        heading = _HEADING.format(html_text(section.heading)) if section.heading else ""
        body.append(f"<section>\n{heading}{inner}</section>\n")
    return page(title, "".join(body))


def _note(text: str) -> str:
    return f'<p class="note">{html_text(text)}</p>\n' if text else ""


def _chart(section: Chart) -> str:
    drawn = line_chart(
        section.series,
        section.x_label,
        section.y_label,
        log_x=section.log_x,
        log_y=section.log_y,
        from_zero=section.from_zero,
    )
    return _wide(drawn)


def _wide(drawn: str) -> str:
    """Scroll horizontally on narrow screens, instead of shrinking the content."""
    return f'<div class="wide">{drawn}</div>\n'


def _table(section: MetricTable) -> str:
    """Return the HTML of a table; columns of numbers are aligned right."""
    columns = list(zip(*section.rows, strict=True)) if section.rows else [()] * len(section.columns)
    marks = [' class="number"' if _are_numbers(column) else "" for column in columns]
    head = "".join(
        f'<th scope="col"{mark}>{html_text(name)}</th>'
        for name, mark in zip(section.columns, marks, strict=True)
    )
    rows = []
    for first, *others in section.rows:
        cells = "".join(
            f"<td{mark}>{html_text(cell)}</td>"
            for cell, mark in zip(others, marks[1:], strict=True)
        )
        rows.append(f'<tr><th scope="row">{html_text(first)}</th>{cells}</tr>\n')
    table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(rows)}</tbody>\n</table>"
    return _wide(table)


def _are_numbers(column: Sequence[str]) -> bool:
    """Whether all cells are numbers, with or without a unit, or empty; at least one is a number."""
    cells = [cell for cell in column if cell not in ("", "–")]
    return bool(cells) and all(_NUMBER.fullmatch(cell) for cell in cells)


def _maps(section: Maps, name: str) -> str:
    figures = []
    for number, (caption, records) in enumerate(section.examples, start=1):
        drawing = section.drawings[number - 1] if section.drawings else None
        drawn = figure(records, name=f"{name}-{number}", drawing=drawing)
        picture = section.pictures[number - 1] if section.pictures else ""
        figures.append(f"<div><h3>{html_text(caption)}</h3>\n{picture}{drawn}</div>\n")
    lead = introduction(record for _, records in section.examples for record in records)
    return f'<div class="several">\n{"".join(figures)}</div>\n{_note(lead)}'


def _commands(section: Code) -> str:
    parts = (
        f"<p>{html_text(description)}</p>\n<pre><code>{html_text(command)}</code></pre>\n"
        for command, description in section.commands
    )
    return "".join(parts)
