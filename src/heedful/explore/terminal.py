"""Heat maps of attention weights in a terminal, in colour, in shades or in ASCII."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from heedful.data.words import graphemes
from heedful.errors import unknown_choice
from heedful.explore.schema import AttentionRecord
from heedful.explore.select import kind_name
from heedful.explore.subword_merging import MERGED_NOTE
from heedful.explore.tokens import truncate, visible

_CELL_WIDTH: Final = 2
"""Terminal columns of a heat map cell: about square, and wide enough for an East Asian character."""
MIN_WIDTH: Final = 32
"""Terminal columns that the legend needs."""
_MAX_LABEL_HEIGHT: Final = 12
_MAX_LABEL_WIDTH: Final = 20
_COLOUR_STOPS: Final = (
    (222, 235, 247),
    (158, 202, 225),
    (66, 146, 198),
    (8, 81, 156),
    (8, 48, 107),
)


@dataclass(frozen=True)
class Style:
    """How weights are rendered: by background colour, or by characters of increasing density."""

    shades: Sequence[str]
    masked: str
    ellipsis: str
    coloured: bool = False

    def cell(self, weight: float) -> Text:
        """Return one heat map cell, two terminal columns wide, on a square-root scale."""
        level = min(max(weight, 0.0), 1.0) ** 0.5
        if self.coloured:
            return Text(" " * _CELL_WIDTH, style=f"on rgb({','.join(map(str, colour(level)))})")
        # Round to the nearest shade; 0 stays blank.
        return Text(self.shades[round(level * (len(self.shades) - 1))] * _CELL_WIDTH)

    def masked_cell(self) -> Text:
        """Return a masked cell: hatched, to differ from a weight of 0."""
        return Text(self.masked * _CELL_WIDTH, style="dim" if self.coloured else "")


STYLES: Final[dict[str, Style]] = {
    "color": Style(" ░▒▓█", "╱", "…", coloured=True),
    "shades": Style(" ░▒▓█", "╱", "…"),
    "ascii": Style(" .:-=+*#%@", "/", "~"),
}


def style_for(console: Console) -> str:
    """Return the best style that a console supports."""
    if console.encoding.lower().replace("-", "") not in ("utf8", "utf16", "utf32"):
        return "ascii"
    return "color" if console.color_system is not None else "shades"


def heat_map(record: AttentionRecord, *, width: int = 80, style: str = "color") -> Text:
    r"""Return a heat map of the mean over heads: one row per query, one column per key.

    Keys that do not fit in `width` are omitted; a note says how many. Select a head with `record.head(index)`.

    Args:
        record: the weights to draw.
        width: terminal columns, at least `MIN_WIDTH`; smaller values are raised to it.
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
    attention weights, square-root scale 0   ..::--==++**##%%@@ 1   masked //
    """
    if style not in STYLES:
        raise unknown_choice("terminal style", style, STYLES)
    width = max(width, MIN_WIDTH)
    palette, mean = STYLES[style], record.mean()
    rows = [_fit(token, palette, min(_MAX_LABEL_WIDTH, width // 3)) for token in mean.query_tokens]
    margin = max(cell_len(row) for row in rows) + 2
    shown = min(len(mean.key_tokens), (width - margin) // _CELL_WIDTH)
    text = Text(no_wrap=True, end="")
    heading = _heading(record)
    if palette is STYLES["ascii"]:
        heading = _ascii(heading, palette)
    text.append(textwrap.fill(heading, width) + "\n", style="bold")
    for line in _column_labels(mean.key_tokens[:shown], palette):
        text.append(" " * margin + line + "\n")
    for query, row in enumerate(rows):
        text.append(row + " " * (margin - cell_len(row)))
        for key in range(shown):
            allowed = mean.allowed[0, query, key]
            weight = float(mean.weights[0, query, key])
            text.append_text(palette.cell(weight) if allowed else palette.masked_cell())
        text.append("\n")
    text.append_text(_legend(record.measure, palette, width))
    for note in _notes(record, len(mean.key_tokens) - shown):
        text.append("\n" + textwrap.fill(note, width))
    return text


def _heading(record: AttentionRecord) -> str:
    heads = f", mean over {record.heads} heads" if record.heads > 1 else ""
    return f"{kind_name(record.kind)}, layer {record.layer + 1}{heads}"


def _notes(record: AttentionRecord, omitted: int) -> list[str]:
    notes = []
    if omitted:
        columns = "column does" if omitted == 1 else "columns do"
        notes.append(f"{omitted} more {columns} not fit here; an .html file shows them all")
    if record.merged:
        notes.append(MERGED_NOTE)
    return notes


def _fit(token: str, style: Style, cells: int) -> str:
    text = truncate(token, cells)
    return _ascii(text, style) if style is STYLES["ascii"] else text


def _ascii(text: str, style: Style) -> str:
    r"""Convert to ASCII for terminals without Unicode, with \u escapes instead of question marks."""
    plain = text.replace("…", style.ellipsis).replace("␣", "_").replace("×", "x")
    return plain.encode("ascii", "backslashreplace").decode()


def _column_labels(tokens: Sequence[str], style: Style) -> list[str]:
    """Return the lines that write each token vertically, ending just above its column."""
    stacks = []
    for token in tokens:
        text = _ascii(visible(token), style) if style is STYLES["ascii"] else visible(token)
        parts = graphemes(text)
        if len(parts) > _MAX_LABEL_HEIGHT:
            parts = [*parts[: _MAX_LABEL_HEIGHT - 1], style.ellipsis]
        stacks.append(parts)
    height = max((len(stack) for stack in stacks), default=0)
    lines = []
    for line in range(height):
        row = ""
        for stack in stacks:
            letter = stack[line - height + len(stack)] if line >= height - len(stack) else ""
            row += letter + " " * (_CELL_WIDTH - cell_len(letter))
        lines.append(row)
    return lines


def _legend(measure: str, style: Style, width: int) -> Text:
    """Return the colour bar from 0 to 1 and the sign of masked cells, wrapped to `width`."""
    steps = 11 if style.coloured else len(style.shades)
    bar = Text("0 ")
    for step in range(steps):
        bar.append_text(style.cell((step / (steps - 1)) ** 2))
    bar.append(" 1")
    masked = Text("masked ").append_text(style.masked_cell())
    measure = f"{measure}, square-root scale"
    legend = Text(" ").join([Text(measure), bar, Text(" "), masked])
    if legend.cell_len <= width:
        return legend
    return Text("\n").join([Text(textwrap.fill(measure, width)), bar, masked])


def colour(level: float) -> tuple[int, ...]:
    """Interpolate linearly between the colour stops, as the other renderers do."""
    part = level * (len(_COLOUR_STOPS) - 1)
    low = min(int(part), len(_COLOUR_STOPS) - 2)
    pairs = zip(_COLOUR_STOPS[low], _COLOUR_STOPS[low + 1], strict=True)
    return tuple(round(first + (second - first) * (part - low)) for first, second in pairs)
