"""Inputs of the graph layers: edges, features of nodes and edges, self loops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from heedful.errors import DtypeError, OptionError, ShapeError
from heedful.ops.csr.rows import CompressedRows
from heedful.ops.masks import Edges
from heedful.ops.masks.edges import edges_of_adjacency

Nodes = Tensor | Sequence[Tensor | None]
"""Features of nodes (nodes, channels), or a pair for source and target nodes of different kinds, of which the target's
may be None."""
Fill = float | Tensor | Literal["add", "mean", "min", "max", "mul"]
"""Features of self loops: a number, a tensor, or the name of a reduction over the edges that point to the node."""
FILLS = {"add": "sum", "mean": "mean", "min": "amin", "max": "amax", "mul": "prod"}
"""Name of a reduction -> its name in `torch.Tensor.scatter_reduce`."""


class EdgeWeights(NamedTuple):
    """Attention weights of a graph layer."""

    edge_index: Tensor
    """(2, edges), int64: the edges attended over, in the order given; self loops that were added come last."""
    weights: Tensor
    """(edges, heads), before dropout. Those of a target node sum to 1 in each head."""


def source_and_target(x: Nodes) -> tuple[Tensor, Tensor | None]:
    """Return the features of source and target nodes.

    Raises:
        DtypeError: `x` is no tensor, nor two of which the second may be None.
    """
    if isinstance(x, Tensor):
        return x, x
    pair = tuple(x) if isinstance(x, Sequence) else (x,)
    if len(pair) != 2 or not isinstance(pair[0], Tensor) or not isinstance(pair[1], Tensor | None):
        kinds = ", ".join(type(one).__name__ for one in pair)
        raise DtypeError(
            f"x holds {kinds}; give one tensor (nodes, channels), or a pair (source, target), where the target may be "
            f"None if its nodes have no features."
        )
    return pair[0], pair[1]


def listed_edge_index(
    edge_index: Tensor | Edges, edge_attr: Tensor | None, edge_dim: int | None
) -> tuple[Tensor | Edges, Tensor | None]:
    """Return a sparse adjacency matrix as a list of edges; what is no sparse matrix comes back as it is.

    The matrix is (targets, sources), PyTorch Geometric's `adj_t`, in the layout COO, CSR or CSC; the edges come in the
    order of its rows. If the layer takes features of edges and none are given, they are the values of the matrix.
    """
    if not isinstance(edge_index, Tensor) or edge_index.layout == torch.strided:
        return edge_index, edge_attr
    listed, values = edges_of_adjacency(edge_index)
    return listed, values if edge_attr is None and edge_dim is not None else edge_attr


def num_targets(
    source: Tensor,
    target: Tensor | None,
    edge_index: Tensor | Edges,
    size: tuple[int, int] | None,
) -> int:
    """Return the number of target nodes, which their features tell, or the edges, or `size` (sources, targets).

    Raises:
        ShapeError: `size` does not fit the features.
    """
    wanted = source.shape[0], None if target is None else target.shape[0]
    if size is not None and (size[0] != wanted[0] or wanted[1] not in (None, size[1])):
        raise ShapeError(
            f"size={tuple(size)} says how many source and target nodes there are, but x has {wanted[0]} and "
            f"{wanted[1]}; leave size out."
        )
    if target is not None:
        return target.shape[0]
    if size is not None:
        return size[1]
    return edge_index.num_queries if isinstance(edge_index, Edges) else source.shape[0]


def sorted_edges(
    edge_index: Tensor | Edges,
    edge_attr: Tensor | None,
    sizes: tuple[int, int],
    edge_dim: int | None,
    fill: Fill | None,
) -> tuple[CompressedRows, Tensor | None]:
    """Return the edges sorted by target, and the features of all edges, (edges, edge_dim).

    Args:
        edge_index: (2, edges), or `Edges` made of it.
        edge_attr: (edges, edge_dim), or (edges,) for one feature.
        sizes: number of target and source nodes.
        edge_dim: number of features of an edge in the layer.
        fill: features of self loops, which replace those listed; None leaves the edges as listed.

    Raises:
        ShapeError: edges or their features that do not fit the nodes or the layer.
    """
    edges = edge_index if isinstance(edge_index, Edges) else Edges(edge_index, *sizes)
    if (edges.num_queries, edges.num_keys) != sizes:
        raise ShapeError(
            f"Edges was made for {edges.num_queries} target and {edges.num_keys} source nodes, but there are "
            f"{sizes[0]} and {sizes[1]}; make it with these numbers."
        )
    if edge_attr is not None and edge_attr.ndim == 1:
        edge_attr = edge_attr[:, None]
    if edge_attr is not None and edge_attr.shape[0] != edges.edge_index.shape[1]:
        raise ShapeError(
            f"edge_attr has shape {tuple(edge_attr.shape)}, but there are {edges.edge_index.shape[1]} edges; give "
            f"(edges, edge_dim)."
        )
    # The kernels read edge_dim features of each edge without checking bounds.
    if edge_attr is not None and edge_attr.shape[1:] != (edge_dim,):
        raise ShapeError(
            f"edge_attr has shape {tuple(edge_attr.shape)}, but the layer was made with edge_dim={edge_dim}; give "
            f"(edges, edge_dim)."
        )
    if fill is None:
        return edges.rows(), edge_attr
    if edge_attr is not None:
        edge_attr = torch.cat([edge_attr, loop_features(edges, edge_attr, fill)])
    return edges.rows_with_loops(), edge_attr


def loop_features(edges: Edges, features: Tensor, fill: Fill) -> Tensor:
    """Return the features of self loops, (nodes, edge_dim)."""
    nodes = min(edges.num_queries, edges.num_keys)
    shape = (nodes, features.shape[1])
    if isinstance(fill, Tensor):
        return fill.to(features).expand(shape)
    if not isinstance(fill, str):
        return features.new_full(shape, fill)
    source, target = edges.edge_index.long()
    # Edges that are no self loop are scattered to an extra row: their number must not determine a shape when traced.
    places = torch.where((source != target) & (target < nodes), target, nodes)
    rows = features.new_full((nodes + 1, shape[1]), 1.0 if fill == "mul" else 0.0)
    # Sums are not by scatter_reduce, of which ONNX programs keep the last edge alone.
    if fill in ("add", "mean"):
        sums = rows.index_add(0, places, features)[:nodes]
        if fill == "add":
            return sums
        counts = rows[:, 0].index_add(0, places, torch.ones_like(features[:, 0]))[:nodes]
        return sums / counts.clamp(min=1)[:, None]
    found = places[:, None].expand_as(features)
    return rows.scatter_reduce(0, found, features, FILLS[fill], include_self=fill == "mul")[:nodes]


def check_features(
    nodes: tuple[Tensor, Tensor | None],
    channels: int | tuple[int, int],
    edge_attr: Tensor | None,
    parameters: torch.dtype,
) -> None:
    """Raise ShapeError or DtypeError for features that a layer with parameters of this dtype does not support."""
    wanted = channels if isinstance(channels, tuple) else (channels, channels)
    for name, given, count in zip(("source", "target"), nodes, wanted, strict=True):
        if given is None:
            continue
        if given.ndim != 2:
            raise ShapeError(
                f"{name} nodes have shape {tuple(given.shape)}; give (nodes, channels)."
            )
        if given.shape[1] != count:
            raise ShapeError(
                f"{name} nodes have {given.shape[1]} channels (shape {tuple(given.shape)}), but the layer was made "
                f"for {count}; give (nodes, {count})."
            )
    assert nodes[0] is not None
    if torch.is_autocast_enabled(nodes[0].device.type):
        return
    features = {"source nodes": nodes[0], "target nodes": nodes[1], "edge_attr": edge_attr}
    for name, one in features.items():
        if one is not None and one.dtype != parameters:
            raise DtypeError(
                f"{name}: {one.dtype}, but the layer holds {parameters}; make them equal with .to(...)."
            )


def check_options(sizes: dict[str, int], dropout: float) -> None:
    """Raise OptionError for a size below 1 or a dropout outside [0, 1)."""
    for name, size in sizes.items():
        if size < 1:
            raise OptionError(f"{name} is {size}; it is 1 or more.")
    if not 0 <= dropout < 1:
        raise OptionError(f"dropout probability {dropout} is outside [0, 1).")


def glorot(tensor: Tensor) -> None:
    """Initialize in place by Glorot's uniform distribution (Glorot & Bengio 2010)."""
    limit = math.sqrt(6 / (tensor.shape[-2] + tensor.shape[-1]))
    nn.init.uniform_(tensor, -limit, limit)
