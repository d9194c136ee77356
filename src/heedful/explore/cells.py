"""Attention among the cells of an image: summed up as one map of the image, and rolled out over layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful.explore.schema import AttentionRecord
from heedful.ops.grid import Grid

if TYPE_CHECKING:
    from heedful.data.images.objects import Box

MAX_CELLS: Final = 100
"""Up to so many positions the attention of each is shown; of more, one row for all."""
ROLLOUT: Final = "attention rollout"
"""`AttentionRecord.measure` of a rollout."""
IMAGE_SUFFIXES: Final = (".png", ".svg")
"""Of the files that show the image itself."""
Maps = NDArray[np.float32]


class ImageView(NamedTuple):
    """What the explanation of an image is drawn on."""

    pixels: NDArray[np.uint8]
    """(frames, height, width, channels), as the model reads it."""
    grid: Grid
    boxes: tuple[Box, ...] = ()
    """Of found objects, in pixels of the view: row n of a record with a row an object belongs to the n-th."""


def one_row(record: AttentionRecord, prefix: int) -> AttentionRecord:
    """Return a record with one row: that of the class token if there is one, else the mean over all queries.

    >>> record = AttentionRecord("", "encoder", 0, "ab", "ab", [[[1.0, 0.0], [0.5, 0.5]]])
    >>> one_row(record, 0).weights.tolist(), one_row(record, 1).weights.tolist()
    ([[[0.75, 0.25]]], [[[1.0, 0.0]]])
    """
    if len(record.query_tokens) == 1:
        return record
    rows = record.weights[:, :1] if prefix else record.weights.mean(axis=1, keepdims=True)
    return replace(record, query_tokens=(row_name(prefix),), weights=rows, mask=None)


def row_name(prefix: int) -> str:
    """Return what the row of `one_row` is called."""
    return "class" if prefix else "all cells"


def rollout(records: Sequence[AttentionRecord], prefix: int, name: str) -> AttentionRecord | None:
    r"""Return how much of each position reaches the prediction through all layers of an encoder.

    .. math:: \tilde A = \tfrac{1}{2}(A_L + I) \cdots \tfrac{1}{2}(A_1 + I)

    of the mean A_l of the heads of each layer (Abnar and Zuidema 2020, https://arxiv.org/abs/2005.00928). The rows of
    the product are weighted as the pooling weighs the states: by its attention if there is any, else that of the class
    token counts, or all equally.

    Args:
        records: of one example.
        prefix: the number of class tokens.
        name: of the row.

    Returns: a record of one row; None without attention in the encoder.
    """
    layers = [each.weights.mean(axis=0) for each in records if each.kind == "encoder"]
    if not layers:
        return None
    encoder = next(each for each in records if each.kind == "encoder")
    product = np.eye(len(encoder.key_tokens))
    for weights in layers:
        mixed = (weights.astype(np.float64) + np.eye(len(product))) / 2
        product = mixed / np.maximum(mixed.sum(axis=1, keepdims=True), 1e-12) @ product
    pooling = [each.weights.mean(axis=(0, 1)) for each in records if each.kind == "pooling"]
    if pooling:
        rows = pooling[-1].astype(np.float64)
    else:
        rows = np.zeros(len(product))
        rows[: prefix or None] = 1.0
    row = rows / max(rows.sum(), 1e-12) @ product
    return AttentionRecord(
        module_path="",
        kind="rollout",
        layer=0,
        query_tokens=(name,),
        key_tokens=encoder.key_tokens,
        weights=row[None, None],
        measure=ROLLOUT,
    )


def cell_maps(record: AttentionRecord, prefix: int, shape: tuple[int, int, int]) -> Maps:
    """Return the weights of the cells of each head, (heads, frames, rows, columns), without the prefix."""
    row: Maps = one_row(record, prefix).weights[:, 0, prefix:]
    return row.reshape(-1, *shape)
