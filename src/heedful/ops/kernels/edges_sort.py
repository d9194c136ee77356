"""Sorting the edges of a graph by a node of theirs: counting, then placing, both linear in the number of edges."""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.ops.kernels.runtime import kernel, launch


@kernel
def count_and_place(part, parts, nodes, order, start, placed):
    """Stable order of `nodes`, and where each node's edges start in it; `order` lists the edges to place, or all."""
    for node in nodes:
        start[node + 1] += 1
    for node in range(start.shape[0] - 1):
        start[node + 1] += start[node]
    # Placing moves each start to its end, which is the next node's start.
    for place in range(nodes.shape[0]):
        edge = order[place] if order.shape[0] > 0 else place
        node = nodes[edge]
        placed[start[node]] = edge
        start[node] += 1
    for node in range(start.shape[0] - 1, 0, -1):
        start[node] = start[node - 1]
    start[0] = 0


def sorted_by(nodes: Tensor, count: int, order: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Where each of `count` nodes' edges start, (count + 1,), and the edges so ordered, (edges,) of int32.

    Edges of one node stay in the order of `order`, or of their number.

    >>> start, edges = sorted_by(torch.tensor([1, 0, 1]), 2)
    >>> start.tolist(), edges.tolist()
    ([0, 1, 3], [1, 0, 2])
    """
    start = torch.zeros(count + 1, dtype=torch.int64)
    placed = torch.empty(nodes.shape[0], dtype=torch.int32)
    if order is None:
        order = torch.empty(0, dtype=torch.int32)
    launch(count_and_place, nodes.contiguous(), order, start, placed, work=0)
    return start, placed
