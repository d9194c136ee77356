"""Graph attention networks: each node attends to the nodes whose edges point to it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.nn.graph_edges import (
    EdgeWeights,
    Fill,
    Neighbourhood,
    Nodes,
    attended,
    both,
    check_features,
    check_options,
    glorot,
    neighbourhood,
    weights_of,
)
from heedful.nn.linear import Linear
from heedful.ops.backends.edges.dropout import NEVER, dropping
from heedful.ops.backends.edges.plain import EdgePair, EdgeTensors
from heedful.ops.masks import Edges


class _GraphLayer(nn.Module):
    """What GAT and GATv2 have in common: everything but the score."""

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int,
        concat: bool,
        negative_slope: float,
        dropout: float,
        add_self_loops: bool,
        edge_dim: int | None,
        fill_value: Fill,
        bias: bool,
        residual: bool,
    ):
        super().__init__()
        source, target = in_channels if isinstance(in_channels, tuple) else (in_channels,) * 2
        sizes = {"in_channels": min(source, target), "out_channels": out_channels, "heads": heads}
        check_options({**sizes, "edge_dim": edge_dim or 1}, dropout, fill_value)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.heads, self.concat = heads, concat
        self.negative_slope, self.dropout = negative_slope, dropout
        self.add_self_loops, self.edge_dim, self.fill_value = add_self_loops, edge_dim, fill_value
        wide = heads * out_channels
        self.lin_edge = None if edge_dim is None else Linear(edge_dim, wide, bias=False)
        self.total = wide if concat else out_channels
        self.res = Linear(target, self.total, bias=False) if residual else None
        self.bias = nn.Parameter(torch.zeros(self.total)) if bias else None

    def reset_parameters(self) -> None:
        """Draw all weights anew: Glorot's uniform numbers, and biases of 0."""
        for name, parameter in self.named_parameters():
            if name == "bias":
                nn.init.zeros_(parameter)
            elif parameter.ndim > 1:
                glorot(parameter)

    def forward(
        self, x: Nodes, edge_index: Tensor | Edges, edge_attr: Tensor | None = None
    ) -> Tensor:
        near, pair, given = self._edges(x, edge_index, edge_attr)
        dropped = dropping(self.dropout) if self.training else NEVER
        output = attended(near, pair, given, dropped, self.concat)
        if self.res is not None:
            output = output + self.res(both(x)[1])
        return output if self.bias is None else output + self.bias

    def weights(
        self, x: Nodes, edge_index: Tensor | Edges, edge_attr: Tensor | None = None
    ) -> EdgeWeights:
        """Return the weight that each edge has in each head; arguments as for `forward`."""
        return weights_of(*self._edges(x, edge_index, edge_attr))

    def _edges(
        self, x: Nodes, edge_index: Tensor | Edges, edge_attr: Tensor | None
    ) -> tuple[Neighbourhood, EdgePair, EdgeTensors]:
        source, target = both(x)
        if edge_attr is not None and self.lin_edge is None:
            raise OptionError(
                f"edge_attr of shape {tuple(edge_attr.shape)} was given to a layer made without edge_dim; make it "
                f"with edge_dim={edge_attr.shape[-1] if edge_attr.ndim > 1 else 1}."
            )
        check_features((source, target), self.in_channels, edge_attr, next(self.parameters()).dtype)
        near = neighbourhood(
            edge_index, edge_attr, source, target, self.add_self_loops, self.fill_value,
            self.edge_dim,
        )  # fmt: skip
        pair = EdgePair("leaky_relu", self.negative_slope)
        return near, pair, self._tensors(source, target, near.features)

    def _tensors(self, source: Tensor, target: Tensor, features: Tensor | None) -> EdgeTensors:
        """Prepare queries, keys and values."""
        raise NotImplementedError

    def _per_head(self, nodes: Tensor) -> Tensor:
        return nodes.view(1, -1, self.heads, self.out_channels)

    def extra_repr(self) -> str:
        return f"out_channels={self.out_channels}, heads={self.heads}, concat={self.concat}"


