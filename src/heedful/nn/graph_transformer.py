"""Scaled dot attention on a graph."""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.errors import OptionError
from heedful.nn.graph_layer import GraphLayer
from heedful.nn.linear import Linear
from heedful.ops.backends.edges.attend import EdgePair, EdgeTensors


class GraphTransformer(GraphLayer):
    r"""Scaled dot attention over edges (Shi et al. 2021, https://arxiv.org/abs/2009.03509).

    .. math:: y_i = W_1 h_i + \sum_j w_{ij} (W_v h_j + W_e e_{ij}), \quad w_{ij} = \mathrm{softmax}_j
        \frac{(W_q h_i)^\top (W_k h_j + W_e e_{ij})}{\sqrt{d}}

    Arguments, parameters and results are those of PyTorch Geometric's `TransformerConv`: `load_state_dict` takes its
    state. No self loops are added. No tensor of (edges, channels) is saved for the backward pass.

    Args:
        in_channels: features of a node; a pair for source and target nodes of different kinds.
        out_channels: features of a head.
        heads: how many heads.
        concat: concatenate the heads; otherwise return their mean.
        beta: mix the attention's output and the mapped node by a learned gate, instead of adding them.
        dropout: probability of dropping a weight while training.
        edge_dim: features of an edge.
        bias: whether the linear maps add a bias.
        root_weight: add a linear map of the target node; without it `beta` has no effect.

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
        super().__init__(in_channels, out_channels, heads, concat, dropout, edge_dim, None)
        source, target = in_channels if isinstance(in_channels, tuple) else (in_channels,) * 2
        self.root_weight = root_weight
        wide = heads * out_channels
        self.lin_key = Linear(source, wide, bias=bias)
        self.lin_query = Linear(target, wide, bias=bias)
        self.lin_value = Linear(source, wide, bias=bias)
        self.lin_edge = None if edge_dim is None else Linear(edge_dim, wide, bias=False)
        total = wide if concat else out_channels
        self.lin_skip = Linear(target, total, bias=bias)
        self.lin_beta = Linear(3 * total, 1, bias=False) if beta and root_weight else None

    def _check_edge_attr(self, edge_attr: Tensor | None) -> None:
        super()._check_edge_attr(edge_attr)
        if edge_attr is None and self.edge_dim is not None:
            raise OptionError(
                f"edge_attr is missing, but the layer was made with edge_dim={self.edge_dim}; give "
                f"(edges, {self.edge_dim})."
            )

    def _pair(self) -> EdgePair:
        return EdgePair("dot", edges_in_values=self.edge_dim is not None)

    def _tensors(
        self, source: Tensor, target: Tensor | None, targets: int, features: Tensor | None
    ) -> EdgeTensors:
        assert target is not None
        weight = None
        if self.lin_edge is not None:
            weight = self.lin_edge.weight.t().unflatten(1, (self.heads, self.out_channels))
        return EdgeTensors(
            self._per_head(self.lin_query(target) * self.out_channels**-0.5),
            self._per_head(self.lin_key(source)),
            self._per_head(self.lin_value(source)),
            edge_features=features,
            edge_weight=weight,
        )

    def _after(self, attended: Tensor, target: Tensor | None) -> Tensor:
        if not self.root_weight:
            return attended
        assert target is not None
        root: Tensor = self.lin_skip(target)
        if self.lin_beta is None:
            return attended + root
        gate: Tensor = self.lin_beta(torch.cat([attended, root, attended - root], -1)).sigmoid()
        return attended + gate * (root - attended)
