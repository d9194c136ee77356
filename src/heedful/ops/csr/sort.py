# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Counting sort of edges by one of their nodes, in time linear in the number of edges."""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.ops.jit.kernel import kernel, launch


@kernel(no_refcount=True)
def count_and_place(part, parts, nodes, order, start, placed):
    """Sort edges by node, stably, in the order that `order` lists them, or by index where it is empty."""
    for node in nodes:
        start[node + 1] += 1
    for node in range(start.shape[0] - 1):
        start[node + 1] += start[node]
    # Placing moves each start to the end of its node, which is where the next node starts.
    for place in range(nodes.shape[0]):
        edge = order[place] if order.shape[0] > 0 else place
        node = nodes[edge]
        placed[start[node]] = edge
        start[node] += 1
    for node in range(start.shape[0] - 1, 0, -1):
        start[node] = start[node - 1]
    start[0] = 0


def sorted_by(nodes: Tensor, count: int, order: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sort edges by node.

    Args:
        nodes: (edges,), the node of each edge.
        count: how many nodes there are.
        order: (edges,), int32: the edges in the order that those of one node keep; None for the order of `nodes`.

    Returns:
        Where the edges of each node start, (count + 1,), int64, and the sorted edges, (edges,), int32.

    >>> start, edges = sorted_by(torch.tensor([1, 0, 1]), 2)
    >>> start.tolist(), edges.tolist()
    ([0, 1, 3], [1, 0, 2])
    """
    start = nodes.new_zeros(count + 1, dtype=torch.int64)
    placed = nodes.new_empty(nodes.shape[0], dtype=torch.int32)
    if order is None:
        order = nodes.new_empty(0, dtype=torch.int32)
    launch(count_and_place, nodes.contiguous(), order, start, placed, work=0)
    return start, placed


@kernel(no_refcount=True)
def place_rows(part, parts, keys, queries, loops, start, placed_keys, placed_edges):
    """Sort edges by query; `loops` below 0 keeps self loops, else one for each of `loops` nodes replaces them."""
    listed = queries.shape[0]
    for edge in range(listed):
        if loops < 0 or keys[edge] != queries[edge]:
            start[queries[edge] + 1] += 1
    for node in range(loops):
        start[node + 1] += 1
    for node in range(start.shape[0] - 1):
        start[node + 1] += start[node]
    for edge in range(listed):
        query = queries[edge]
        if loops < 0 or keys[edge] != query:
            placed_keys[start[query]] = keys[edge]
            placed_edges[start[query]] = edge
            start[query] += 1
    for node in range(loops):
        placed_keys[start[node]] = node
        placed_edges[start[node]] = listed + node
        start[node] += 1
    for node in range(start.shape[0] - 1, 0, -1):
        start[node] = start[node - 1]
    start[0] = 0


def rows_of(
    keys: Tensor, queries: Tensor, num_queries: int, loops: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `start`, `keys` and `edges` of `CompressedRows`; arguments as for `compress`.

    >>> start, keys, edges = rows_of(torch.tensor([1, 0, 0]), torch.tensor([1, 1, 0]), 2, loops=2)
    >>> start.tolist(), keys.tolist(), edges.tolist()
    ([0, 1, 3], [0, 0, 1], [3, 1, 4])
    """
    start = keys.new_zeros(num_queries + 1, dtype=torch.int64)
    keys, queries = keys.contiguous(), queries.contiguous()
    size = keys.shape[0] + (loops or 0)
    placed = keys.new_empty(2, size, dtype=torch.int32)
    launch(
        place_rows,
        keys,
        queries,
        -1 if loops is None else loops,
        start,
        placed[0],
        placed[1],
        work=0,
    )
    count = size if loops is None else int(start[-1])
    return start, placed[0, :count], placed[1, :count]
