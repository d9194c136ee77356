"""Sparse normalizers: rows of scores to weights of which most are exactly 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from heedful.bench.values import Contender, Inputs, Operation, Run, Sizes
from heedful.ops.normalizers import Entmax, Normalizer, Sparsemax

SIZES = {"queries": 512, "keys": 512}


def draw(sizes: Sizes) -> dict[str, Tensor]:
    """Scores as spread as those of an untrained layer."""
    return {"scores": torch.randn(sizes["queries"], sizes["keys"])}


def sparsemax(scores: Tensor) -> Tensor:
    """max(s − τ, 0): τ from the sorted row (Martins & Astudillo 2016, algorithm 1)."""
    ordered = scores.sort(dim=-1, descending=True).values
    counts = torch.arange(1, scores.shape[-1] + 1, dtype=scores.dtype)
    sums = ordered.cumsum(dim=-1)
    size = (1 + counts * ordered > sums).sum(dim=-1, keepdim=True)
    threshold = (sums.gather(-1, size - 1) - 1) / size
    return (scores - threshold).clamp(min=0)


def entmax15(scores: Tensor) -> Tensor:
    """max(s/2 − τ, 0)²: τ from the sorted row (Peters et al. 2019, algorithm 2)."""
    halved = (scores - scores.amax(dim=-1, keepdim=True)) / 2
    ordered = halved.sort(dim=-1, descending=True).values
    counts = torch.arange(1, scores.shape[-1] + 1, dtype=scores.dtype)
    means = ordered.cumsum(dim=-1) / counts
    spread = counts * (ordered.square().cumsum(dim=-1) / counts - means.square())
    thresholds = means - ((1 - spread) / counts).clamp(min=0).sqrt()
    size = (thresholds.detach() <= ordered.detach()).sum(dim=-1, keepdim=True)
    return (halved - thresholds.gather(-1, size - 1)).clamp(min=0).square()


def operation(
    name: str, title: str, plain: Callable[[Tensor], Tensor], ours: Normalizer, theirs: str
) -> Operation:
    """Make the operation of one normalizer: its definition, ours, and its name in the package entmax."""

    def expected(sizes: Sizes, inputs: Inputs, rows: Tensor | None) -> Tensor:
        scores = inputs["scores"]
        return plain(scores if rows is None else scores.index_select(-2, rows))

    def build_ours(sizes: Sizes, inputs: Inputs) -> Run:
        return lambda: ours.weights(inputs["scores"], None)

    def build_theirs(sizes: Sizes, inputs: Inputs) -> Run:
        import entmax

        function: Any = getattr(entmax, theirs)
        return lambda: function(inputs["scores"], dim=-1)

    def build_bisection(sizes: Sizes, inputs: Inputs) -> Run:
        import entmax

        function: Any = getattr(
            entmax, "sparsemax_bisect" if name == "sparsemax" else "entmax_bisect"
        )
        return lambda: function(inputs["scores"], dim=-1)

    return Operation(
        name=name,
        title=title,
        sizes=SIZES,
        scans=("keys",),
        inputs=draw,
        expected=expected,
        contenders=(
            Contender("heedful", build_ours, ours=True),
            Contender("textbook", lambda sizes, inputs: lambda: plain(inputs["scores"])),
            Contender("entmax package", build_theirs, needs="entmax"),
            Contender("entmax package, bisection", build_bisection, needs="entmax"),
        ),
        rows=lambda sizes: sizes["queries"],
        cost_of_row=lambda sizes: sizes["keys"],
        axis="keys",
    )


SPARSEMAX = operation("sparsemax", "Sparsemax", sparsemax, Sparsemax(), "sparsemax")
ENTMAX = operation("entmax", "1.5-entmax", entmax15, Entmax(1.5), "entmax15")
