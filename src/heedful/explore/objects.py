"""The explanation of found objects: where the query of each looked, and its box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from heedful.answers.boxes import FoundObjects
from heedful.data.images.objects import Box
from heedful.explore.cells import ImageView
from heedful.explore.panels import OBJECT_KINDS
from heedful.explore.schema import AttentionRecord
from heedful.ops.grid import Grid


def records_of_objects(
    records: Sequence[AttentionRecord], prediction: Any
) -> list[AttentionRecord]:
    """Keep of the object queries those that found something, in that order; all, if none did, or of other answers."""
    chosen = list(prediction.queries) if isinstance(prediction, FoundObjects) else []
    return [_rows(each, chosen) if chosen else each for each in records]


def _rows(record: AttentionRecord, chosen: Sequence[int]) -> AttentionRecord:
    if record.kind not in OBJECT_KINDS:
        return record
    names = [record.query_tokens[query] for query in chosen]
    return replace(record, query_tokens=names, weights=record.weights[:, list(chosen)], mask=None)


def image_view(inputs: Any, pixels: Any, grid: Grid, example: Any, prediction: Any) -> ImageView:
    """Return what the explanation of an image is drawn on, with the boxes of found objects."""
    if not isinstance(prediction, FoundObjects):
        return ImageView(pixels, grid)
    place = inputs.place(example)
    across, down = place.width / example.size[1], place.height / example.size[0]
    boxes = [
        Box(
            each.label,
            each.left * across + place.left,
            each.top * down + place.top,
            each.width * across,
            each.height * down,
            each.score,
        )
        for each in prediction.boxes
    ]
    return ImageView(pixels, grid, tuple(boxes))