class GAT(_GraphLayer):
    r"""Graph attention (Veličković et al. 2018, https://arxiv.org/abs/1710.10903).

    .. math:: y_i = \sum_j w_{ij} W h_j, \quad w_{ij} = \mathrm{softmax}_j\,
        \mathrm{LeakyReLU}(a_t^\top W h_i + a_s^\top W h_j + a_e^\top W_e e_{ij})

    Arguments, weights and results are those of PyTorch Geometric's `GATConv`: `load_state_dict` takes its state.
    Nothing is kept for the backward pass that has channels for each edge.

    Args:
        in_channels: features of a node; a pair for source and target nodes of different kinds.
        out_channels: features of a head.
        heads: how many heads.
        concat: whether heads stand side by side in the output, or their mean does.
        negative_slope: slope of the LeakyReLU below 0.
        dropout: probability of dropping a weight while training.
        add_self_loops: let each node attend to itself once, whether or not such edges are listed.
        edge_dim: features of an edge, where there are any.
        fill_value: features of self loops: a number, a tensor, or `add`, `mean`, `min`, `max`, `mul` of those of
            the edges that point to the node.
        bias: whether to learn a bias.
        residual: whether to add a linear map of the target node.

    Shapes: x (nodes, in_channels) or such a pair, edge_index (2, edges), source then target, or `masks.Edges` made
    once, edge_attr (edges, edge_dim) -> (target nodes, heads * out_channels), or (.., out_channels) of the mean.

    Raises:
        OptionError: sizes below 1, an unknown `fill_value`, edge features without `edge_dim`.
        ShapeError, DtypeError: nodes, edges and edge features that do not fit each other or the layer.

    >>> layer = GAT(3, 4, heads=2)
    >>> layer(torch.randn(5, 3), torch.tensor([[0, 1, 2], [1, 1, 4]])).shape
    torch.Size([5, 8])
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        add_self_loops: bool = True,
        edge_dim: int | None = None,
        fill_value: Fill = "mean",
        bias: bool = True,
        residual: bool = False,
    ):
        super().__init__(
            in_channels, out_channels, heads, concat, negative_slope, dropout, add_self_loops,
            edge_dim, fill_value, bias, residual,
        )  # fmt: skip
        wide = heads * out_channels
        self.lin = self.lin_src = self.lin_dst = None
        if isinstance(in_channels, tuple):
            self.lin_src = Linear(in_channels[0], wide, bias=False)
            self.lin_dst = Linear(in_channels[1], wide, bias=False)
        else:
            self.lin = Linear(in_channels, wide, bias=False)
        self.att_src = nn.Parameter(torch.empty(1, heads, out_channels))
        self.att_dst = nn.Parameter(torch.empty(1, heads, out_channels))
        self.att_edge = None
        if edge_dim is not None:
            self.att_edge = nn.Parameter(torch.empty(1, heads, out_channels))
        self.reset_parameters()

    def _tensors(self, source: Tensor, target: Tensor, features: Tensor | None) -> EdgeTensors:
        value = self._per_head((self.lin or self.lin_src)(source))  # type: ignore[misc]
        seen = value
        if target is not source or self.lin is None:
            seen = self._per_head((self.lin or self.lin_dst)(target))  # type: ignore[misc]
        weight = None
        if features is not None and self.lin_edge is not None and self.att_edge is not None:
            # a_e is a product with the projection alone: together they are one small matrix.
            by_head = self.lin_edge.weight.view(self.heads, self.out_channels, -1)
            weight = torch.einsum("hcd,hc->dh", by_head, self.att_edge[0])[..., None]
        return EdgeTensors(
            (seen * self.att_dst).sum(-1, keepdim=True),
            (value * self.att_src).sum(-1, keepdim=True),
            value,
            value.new_ones(self.heads, 1),
            features if weight is not None else None,
            weight,
        )


class GATv2(_GraphLayer):
    r"""Graph attention whose ranking of neighbours depends on the node (Brody et al. 2022, https://arxiv.org/abs/2105.14491).

    .. math:: y_i = \sum_j w_{ij} W_l h_j, \quad w_{ij} = \mathrm{softmax}_j\,
        a^\top \mathrm{LeakyReLU}(W_r h_i + W_l h_j + W_e e_{ij})

    Arguments, weights and results are those of PyTorch Geometric's `GATv2Conv`: `load_state_dict` takes its state.
    Nothing is kept for the backward pass that has channels for each edge, edge features or not.

    Args:
        share_weights: whether W_r is W_l.

    The other arguments, shapes and errors are those of `GAT`.

    >>> layer = GATv2(3, 4, heads=2, edge_dim=1)
    >>> layer(torch.randn(5, 3), torch.tensor([[0, 1], [1, 4]]), torch.randn(2, 1)).shape
    torch.Size([5, 8])
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        add_self_loops: bool = True,
        edge_dim: int | None = None,
        fill_value: Fill = "mean",
        bias: bool = True,
        share_weights: bool = False,
        residual: bool = False,
    ):
        super().__init__(
            in_channels, out_channels, heads, concat, negative_slope, dropout, add_self_loops,
            edge_dim, fill_value, bias, residual,
        )  # fmt: skip
        source, target = in_channels if isinstance(in_channels, tuple) else (in_channels,) * 2
        self.share_weights = share_weights
        self.lin_l = Linear(source, heads * out_channels, bias=bias)
        self.lin_r = self.lin_l if share_weights else Linear(target, heads * out_channels, bias=bias)  # fmt: skip
        self.att = nn.Parameter(torch.empty(1, heads, out_channels))
        self.reset_parameters()

    def _tensors(self, source: Tensor, target: Tensor, features: Tensor | None) -> EdgeTensors:
        value = self._per_head(self.lin_l(source))
        seen = value
        if target is not source or not self.share_weights:
            seen = self._per_head(self.lin_r(target))
        weight = None
        if features is not None and self.lin_edge is not None:
            weight = self.lin_edge.weight.t().unflatten(1, (self.heads, self.out_channels))
        return EdgeTensors(seen, value, value, self.att[0], features, weight)
