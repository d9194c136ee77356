"""Roles of heads as the rows of a table, and as a heat map of roles by head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from heedful.explore.heat_map_axes import COLOUR_MAP
from heedful.explore.roles.score import RoleScore
from heedful.plots import COLOURS, INK, house_style, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL: Final = 0.21
"""Height of a row of the heat map, in inches."""
MOST_NUMBERED: Final = 16
"""Up to so many heads the cells hold their numbers."""


def table(scores: Sequence[RoleScore]) -> list[list[str]]:
    """Return the rows of a table of the best head of each role, beside the best fixed offset."""
    rows = [["role", "words", "best head", "found", "best offset", "finds", "head − offset"]]
    for each in scores:
        layer, head = each.best
        gain = each.gain
        rows.append(
            [
                each.role,
                f"{each.pairs:,}",
                f"{layer + 1}.{head + 1}",
                str(each.found),
                f"{each.offset:+}",
                str(each.baseline),
                f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]",
            ]
        )
    return rows


def draw_roles(scores: Sequence[RoleScore], path: Path, title: str) -> None:
    """Draw roles by head: how often each head finds each role, and the best fixed offset in the last column.

    A dot marks a head whose whole interval is above what the offset finds.

    Raises: OptionError for a file that is no .png or .svg.
    """
    with house_style():
        figure, (axes,) = new_figure([CELL * len(scores) + 0.9], title)
        _draw(axes, scores)
        save(figure, path)


def _draw(axes: Axes, scores: Sequence[RoleScore]) -> None:
    heads = list(scores[0].heads)
    cells = np.array(
        [[*(share.value for share in each.heads.values()), each.baseline.value] for each in scores]
    )
    axes.grid(visible=False)
    image = axes.imshow(cells, cmap=COLOUR_MAP, vmin=0, vmax=1, aspect="auto")
    axes.set_yticks(range(len(scores)), [each.role for each in scores], fontsize=8)
    few = len(heads) <= MOST_NUMBERED
    firsts = [place for place, (_, head) in enumerate(heads) if few or head == 0]
    names = [
        f"{heads[place][0] + 1}.{heads[place][1] + 1}" if few else str(heads[place][0] + 1)
        for place in firsts
    ]
    axes.set_xticks([*firsts, len(heads)], [*names, "best\noffset"], fontsize=8)
    axes.set_xlabel("layer.head" if few else "layer, its heads side by side")
    for place, (_, head) in enumerate(heads):
        if head == 0 and place:
            axes.axvline(place - 0.5, color=INK, linewidth=0.6)
    axes.axvline(len(heads) - 0.5, color=INK, linewidth=1.6)
    for row, each in enumerate(scores):
        for column, share in enumerate(each.heads.values()):
            if share.low > each.baseline.value:
                axes.plot(column + 0.36, row - 0.3, ".", color=COLOURS[1], markersize=4)
        if few:
            for column, value in enumerate(cells[row]):
                colour = "white" if value > 0.55 else INK
                axes.text(
                    column, row, f"{value:.2f}".removeprefix("0"), ha="center", va="center",
                    fontsize=7, color=colour,
                )  # fmt: skip
    axes.figure.colorbar(image, ax=axes, shrink=0.5, label="share found", pad=0.02)
