"""Draw one attention map in a terminal: cells shaded by weight, with colours or without."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from heedful.errors import unknown_choice
from heedful.explore.schema import AttentionRecord
from heedful.explore.select import kind_name
from heedful.explore.tokens import clipped, letters, visible
from heedful.explore.words import MERGED_NOTE

_CELL: Final = 2
"""Columns of a cell: about square, and room for one East Asian character above it."""
NARROWEST: Final = 32
"""Columns that the legend needs."""
_TALLEST_LABEL: Final = 12
_WIDEST_LABEL: Final = 20
_STOPS: Final = ((222, 235, 247), (158, 202, 225), (66, 146, 198), (8, 81, 156), (8, 48, 107))


@dataclass(frozen=True)
class Style:
    """How weights become characters: by background colour, or by ever denser shades."""

    shades: Sequence[str]
    masked: str
    ellipsis: str
    coloured: bool = False

    def cell(self, weight: float) -> Text:
        """Return one cell of two columns."""
        level = min(max(weight, 0.0), 1.0)
        if self.coloured:
            return Text(" " * _CELL, style=f"on rgb({','.join(map(str, _colour(level)))})")
        # Rounded, so that half a step is enough to be seen, and 0 stays blank.
        return Text(self.shades[round(level * (len(self.shades) - 1))] * _CELL)

    def masked_cell(self) -> Text:
        """Return a cell that may not be attended to: hatched, not blank."""
        return Text(self.masked * _CELL, style="dim" if self.coloured else "")


STYLES: Final[dict[str, Style]] = {
    "color": Style(" ░▒▓█", "╱", "…", coloured=True),
    "shades": Style(" ░▒▓█", "╱", "…"),
    "ascii": Style(" .:-=+*#%@", "/", "~"),
}


def style_for(console: Console) -> str:
    """Return the richest style that a console can show."""
    if console.encoding.lower().replace("-", "") not in ("utf8", "utf16", "utf32"):
        return "ascii"
    return "color" if console.color_system is not None else "shades"


def heat_map(record: AttentionRecord, *, width: int = 80, style: str = "color") -> Text:
    r"""Return the mean over heads as shaded cells: a row a query, a column a key.

    Columns that do not fit in `width` are left off, and the text says how many. Choose a head with
    `record.head(index)`.

    Args:
        record: what to draw.
        width: columns of the terminal; below `NARROWEST` the map is that wide all the same.
        style: "color", "shades" (no colour) or "ascii".

    Raises:
        OptionError: no such style.

    >>> record = AttentionRecord("", "cross", 0, ("Haus",), ("the", "house"), [[[0.0, 1.0]]])
    >>> print(heat_map(record, style="ascii"))
    cross: output x input, layer 1
            h
            o
          t u
          h s
          e e
    Haus    @@
    attention weights 0   ..::--==++**##%%@@ 1   masked //
    """
    if style not in STYLES:
        raise unknown_choice("terminal style", style, STYLES)
    width = max(width, NARROWEST)
    chosen, mean = STYLES[style], record.mean()
    rows = [_fit(token, chosen, min(_WIDEST_LABEL, width // 3)) for token in mean.query_tokens]
    margin = max(cell_len(row) for row in rows) + 2
    shown = min(len(mean.key_tokens), (width - margin) // _CELL)
    text = Text(no_wrap=True, end="")
    heading = _heading(record)
    if chosen is STYLES["ascii"]:
        heading = _ascii(heading, chosen)
    text.append(textwrap.fill(heading, width) + "\n", style="bold")
    for line in _column_labels(mean.key_tokens[:shown], chosen):
        text.append(" " * margin + line + "\n")
    for query, row in enumerate(rows):
        text.append(row + " " * (margin - cell_len(row)))
        for key in range(shown):
            allowed = mean.allowed[0, query, key]
            weight = float(mean.weights[0, query, key])
            text.append_text(chosen.cell(weight) if allowed else chosen.masked_cell())
        text.append("\n")
    text.append_text(_legend(record.measure, chosen, width))
    for note in _notes(record, len(mean.key_tokens) - shown):
        text.append("\n" + textwrap.fill(note, width))
    return text


def _heading(record: AttentionRecord) -> str:
    heads = f", mean over {record.heads} heads" if record.heads > 1 else ""
    return f"{kind_name(record.kind)}, layer {record.layer + 1}{heads}"


def _notes(record: AttentionRecord, left_off: int) -> list[str]:
    notes = []
    if left_off:
        columns = "column does" if left_off == 1 else "columns do"
        notes.append(f"{left_off} more {columns} not fit here; an .html file shows them all")
    if record.merged:
        notes.append(MERGED_NOTE)
    return notes


def _fit(token: str, style: Style, cells: int) -> str:
    text = clipped(token, cells)
    return _ascii(text, style) if style is STYLES["ascii"] else text


def _ascii(text: str, style: Style) -> str:
    r"""Tokens in a terminal that knows ASCII alone: \u escapes, which say more than question marks."""
    plain = text.replace("…", style.ellipsis).replace("␣", "_").replace("×", "x")
    return plain.encode("ascii", "backslashreplace").decode()


def _column_labels(tokens: Sequence[str], style: Style) -> list[str]:
    """Write each token downwards, ending just above its column."""
    stacks = []
    for token in tokens:
        text = _ascii(visible(token), style) if style is STYLES["ascii"] else visible(token)
        parts = letters(text)
        if len(parts) > _TALLEST_LABEL:
            parts = [*parts[: _TALLEST_LABEL - 1], style.ellipsis]
        stacks.append(parts)
    height = max((len(stack) for stack in stacks), default=0)
    lines = []
    for line in range(height):
        row = ""
        for stack in stacks:
            letter = stack[line - height + len(stack)] if line >= height - len(stack) else ""
            row += letter + " " * (_CELL - cell_len(letter))
        lines.append(row)
    return lines


def _legend(measure: str, style: Style, width: int) -> Text:
    """The bar from 0 to 1, and what a masked cell looks like; over several lines where narrow."""
    steps = 11 if style.coloured else len(style.shades)
    bar = Text("0 ")
    for step in range(steps):
        bar.append_text(style.cell(step / (steps - 1)))
    bar.append(" 1")
    masked = Text("masked ").append_text(style.masked_cell())
    legend = Text(" ").join([Text(measure), bar, Text(" "), masked])
    if legend.cell_len <= width:
        return legend
    return Text("\n").join([Text(textwrap.fill(measure, width)), bar, masked])


def _colour(level: float) -> tuple[int, ...]:
    """Interpolate between the stops, as every other renderer does."""
    part = level * (len(_STOPS) - 1)
    low = min(int(part), len(_STOPS) - 2)
    pairs = zip(_STOPS[low], _STOPS[low + 1], strict=True)
    return tuple(round(first + (second - first) * (part - low)) for first, second in pairs)
