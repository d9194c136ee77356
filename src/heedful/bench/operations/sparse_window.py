"""Sparsemax and entmax over windows: each position sees those at most `window` away, and most of them not at all."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from heedful.bench.operations import sparse, window
from heedful.bench.values import Contender, Inputs, Operation, Run, Sizes
from heedful.ops.attend import attend
from heedful.ops.masks import Window
from heedful.ops.normalizers import Entmax, Normalizer, Sparsemax


def _dense_bytes(sizes: Sizes) -> int:
    """The mask, and of each head the scores, the sorted scores, their places and the weights."""
    return 5 * 4 * sizes["batch"] * sizes["heads"] * sizes["length"] ** 2


def _near(sizes: Sizes, places: Tensor) -> Tensor:
    """Which positions are at most `window` from each of `places`."""
    return (places[:, None] - torch.arange(sizes["length"])).abs() <= sizes["window"]


def _ours(normalizer: Normalizer, backend: str) -> Callable[[Sizes, Inputs], Run]:
    def build(sizes: Sizes, inputs: Inputs) -> Run:
        tensors = inputs["query"], inputs["key"], inputs["value"]
        mask = Window(sizes["window"], sizes["window"])
        return lambda: attend(*tensors, mask=mask, normalizer=normalizer, backend=backend).output

    return build


def _operation(
    name: str, title: str, plain: Callable[[Tensor], Tensor], ours: Normalizer
) -> Operation:
    """Make the operation of one normalizer from its definition and ours."""

    def textbook(sizes: Sizes, query: Tensor, inputs: Inputs, near: Tensor) -> Tensor:
        scores = query @ inputs["key"].transpose(-2, -1) / math.sqrt(sizes["features"])
        # Far below every score, and unlike minus infinity without NaN in sums and squares.
        return plain(scores.masked_fill(~near, -1e4)) @ inputs["value"]

    def expected(sizes: Sizes, inputs: Inputs, rows: Tensor | None) -> Tensor:
        places = torch.arange(sizes["length"]) if rows is None else rows
        query = inputs["query"].index_select(-2, places)
        return textbook(sizes, query, inputs, _near(sizes, places))

    def build_dense(sizes: Sizes, inputs: Inputs) -> Run:
        mask = _near(sizes, torch.arange(sizes["length"]))
        return lambda: textbook(sizes, inputs["query"], inputs, mask)

    return Operation(
        name=name,
        title=title,
        sizes=window.SIZES,
        scans=("length",),
        inputs=window.draw,
        expected=expected,
        contenders=(
            Contender("heedful", _ours(ours, "auto"), ours=True),
            Contender("textbook, dense mask", build_dense, memory=_dense_bytes),
            Contender("heedful, chunked", _ours(ours, "chunked")),
        ),
        rows=lambda sizes: sizes["length"],
        cost_of_row=lambda sizes: sizes["batch"] * sizes["heads"] * sizes["length"],
    )


WINDOW_SPARSEMAX = _operation(
    "window-sparsemax", "Sparsemax over windows", sparse.sparsemax, Sparsemax()
)
WINDOW_ENTMAX = _operation("window-entmax", "1.5-entmax over windows", sparse.entmax15, Entmax(1.5))
