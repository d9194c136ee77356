"""HTML report pages built from sections: text, key figures, tables, charts, heat maps and commands."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from heedful.explore.chart import NARROW, WIDE, Series, line_chart
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
class KeyFigures:
    """The answer in a few large figures: (value, what it is) for each; the first is the largest."""

    heading: str
    figures: Sequence[tuple[str, str]]
    note: str = ""


@dataclass(frozen=True)
class MetricTable:
    """A table of column names and rows; numbers are already formatted."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    is_matrix: bool = False
    """Whether its cells are counts whose share of their row is shown by a colour, as of confusions."""


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
    """Heat maps: (caption, records of one example) for each."""

    heading: str
    examples: Sequence[tuple[str, Sequence[AttentionRecord]]]
    pictures: Sequence[str] = ()
    """HTML above the heat maps of each example; empty: none."""
    drawings: Sequence[Drawing | None] = ()
    """What the input of each example looks like; empty: none."""
    unfolded: int = 4
    """So many examples stand open side by side; the others are opened by their captions."""


@dataclass(frozen=True)
class Code:
    """Commands: (command, description) for each."""

    heading: str
    commands: Sequence[tuple[str, str]]


Section = Paragraph | KeyFigures | MetricTable | Chart | Intervals | Maps | Code

_NUMBER: Final = re.compile(r"[-+<]?\d[\d,]*(\.\d+)?(e[-+]\d+)?( ?%| [KMG]iB)?")
_HEADING: Final = "<h2>{}</h2>\n"
_LONG_NOTE: Final = 180
"""Characters of a note from which all but its first sentence is folded."""
_SENTENCE: Final = re.compile(r"(?<=\.) (?=[A-Z])")
_SHADES: Final = ("f7fbff", "dbe9f6", "bad6eb", "89bedc", "539ecd", "2b7bba", "0b559f", "08306b")
"""From no share of a row to the whole of it, as the maps of the explorer."""


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
            case KeyFigures():
                inner = _key_figures(section) + _note(section.note)
            case MetricTable():
                inner = _note(section.note) + table_html(section)
            case Chart():
                inner = _note(section.note) + _chart(section)
            case Intervals():
                inner = _note(section.note) + _intervals(section)
            case Maps():
                inner = _maps(section, f"maps-{number}")
            case Code():
                inner = _commands(section)
        heading = _HEADING.format(html_text(section.heading)) if section.heading else ""
        body.append(f"<section>\n{heading}{inner}</section>\n")
    return page(title, "".join(body))


def _note(text: str) -> str:
    """Return a note; of a long one the first sentence, and the rest to unfold."""
    if not text:
        return ""
    first, *rest = _SENTENCE.split(text, maxsplit=1)
    if len(text) <= _LONG_NOTE or not rest:
        return f'<p class="note">{html_text(text)}</p>\n'
    return (
        f'<details class="note"><summary>{html_text(first)}</summary>\n'
        f"<p>{html_text(rest[0])}</p></details>\n"
    )


def _key_figures(section: KeyFigures) -> str:
    parts = (
        f"<div><dt>{html_text(name)}</dt><dd>{html_text(value)}</dd></div>\n"
        for value, name in section.figures
    )
    return f'<dl class="answer">\n{"".join(parts)}</dl>\n'


def _chart(section: Chart) -> str:
    return _for_every_screen(
        lambda width: line_chart(
            section.series,
            section.x_label,
            section.y_label,
            log_x=section.log_x,
            log_y=section.log_y,
            from_zero=section.from_zero,
            width=width,
        )
    )


def _intervals(section: Intervals) -> str:
    return _for_every_screen(
        lambda width: interval_chart(
            section.intervals,
            section.x_label,
            zero=section.zero,
            form=section.form,
            width=width,
        )
    )


def _for_every_screen(draw: Callable[[int], str]) -> str:
    """Return a chart drawn for a screen and for a telephone, of which the page shows one."""
    return f'<div class="on-wide">{draw(WIDE)}</div>\n<div class="on-narrow">{draw(NARROW)}</div>\n'


def table_html(section: MetricTable) -> str:
    """Return the HTML of a table; columns of numbers are aligned right."""
    columns = list(zip(*section.rows, strict=True)) if section.rows else [()] * len(section.columns)
    marks = [' class="number"' if _are_numbers(column) else "" for column in columns]
    head = "".join(
        f'<th scope="col"{mark}>{html_text(name)}</th>'
        for name, mark in zip(section.columns, marks, strict=True)
    )
    rows = []
    for first, *others in section.rows:
        shades = _shades(others) if section.is_matrix else [""] * len(others)
        cells = "".join(
            f"<td{mark}{shade}>{html_text(cell)}</td>"
            for cell, mark, shade in zip(others, marks[1:], shades, strict=True)
        )
        rows.append(f'<tr><th scope="row">{html_text(first)}</th>{cells}</tr>\n')
    kind = ' class="matrix"' if section.is_matrix else ""
    table = (
        f"<table{kind}>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(rows)}</tbody>\n</table>"
    )
    # It scrolls horizontally on narrow screens, by keys too, instead of shrinking.
    return f'<div class="wide" tabindex="0" role="region" aria-label="table">{table}</div>\n'


def _shades(cells: Sequence[str]) -> list[str]:
    """Return the colours of counts as attributes, by their share of the row."""
    counts = [float(cell.replace(",", "")) if _NUMBER.fullmatch(cell) else 0.0 for cell in cells]
    total = sum(counts) or 1.0
    levels = [math.ceil((len(_SHADES) - 1) * each / total) for each in counts]
    return [
        f' style="background:#{_SHADES[level]};color:#{"fff" if level > 4 else "000"}"'
        for level in levels
    ]


def _are_numbers(column: Sequence[str]) -> bool:
    """Whether all cells are numbers, with or without a unit, or empty; at least one is a number."""
    cells = [cell for cell in column if cell not in ("", "–")]
    return bool(cells) and all(_NUMBER.fullmatch(cell) for cell in cells)


def _maps(section: Maps, name: str) -> str:
    figures: list[str] = []
    for number, (caption, records) in enumerate(section.examples, start=1):
        drawing = section.drawings[number - 1] if section.drawings else None
        drawn = figure(records, name=f"{name}-{number}", drawing=drawing)
        picture = section.pictures[number - 1] if section.pictures else ""
        title, content = html_text(caption), f"{picture}{drawn}"
        if number <= section.unfolded:
            figures.append(f"<div><h3>{title}</h3>\n{content}</div>\n")
        else:
            figures.append(
                f'<details class="example"><summary>{title}</summary>\n{content}</details>\n'
            )
    several = "".join(figures[: section.unfolded])
    if section.unfolded > 1:
        several = f'<div class="several">\n{several}</div>\n'
    folded = "".join(figures[section.unfolded :])
    lead = introduction(record for _, records in section.examples for record in records)
    return f"{several}{folded}{_note(lead)}"


def _commands(section: Code) -> str:
    parts = (
        f"<p>{html_text(description)}</p>\n"
        f'<pre tabindex="0" role="region" aria-label="command"><code>{html_text(command)}</code></pre>\n'
        for command, description in section.commands
    )
    return "".join(parts)
