"""The Transformer's attention on a graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.nn.graph_edges import (
    EdgeWeights,
    Neighbourhood,
    Nodes,
    attended,
    both,
    check_features,
    check_options,
    neighbourhood,
    weights_of,
)
from heedful.nn.linear import Linear
from heedful.ops.backends.edges.dropout import NEVER, dropping
from heedful.ops.backends.edges.plain import EdgePair, EdgeTensors
from heedful.ops.masks import Edges


class GraphTransformer(nn.Module):
    r"""Scaled dot attention over edges (Shi et al. 2021, https://arxiv.org/abs/2009.03509).

    .. math:: y_i = W_1 h_i + \sum_j w_{ij} (W_v h_j + W_e e_{ij}), \quad w_{ij} = \mathrm{softmax}_j
        \frac{(W_q h_i)^\top (W_k h_j + W_e e_{ij})}{\sqrt{d}}

    Arguments, weights and results are those of PyTorch Geometric's `TransformerConv`: `load_state_dict` takes its
    state. No self loops are added. Nothing is kept for the backward pass that has channels for each edge.

    Args:
        in_channels: features of a node; a pair for source and target nodes of different kinds.
        out_channels: features of a head.
        heads: how many heads.
        concat: whether heads stand side by side in the output, or their mean does.
        beta: whether a gate, from what was attended to and from the node itself, mixes the two.
        dropout: probability of dropping a weight while training.
        edge_dim: features of an edge, where there are any.
        bias: whether the linear maps add a bias.
        root_weight: whether the node itself is added, through a linear map; without it there is no gate either.

    Shapes: as for `GAT`.

    Raises:
        OptionError: sizes below 1; edge features without `edge_dim`, or the other way round.
        ShapeError, DtypeError: nodes, edges and edge features that do not fit each other or the layer.

    >>> layer = GraphTransformer(3, 4, heads=2)
    >>> layer(torch.randn(5, 3), torch.tensor([[0, 1, 2], [1, 1, 4]])).shape
    torch.Size([5, 8])
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        beta: bool = False,
        dropout: float = 0.0,
        edge_dim: int | None = None,
        bias: bool = True,
        root_weight: bool = True,
    ):
        super().__init__()
        source, target = in_channels if isinstance(in_channels, tuple) else (in_channels,) * 2
        sizes = {"in_channels": min(source, target), "out_channels": out_channels, "heads": heads}
        check_options({**sizes, "edge_dim": edge_dim or 1}, dropout)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.heads, self.concat = heads, concat
        self.dropout, self.edge_dim, self.root_weight = dropout, edge_dim, root_weight
        wide = heads * out_channels
        self.lin_key = Linear(source, wide, bias=bias)
        self.lin_query = Linear(target, wide, bias=bias)
        self.lin_value = Linear(source, wide, bias=bias)
        self.lin_edge = None if edge_dim is None else Linear(edge_dim, wide, bias=False)
        total = wide if concat else out_channels
        self.lin_skip = Linear(target, total, bias=bias)
        self.lin_beta = Linear(3 * total, 1, bias=False) if beta and root_weight else None

    def forward(
        self, x: Nodes, edge_index: Tensor | Edges, edge_attr: Tensor | None = None
    ) -> Tensor:
        near, pair, given = self._edges(x, edge_index, edge_attr)
        dropped = dropping(self.dropout) if self.training else NEVER
        output = attended(near, pair, given, dropped, self.concat)
        if not self.root_weight:
            return output
        own: Tensor = self.lin_skip(both(x)[1])
        if self.lin_beta is None:
            return output + own
        gate: Tensor = self.lin_beta(torch.cat([output, own, output - own], -1)).sigmoid()
        return output + gate * (own - output)

    def weights(
        self, x: Nodes, edge_index: Tensor | Edges, edge_attr: Tensor | None = None
    ) -> EdgeWeights:
        """Return the weight that each edge has in each head; arguments as for `forward`."""
        return weights_of(*self._edges(x, edge_index, edge_attr))

    def _edges(
        self, x: Nodes, edge_index: Tensor | Edges, edge_attr: Tensor | None
    ) -> tuple[Neighbourhood, EdgePair, EdgeTensors]:
        source, target = both(x)
        if (edge_attr is None) != (self.lin_edge is None):
            raise OptionError(
                f"edge_attr is {'missing' if edge_attr is None else 'given'}, but the layer was made with "
                f"edge_dim={self.edge_dim}; give both or neither."
            )
        check_features((source, target), self.in_channels, edge_attr, self.lin_key.weight.dtype)
        near = neighbourhood(edge_index, edge_attr, source, target, False, 0.0, self.edge_dim)
        shape = (1, -1, self.heads, self.out_channels)
        weight = None
        if self.lin_edge is not None:
            weight = self.lin_edge.weight.t().unflatten(1, (self.heads, self.out_channels))
        given = EdgeTensors(
            (self.lin_query(target) * self.out_channels**-0.5).view(shape),
            self.lin_key(source).view(shape),
            self.lin_value(source).view(shape),
            None,
            near.features,
            weight,
        )
        return near, EdgePair("dot", mixes_edges=weight is not None), given

    def extra_repr(self) -> str:
        return f"out_channels={self.out_channels}, heads={self.heads}, concat={self.concat}"
