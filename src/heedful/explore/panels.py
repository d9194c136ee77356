"""What is drawn on an image: for each record, or each row of one, a map of the mean of the heads and of each head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful.errors import OptionError
from heedful.explore.cells import ImageView, cell_maps
from heedful.explore.schema import AttentionRecord
from heedful.explore.select import kind_name

if TYPE_CHECKING:
    from heedful.data.images.objects import Box

OBJECT_KINDS = ("cross", "saliency")
"""Kinds of records with a row for each object, or for the whole image."""


class Panel(NamedTuple):
    """One heat map."""

    title: str
    heat: NDArray[np.float32]
    """(frames, rows, columns)."""
    box: Box | None = None
    """The object that the heat belongs to."""

    def caption(self, column: int, columns: int) -> str:
        """Return the line over the map in a row of so many; the title of a row stands above that of its first map.

        >>> panel = Panel("head 1", np.array([[[0.25]]], np.float32))
        >>> panel.caption(0, 5), panel.caption(1, 5), panel.caption(0, 1)
        ('mean, up to 0.25', 'head 1, up to 0.25', 'up to 0.25')
        """
        what = "" if columns == 1 else "mean, " if column == 0 else f"{self.title}, "
        return f"{what}up to {self.heat.max():.2g}"


def panels(records: Sequence[AttentionRecord], view: ImageView) -> list[list[Panel]]:
    """Return a row of panels for each record over the cells, and for each object: the mean over heads, then each head.

    Raises: OptionError if no record is over the cells of the image.
    """
    over_cells = [each for each in records if len(each.key_tokens) == view.grid.length]
    if not over_cells:
        raise OptionError("there are no attention records to draw; record a model first.")
    return [row for record in over_cells for row in _rows(record, over_cells, view)]


def _rows(
    record: AttentionRecord, records: Sequence[AttentionRecord], view: ImageView
) -> list[list[Panel]]:
    grid = view.grid
    shape = (grid.frames, grid.rows, grid.columns)
    what = kind_name(record.kind).partition(":")[0]
    layers = sum(other.kind == record.kind for other in records)
    title = f"{what}, layer {record.layer + 1}" if layers > 1 else what
    if record.kind not in OBJECT_KINDS or (len(record.query_tokens) == 1 and not view.boxes):
        return [_row(title, cell_maps(record, grid.prefix, shape), None)]
    rows = []
    for number, name in enumerate(record.query_tokens):
        one = replace(
            record,
            query_tokens=(name,),
            weights=record.weights[:, number : number + 1],
            mask=None,
        )
        box = view.boxes[number] if len(view.boxes) == len(record.query_tokens) else None
        rows.append(_row(f"{name}, {title}", cell_maps(one, grid.prefix, shape), box))
    return rows


def _row(title: str, maps: NDArray[np.float32], box: Box | None) -> list[Panel]:
    heads = [Panel(f"head {number}", heat, box) for number, heat in enumerate(maps, start=1)]
    return [Panel(title, maps.mean(axis=0), box), *(heads if len(heads) > 1 else [])]
