"""Heat over an image as HTML without scripts: every layer and head, and the boxes of found objects."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.explore.cells import ImageView
from heedful.explore.panels import Panel, panels
from heedful.explore.png import png
from heedful.explore.schema import AttentionRecord
from heedful.explore.tokens import html_text, truncate_text

_SIDE, _GAP, _TEXT = 112, 10, 18
_ROW: Final = 2 * _TEXT + _SIDE + _GAP
"""Height of a row: its title, the titles of its maps, and the maps."""
_HEAT: Final = (255, 96, 0)
_OPAQUE: Final = 0.85
"""Opacity of the greatest weight of a map; that of the others is less in proportion."""
_LETTERS: Final = 17
"""Characters that fit over one map; the title of a row may be three times as long."""


def draw_image_heat(records: Sequence[AttentionRecord], view: ImageView) -> str:
    """Return the image, and below it a row for each record or object: the mean of the heads, then each head.

    Each map has a scale of its own, from 0 to its greatest weight. Frames of a video stand side by side.

    Raises: OptionError if no record is over the cells of the image.

    >>> from heedful.ops.grid import Grid
    >>> record = AttentionRecord("", "pooling", 0, ["cat"], "abcd", [[[0.1, 0.2, 0.3, 0.4]]])
    >>> drawn = draw_image_heat([record], ImageView(np.zeros((1, 8, 8, 1), np.uint8), Grid(2, 2)))
    >>> drawn.count("<use"), drawn.count("<image"), "pooling" in drawn
    (2, 2, True)
    """
    rows = panels(records, view)
    pixels = np.concatenate(list(view.pixels), axis=1)
    height, width = pixels.shape[:2]
    across = _SIDE * width / height
    name = f"image-{hashlib.sha256(pixels.tobytes()).hexdigest()[:12]}"
    parts = [
        f"<defs>{_image(pixels, across, name)}</defs>",
        _place(0, 0, across, name, "the image", view),
    ]
    for number, row in enumerate(rows, start=1):
        top = number * _ROW
        lead = html_text(truncate_text(row[0].title, 3 * _LETTERS))
        parts.append(f'<text y="{top + 12}">{lead}</text>')
        for column, panel in enumerate(row):
            caption = panel.caption(column, len(row))
            parts.append(_place(number, column, across, name, caption, view, panel))
    columns = max(map(len, rows))
    size = columns * (across + _GAP), (len(rows) + 1) * _ROW
    label = "heat maps over the image, a row for each record and a column for each head"
    return (
        "<details><summary>Every layer and head on the image</summary>\n"
        '<div class="wide" tabindex="0" role="region" aria-label="maps">'
        f'<svg class="heat" width="{size[0]:.0f}" height="{size[1]:.0f}" '
        f'viewBox="0 0 {size[0]:.0f} {size[1]:.0f}" role="img" aria-label="{label}">{"".join(parts)}</svg></div>\n'
        "</details>\n"
    )


def image_drawing(view: ImageView) -> dict[str, Any]:
    """Return what a page draws the weights on, as JSON values: the image and its cells.

    >>> from heedful.ops.grid import Grid
    >>> drawn = image_drawing(ImageView(np.zeros((1, 8, 8, 1), np.uint8), Grid(2, 4)))
    >>> drawn["rows"], drawn["columns"], drawn["ratio"]
    (2, 4, 1.0)
    """
    pixels = np.concatenate(list(view.pixels), axis=1)
    height, width = pixels.shape[:2]
    return {
        "type": "image",
        "title": "image" if view.grid.frames == 1 else "video",
        "href": f"data:image/png;base64,{base64.b64encode(png(np.ascontiguousarray(pixels))).decode()}",
        "ratio": width / height,
        "frames": view.grid.frames,
        "rows": view.grid.rows,
        "columns": view.grid.columns,
        "prefix": view.grid.prefix,
        "boxes": [
            [box.left / width, box.top / height, box.width / width, box.height / height]
            for box in view.boxes
        ],
    }


def _image(pixels: NDArray[np.uint8], width: float, name: str = "") -> str:
    """Return pixels as an image of the height of a panel; its pixels are not blurred."""
    data = base64.b64encode(png(np.ascontiguousarray(pixels))).decode()
    identity = f' id="{name}"' if name else ""
    return (
        f'<image{identity} width="{width:.1f}" height="{_SIDE}" preserveAspectRatio="none" '
        f'style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
    )


def _place(
    row: int,
    column: int,
    across: float,
    name: str,
    title: str,
    view: ImageView,
    panel: Panel | None = None,
) -> str:
    """Return the image at a place, with a heat map and the box of its object, or all boxes."""
    left, top = column * (across + _GAP), row * _ROW + _TEXT
    drawn = [f'<use href="#{name}"/>']
    if panel is not None:
        drawn.append(_image(_colours(np.concatenate(list(panel.heat), axis=1)), across))
    boxes = list(view.boxes) if panel is None else [] if panel.box is None else [panel.box]
    scale = _SIDE / view.pixels.shape[1]
    for box in boxes:
        colour = view.boxes.index(box) % 8 + 1
        x, y, width, height = (
            round(each * scale, 1) for each in (box.left, box.top, box.width, box.height)
        )
        drawn.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" '
            f'style="fill:none;stroke:var(--curve-{colour});stroke-width:2"/>'
        )
    return (
        f'<g transform="translate({left:.1f} {top})"><text y="12">{html_text(title)}</text>'
        f'<g transform="translate(0 {_TEXT})">{"".join(drawn)}</g></g>'
    )


def _colours(heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return one colour, the more opaque the greater the weight: (rows, columns, 4)."""
    share = heat / max(float(heat.max()), 1e-12)
    found = np.empty((*heat.shape, 4), np.uint8)
    found[..., :3] = _HEAT
    found[..., 3] = np.rint(255 * _OPAQUE * share)
    return found
