"""Heat over images: the weights of every head and layer, drawn on the image that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from heedful.data.images.objects import Box
from heedful.explore.cells import ImageView
from heedful.explore.figure_files import write_figure
from heedful.explore.panels import panels
from heedful.explore.schema import AttentionRecord
from heedful.explore.tokens import truncate_text

_SIDE: Final = 1.5  # inches of an image
_MARGIN: Final = 0.3


class _Layout:
    """Places images on a figure, a grid of rows and columns."""

    def __init__(self, view: ImageView, rows: int, columns: int, families: Sequence[str]) -> None:
        frames, height, width, _ = view.pixels.shape
        self.families = list(families)
        self.across = _SIDE * frames * width / height
        self.width = max(5.0, columns * (self.across + _MARGIN) + _MARGIN)
        self.height = rows * (_SIDE + 2 * _MARGIN) + 3 * _MARGIN
        self.figure = Figure(figsize=(self.width, self.height), facecolor="white")
        self.image = np.concatenate(list(view.pixels), axis=1)

    def title(self, text: str) -> None:
        """Write the title of the figure."""
        place = _MARGIN / self.width, 1 - 1.2 * _MARGIN / self.height
        shown = truncate_text(text, int(self.width / 0.11))
        self.figure.text(*place, shown, fontsize=12, family=self.families, parse_math=False)

    def show(self, row: int, column: int, title: str) -> Axes:
        """Draw the image at a place and return its axes."""
        top = 3 * _MARGIN + row * (_SIDE + 2 * _MARGIN)
        left = _MARGIN + column * (self.across + _MARGIN)
        size = self.across / self.width, _SIDE / self.height
        axes = self.figure.add_axes((left / self.width, 1 - (top + _SIDE) / self.height, *size))
        axes.set_axis_off()
        axes.set_title(title, fontsize=8, family=self.families, loc="left", pad=3)
        is_grey = self.image.shape[-1] == 1
        axes.imshow(
            np.repeat(self.image, 3, axis=-1) if is_grey else self.image, interpolation="nearest"
        )
        return axes


def draw_image_figure(
    records: Sequence[AttentionRecord], view: ImageView, title: str, families: Sequence[str]
) -> Figure:
    """Return a figure: the image, then a row for each record with the mean of its heads and each head on the image.

    Each map has a scale of its own, from 0 to its greatest weight. Frames of a video stand side by side.

    Raises: OptionError if there are no records over the cells.
    """
    rows = panels(records, view)
    layout = _Layout(view, len(rows) + 1, max(map(len, rows)), families)
    layout.title(title)
    first = layout.show(0, 0, "as the model reads it")
    for place, box in enumerate(view.boxes):
        _show_box(first, box, f"C{place % 10}")
    for number, row in enumerate(rows, start=1):
        for column, panel in enumerate(row):
            caption = panel.caption(column, len(row))
            axes = layout.show(number, column, caption if column else f"{panel.title}\n{caption}")
            _show_heat(axes, np.concatenate(list(panel.heat), axis=1), layout.image.shape)
            if panel.box is not None:
                _show_box(axes, panel.box, f"C{view.boxes.index(panel.box) % 10}")
    return layout.figure


def _show_heat(axes: Axes, heat: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    """Colour each cell by its weight, the more opaque the greater, so that little weight leaves the image visible."""
    share = heat / max(float(heat.max()), 1e-12)
    axes.imshow(
        share,
        cmap="inferno",
        vmin=0.0,
        vmax=1.0,
        alpha=0.25 + 0.55 * share,
        interpolation="nearest",
        extent=(-0.5, shape[1] - 0.5, shape[0] - 0.5, -0.5),
    )


def _show_box(axes: Axes, box: Box, colour: str) -> None:
    corner = box.left - 0.5, box.top - 0.5
    axes.add_patch(Rectangle(corner, box.width, box.height, fill=False, edgecolor=colour))


def save_image_figure(
    records: Sequence[AttentionRecord], view: ImageView, path: Path, title: str
) -> None:
    """Draw an image with its heat maps to a .png or .svg file.

    Raises: OptionError if there are no records.
    """
    draw = partial(draw_image_figure, records, view, title)
    write_figure(draw, path, path.suffix.lower(), title, [title, "…"])
