"""What the layers for graphs share: edges in either form, features of nodes and edges, weights an edge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from heedful.errors import DtypeError, OptionError, ShapeError, unknown_choice
from heedful.ops.backends.base import as_given, wide_dtype
from heedful.ops.backends.edges.attention import attend_edges
from heedful.ops.backends.edges.dropout import Dropping
from heedful.ops.backends.edges.plain import (
    EdgePair,
    EdgeTensors,
    plain_scores,
    plain_softmax,
)
from heedful.ops.csr.rows import CompressedRows
from heedful.ops.masks import Edges

Nodes = Tensor | tuple[Tensor, Tensor]
"""Features of nodes (nodes, channels), or of source and target nodes where these are not the same."""
Fill = float | Tensor | Literal["add", "mean", "min", "max", "mul"]
FILLS = {"add": "sum", "mean": "mean", "min": "amin", "max": "amax", "mul": "prod"}
"""How the features of a node's self loop follow from those of the edges that point to it."""


class EdgeWeights(NamedTuple):
    """What each node looked at."""

    edge_index: Tensor
    """(2, edges): the edges attended over, self loops last where they were added."""
    weights: Tensor
    """(edges, heads), before dropout; for each target node and head they sum to 1."""


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """The edges of one call, self loops added where wanted."""

    edges: Edges
    rows: CompressedRows
    features: Tensor | None
    """(edges with loops, edge features)."""
    loops: bool

    def listed(self, weights: Tensor) -> EdgeWeights:
        """Put weights of the sorted edges, (edges, heads), in the order in which the edges were listed."""
        index = self.edges.edge_index
        if self.loops:
            nodes = torch.arange(min(self.edges.num_queries, self.edges.num_keys))
            nodes = nodes.to(index)
            index = torch.cat([index[:, index[0] != index[1]], nodes.expand(2, -1)], 1)
        return EdgeWeights(index, weights[self.rows.edges.argsort()])


def neighbourhood(
    edge_index: Tensor | Edges,
    edge_attr: Tensor | None,
    source: Tensor,
    target: Tensor,
    loops: bool,
    fill: Fill,
    edge_dim: int | None,
) -> Neighbourhood:
    """Sort edges unless that is done, and add self loops with features of their own.

    Raises:
        ShapeError: edges or their features that do not fit the nodes or the layer.
    """
    sizes = (target.shape[0], source.shape[0])
    edges = edge_index if isinstance(edge_index, Edges) else Edges(edge_index, *sizes)
    if (edges.num_queries, edges.num_keys) != sizes:
        raise ShapeError(
            f"Edges was made for {edges.num_queries} target and {edges.num_keys} source nodes, but there are "
            f"{sizes[0]} and {sizes[1]}."
        )
    if edge_attr is not None and edge_attr.ndim == 1:
        edge_attr = edge_attr[:, None]
    if edge_attr is not None and edge_attr.shape[0] != edges.edge_index.shape[1]:
        raise ShapeError(
            f"edge_attr has shape {tuple(edge_attr.shape)}, but there are {edges.edge_index.shape[1]} edges; give "
            f"(edges, edge_dim)."
        )
    # The kernel reads as many weights as an edge has features.
    if edge_attr is not None and edge_attr.shape[1:] != (edge_dim,):
        raise ShapeError(
            f"edge_attr has shape {tuple(edge_attr.shape)}, but the layer was made with edge_dim={edge_dim}; give "
            f"(edges, edge_dim)."
        )
    if not loops:
        return Neighbourhood(edges, edges.rows(), edge_attr, False)
    if edge_attr is not None:
        edge_attr = torch.cat([edge_attr, _loop_features(edges, edge_attr, fill)])
    return Neighbourhood(edges, edges.rows_with_loops(), edge_attr, True)


