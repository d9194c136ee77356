"""What is drawn on the nodes and edges of a graph or molecule: the mean of the heads of a record, and each head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful.explore.schema import AttentionRecord
from heedful.explore.select import kind_name

Weights = NDArray[np.float64]
ACROSS: Final = 5
"""Panels side by side: more of a record go into further rows, so that a picture fits on a page."""


class Panel(NamedTuple):
    """The weights of one picture; none for what is not coloured."""

    title: str
    nodes: Weights
    """(nodes,)."""
    edges: Weights
    """(edges,)."""


def panel_row(
    record: AttentionRecord,
    records: Sequence[AttentionRecord],
    draw: Callable[[str, Weights], Panel],
) -> list[Panel]:
    """Return the panels of a record: the mean of its heads, then each head; of one head, that alone.

    Args:
        record: what is drawn.
        records: all that are drawn, which tell whether the layer needs a number.
        draw: (title, weights (queries, keys)) -> panel.
    """
    weights = np.asarray(record.weights, np.float64)
    what = kind_name(record.kind).partition(":")[0]
    layers = sum(other.kind == record.kind for other in records)
    title = f"{what}, layer {record.layer + 1}" if layers > 1 else what
    if len(weights) == 1:
        return [draw(title, weights[0])]
    each = [draw(f"head {number}", head) for number, head in enumerate(weights, start=1)]
    return [draw(f"{title}, mean of heads", weights.mean(axis=0)), *each]


def wrapped(rows: Sequence[Sequence[Panel]]) -> list[list[Panel]]:
    """Return rows of at most `ACROSS` panels.

    >>> panel = Panel("", np.zeros(0), np.zeros(0))
    >>> [len(row) for row in wrapped([[panel] * 9, [panel]])]
    [5, 4, 1]
    """
    return [
        list(row[start : start + ACROSS]) for row in rows for start in range(0, len(row), ACROSS)
    ]


def received(weights: Weights) -> Weights:
    """Return the attention that each key gets: the mean over the queries."""
    return np.asarray(weights.mean(axis=0))


def along(weights: Weights, pairs: NDArray[np.int64]) -> Weights:
    r"""Return the attention along pairs (2, edges), :math:`\frac{1}{2}(w_{ij} + w_{ji})`; none of a single row.

    >>> along(np.array([[0.0, 1.0], [0.5, 0.5]]), np.array([[0], [1]])).tolist()
    [0.75]
    """
    if len(weights) != weights.shape[1] or not pairs.size:
        return np.zeros(0)
    first, second = pairs
    return np.asarray((weights[first, second] + weights[second, first]) / 2)


def scaled(weights: Weights) -> Weights:
    """Return weights of which the largest is 1.

    >>> scaled(np.array([0.1, 0.2])).tolist()
    [0.5, 1.0]
    """
    largest = weights.max(initial=0.0)
    return weights / largest if largest > 0 else weights
