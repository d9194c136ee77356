"""How far the attention of an image encoder looks, layer by layer, beside a convolutional network of equal depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.decode.evaluation_mode import evaluation_mode
from heedful.explore.chart import Series
from heedful.explore.record import recording
from heedful.nn import attention_distance
from heedful.ops.grid import Grid
from heedful.tasks.predictor import Predictor

MAX_CELLS: Final = 1024
"""Of larger grids nothing is measured: the weights of one image would take 4 MB a head."""
Weights = NDArray[np.float64]
"""(layers, heads, cells, cells)."""


def can_measure_reach(predictor: Predictor) -> bool:
    """Return whether the input is an image of not too many cells, and the encoder attends to it."""
    members: Any = getattr(predictor.model, "members", ())
    grid = members[0].encoder.grid if members else None
    return bool(
        grid is not None
        and grid.frames == 1
        and 1 < grid.cells <= MAX_CELLS
        and members[0].encoder.has_attention
    )


def encoder_weights(predictor: Predictor, example: Any) -> Weights:
    """Return the attention of the encoder among the cells of one image, without a class token.

    Empty, (0, 0, cells, cells), of an encoder whose layers differ in heads.
    """
    model, inputs = predictor.model.members[0], predictor.input
    grid: Grid = model.encoder.grid
    batch = predictor.to_device(inputs.collate(inputs.encode([example])))
    with evaluation_mode(model), torch.no_grad(), recording(model) as recorder:
        model(batch)
    layers = [
        each.weights[:, grid.prefix :, grid.prefix :]
        for each in recorder.records()
        if each.kind == "encoder"
    ]
    if len({each.shape for each in layers}) != 1:
        return np.zeros((0, 0, grid.cells, grid.cells))
    weights = np.stack(layers).astype(np.float64)
    rows: Weights = weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-12)
    return rows


def reach_curves(predictor: Predictor, examples: Sequence[Any]) -> list[Series]:
    """Return mean distances in cells by layer, as means over images; empty where there is no attention to measure.

    Of each head; of a 3 × 3 convolution, which is fixed; through all layers so far, where a layer is half its mean
    attention and half the connection past it (a rollout); and of as many 3 × 3 convolutions.
    """
    grid: Grid = predictor.model.members[0].encoder.grid
    size = grid.rows, grid.columns
    heads: list[NDArray[np.float64]] = []
    through: list[NDArray[np.float64]] = []
    for example in examples:
        weights = encoder_weights(predictor, example)
        if not len(weights):
            return []
        heads.append(_distance(weights, size))
        through.append(_distance(_rolled(weights.mean(axis=1))[:, None], size)[:, 0])
    by_head, rolled = np.mean(heads, axis=0), np.mean(through, axis=0)
    depth = len(rolled)
    fixed = convolution_reach(depth)
    curves = [
        ("a 3 × 3 convolution", [fixed[0]] * depth),
        ("as many convolutions", fixed),
        ("all layers so far", rolled.tolist()),
        *((f"head {n}", each.tolist()) for n, each in enumerate(by_head.T[:5], start=1)),
    ]
    return [Series(name, list(enumerate(values, start=1))) for name, values in curves]


def _distance(weights: Weights, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the mean distance of (layers, heads, cells, cells): (layers, heads)."""
    found: NDArray[np.float64] = attention_distance(torch.from_numpy(weights), size).numpy()
    return found


def _rolled(weights: Weights) -> Weights:
    """Return the products of the layers up to each, of (layers, cells, cells)."""
    product, found = np.eye(weights.shape[-1]), []
    for layer in weights:
        product = (layer + np.eye(len(layer))) / 2 @ product
        found.append(product)
    return np.stack(found)


def convolution_reach(depth: int) -> list[float]:
    """Return the mean distance that 1, 2, … `depth` convolutions of 3 × 3 see, all weights being equal.

    >>> [round(each, 2) for each in convolution_reach(2)]
    [1.07, 1.45]
    """
    row, found = np.ones(1), []
    for layer in range(1, depth + 1):
        row = np.convolve(row, np.full(3, 1 / 3))
        offsets = np.arange(-layer, layer + 1)
        far = np.hypot(offsets[:, None], offsets)
        found.append(float((far * row[:, None] * row).sum()))
    return found