def _loop_features(edges: Edges, features: Tensor, fill: Fill) -> Tensor:
    nodes = min(edges.num_queries, edges.num_keys)
    shape = (nodes, features.shape[1])
    if isinstance(fill, Tensor):
        return fill.to(features).expand(shape)
    if not isinstance(fill, str):
        return features.new_full(shape, fill)
    source, target = edges.edge_index.long()
    # What belongs to no loop is gathered behind them all: how many there are must not decide a shape.
    places = torch.where((source != target) & (target < nodes), target, nodes)
    rows = features.new_full((nodes + 1, shape[1]), 1.0 if fill == "mul" else 0.0)
    found = places[:, None].expand_as(features)
    return rows.scatter_reduce(0, found, features, FILLS[fill], include_self=fill == "mul")[:nodes]


def weights_of(near: Neighbourhood, pair: EdgePair, given: EdgeTensors) -> EdgeWeights:
    """Weights of each edge and head, by plain mathematics."""
    given = _of_one_dtype(given)
    with as_given(given.query.device):
        weights = plain_softmax(near.rows, plain_scores(near.rows, pair, given))
    return near.listed(weights[0])


def attended(
    near: Neighbourhood, pair: EdgePair, given: EdgeTensors, dropped: Dropping, concat: bool
) -> Tensor:
    """What each node took from its edges, (nodes, features)."""
    given = _of_one_dtype(given)
    with as_given(given.query.device):
        return joined(attend_edges(near.rows, pair, given, dropped)[0], concat)


def _of_one_dtype(given: EdgeTensors) -> EdgeTensors:
    """Widen what autocast made narrow, since it leaves parameters as they are: float32 at least."""
    if not torch.is_autocast_enabled(given.query.device.type):
        return given
    wide = wide_dtype(given.value.dtype)
    made = (None if one is None else one.to(wide) for one in vars(given).values())
    return EdgeTensors(*made)  # type: ignore[arg-type]


def both(x: Nodes) -> tuple[Tensor, Tensor]:
    """Features of source and target nodes."""
    return x if isinstance(x, tuple) else (x, x)


def check_features(
    nodes: tuple[Tensor, Tensor],
    channels: int | tuple[int, int],
    edge_attr: Tensor | None,
    held: torch.dtype,
) -> None:
    """Raise ShapeError or DtypeError for features that a layer with parameters in `held` cannot take."""
    wanted = channels if isinstance(channels, tuple) else (channels, channels)
    for name, given, count in zip(("source", "target"), nodes, wanted, strict=True):
        if given.ndim != 2:
            raise ShapeError(
                f"{name} nodes have shape {tuple(given.shape)}; give (nodes, channels)."
            )
        if given.shape[1] != count:
            raise ShapeError(
                f"{name} nodes have {given.shape[1]} channels (shape {tuple(given.shape)}), but the layer was made "
                f"for {count}; give (nodes, {count})."
            )
    if torch.is_autocast_enabled(nodes[0].device.type):
        return
    features = {"source nodes": nodes[0], "target nodes": nodes[1], "edge_attr": edge_attr}
    for name, one in features.items():
        if one is not None and one.dtype != held:
            raise DtypeError(
                f"{name}: {one.dtype}, but the layer holds {held}; make them equal with .to(...)."
            )


def check_options(sizes: dict[str, int], dropout: float, fill: Fill = "mean") -> None:
    """Raise OptionError for a size below 1, a dropout outside [0, 1) or an unknown way to fill."""
    for name, size in sizes.items():
        if size < 1:
            raise OptionError(f"{name} is {size}; it is 1 or more.")
    if not 0 <= dropout < 1:
        raise OptionError(f"dropout probability {dropout} is outside [0, 1).")
    if isinstance(fill, str) and fill not in FILLS:
        raise unknown_choice("fill_value", fill, FILLS)


def joined(heads: Tensor, concat: bool) -> Tensor:
    """Heads side by side, or their mean: (1, nodes, heads, channels) -> (nodes, features)."""
    return heads[0].flatten(1) if concat else heads[0].mean(1)


def glorot(tensor: Tensor) -> None:
    """Uniform numbers whose variance suits both directions (Glorot & Bengio 2010), in place."""
    limit = math.sqrt(6 / (tensor.shape[-2] + tensor.shape[-1]))
    nn.init.uniform_(tensor, -limit, limit)
