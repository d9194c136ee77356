"""The base class of the graph layers: each node attends to the nodes whose edges point to it."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor, nn

from heedful.errors import OptionError, ShapeError
from heedful.nn.graph_edges import (
    EdgeWeights,
    Fill,
    Nodes,
    check_features,
    check_options,
    listed_edge_index,
    num_targets,
    sorted_edges,
    source_and_target,
)
from heedful.ops.backends.base import wide_dtype
from heedful.ops.backends.edges.attend import EdgePair, EdgeTensors, attend_edges, listed_edges
from heedful.ops.masks import Edges


class GraphLayer(nn.Module):
    """Validates nodes and edges, attends over the edges, and returns output and weights.

    A subclass defines the pair function, queries, keys and values, and what follows the attention.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int,
        concat: bool,
        dropout: float,
        edge_dim: int | None,
        loops: Fill | None,
    ):
        """`loops` are the features of self loops that are added to the edges; None adds none."""
        super().__init__()
        source, target = in_channels if isinstance(in_channels, tuple) else (in_channels,) * 2
        sizes = {"in_channels": min(source, target), "out_channels": out_channels, "heads": heads}
        check_options({**sizes, "edge_dim": 1 if edge_dim is None else edge_dim}, dropout)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.heads, self.concat, self.dropout = heads, concat, dropout
        self.edge_dim, self._loops = edge_dim, loops

    @overload
    def forward(
        self,
        x: Nodes,
        edge_index: Tensor | Edges,
        edge_attr: Tensor | None = None,
        size: tuple[int, int] | None = None,
        *,
        return_attention_weights: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def forward(
        self,
        x: Nodes,
        edge_index: Tensor | Edges,
        edge_attr: Tensor | None = None,
        size: tuple[int, int] | None = None,
        *,
        return_attention_weights: Literal[True],
    ) -> tuple[Tensor, EdgeWeights]: ...
    def forward(
        self,
        x: Nodes,
        edge_index: Tensor | Edges,
        edge_attr: Tensor | None = None,
        size: tuple[int, int] | None = None,
        *,
        return_attention_weights: bool = False,
    ) -> Tensor | tuple[Tensor, EdgeWeights]:
        """Return the output and, with `return_attention_weights`, the weights of each edge; they are before dropout."""
        source, target = source_and_target(x)
        self._check_target(target)
        edge_index, edge_attr = listed_edge_index(edge_index, edge_attr, self.edge_dim)
        self._check_edge_attr(edge_attr)
        parameters = next(self.parameters()).dtype
        check_features((source, target), self.in_channels, edge_attr, parameters)
        sizes = (num_targets(source, target, edge_index, size), source.shape[0])
        rows, features = sorted_edges(edge_index, edge_attr, sizes, self.edge_dim, self._loops)
        tensors = self._tensors(source, target, sizes[0], features)
        if torch.is_autocast_enabled(source.device.type):
            # Under autocast only the linear maps run in half precision: parameters of the attention keep their dtype.
            tensors = tensors.to(wide_dtype(tensors.value.dtype))
        output, weights = attend_edges(
            tensors,
            rows,
            self._pair(),
            dropout_p=self.dropout if self.training else 0.0,
            needs_weights=return_attention_weights,
        )
        attended = output[0].flatten(1) if self.concat else output[0].mean(1)
        result = self._after(attended, target)
        if weights is None:
            return result
        index, listed = listed_edges(rows, weights)
        return result, EdgeWeights(index, listed[0])

    def weights(
        self,
        x: Nodes,
        edge_index: Tensor | Edges,
        edge_attr: Tensor | None = None,
        size: tuple[int, int] | None = None,
    ) -> EdgeWeights:
        """Return the weight of each edge in each head, before dropout; arguments as for `forward`, which it runs."""
        weights: EdgeWeights = self(x, edge_index, edge_attr, size, return_attention_weights=True)[
            1
        ]
        return weights

    def _check_edge_attr(self, edge_attr: Tensor | None) -> None:
        if edge_attr is not None and self.edge_dim is None:
            raise OptionError(
                f"edge_attr of shape {tuple(edge_attr.shape)} was given to a layer made without edge_dim; make it "
                f"with edge_dim={edge_attr.shape[-1] if edge_attr.ndim > 1 else 1}."
            )

    def _check_target(self, target: Tensor | None) -> None:
        """Raise ShapeError where the layer wants features of target nodes and there are none."""
        if target is None:
            raise ShapeError(
                f"x is (source, None), but the queries of {type(self).__name__} are made of the target's features; "
                f"give them, for example zeros (targets, channels)."
            )

    def _pair(self) -> EdgePair:
        """Return the pair function."""
        raise NotImplementedError

    def _tensors(
        self, source: Tensor, target: Tensor | None, targets: int, features: Tensor | None
    ) -> EdgeTensors:
        """Return queries, keys and values, of batch 1, and the features of edges with what projects them."""
        raise NotImplementedError

    def _after(self, attended: Tensor, target: Tensor | None) -> Tensor:
        """Return the output of the layer, from that of the attention and the target nodes, (nodes, channels)."""
        raise NotImplementedError

    def _per_head(self, nodes: Tensor) -> Tensor:
        """(nodes, heads * out_channels) -> (1, nodes, heads, out_channels)."""
        return nodes.view(1, -1, self.heads, self.out_channels)

    def extra_repr(self) -> str:
        return f"out_channels={self.out_channels}, heads={self.heads}, concat={self.concat}"
