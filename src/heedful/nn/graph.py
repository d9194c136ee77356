"""Graph attention networks: each node attends to the nodes whose edges point to it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heedful.errors import unknown_choice
from heedful.nn.graph_edges import FILLS, Fill, glorot
from heedful.nn.graph_layer import GraphLayer
from heedful.nn.linear import Linear
from heedful.ops.backends.edges.attend import EdgePair, EdgeTensors


class _GATLayer(GraphLayer):
    """Base class of GAT and GATv2: everything but queries, keys and values."""

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
        if isinstance(fill_value, str) and fill_value not in FILLS:
            raise unknown_choice("fill_value", fill_value, FILLS)
        super().__init__(
            in_channels, out_channels, heads, concat, dropout, edge_dim, fill_value if add_self_loops else None
        )  # fmt: skip
        self.negative_slope = negative_slope
        self.add_self_loops, self.fill_value = add_self_loops, fill_value
        wide = heads * out_channels
        self.lin_edge = None if edge_dim is None else Linear(edge_dim, wide, bias=False)
        total = wide if concat else out_channels
        target = in_channels[1] if isinstance(in_channels, tuple) else in_channels
        self.res = Linear(target, total, bias=False) if residual else None
        self.bias = nn.Parameter(torch.zeros(total)) if bias else None

    def reset_parameters(self) -> None:
        """Initialize all parameters: matrices by Glorot's uniform distribution, biases by 0."""
        for name, parameter in self.named_parameters():
            if name == "bias":
                nn.init.zeros_(parameter)
            elif parameter.ndim > 1:
                glorot(parameter)

    def _pair(self) -> EdgePair:
        return EdgePair("leaky_relu", self.negative_slope)

    def _after(self, attended: Tensor, target: Tensor | None) -> Tensor:
        if self.res is not None and target is not None:
            attended = attended + self.res(target)
        return attended if self.bias is None else attended + self.bias


class GAT(_GATLayer):
    r"""Graph attention (Veličković et al. 2018, https://arxiv.org/abs/1710.10903).

    .. math:: y_i = \sum_j w_{ij} W h_j, \quad w_{ij} = \mathrm{softmax}_j\,
        \mathrm{LeakyReLU}(a_t^\top W h_i + a_s^\top W h_j + a_e^\top W_e e_{ij})

    Arguments, parameters and results are those of PyTorch Geometric's `GATConv`: `load_state_dict` takes its state.
    No tensor of (edges, channels) is saved for the backward pass.

    Args:
        in_channels: features of a node; a pair for source and target nodes of different kinds.
        out_channels: features of a head.
        heads: how many heads.
        concat: concatenate the heads; otherwise return their mean.
        negative_slope: slope of the LeakyReLU below 0.
        dropout: probability of dropping a weight while training.
        add_self_loops: replace self loops by exactly one for each node.
        edge_dim: features of an edge. A layer made with it also runs without edge features.
        fill_value: features of self loops: a number, a tensor, or `add`, `mean`, `min`, `max`, `mul` of those of
            the edges that point to the node.
        bias: whether to learn a bias.
        residual: whether to add a linear map of the target node.

    Shapes: x (nodes, in_channels) or such a pair, edge_index (2, edges), source then target, or `masks.Edges` made
    once, or a sparse matrix (targets, sources), `adj_t`, edge_attr (edges, edge_dim) -> (target nodes, heads *
    out_channels), or (target nodes, out_channels) of the mean. With `return_attention_weights=True`, a pair of that and
    `EdgeWeights`. Where target nodes have no features, x is (source, None); there are as many as `size` (sources,
    targets) says, or the edges, or as there are source nodes. `GAT` alone takes that.

    Raises:
        OptionError: sizes below 1, an unknown `fill_value`, edge features without `edge_dim`.
        ShapeError, DtypeError: nodes, edges and edge features that do not fit each other or the layer.

    >>> layer = GAT(3, 4, heads=2)
    >>> x, edge_index = torch.randn(5, 3), torch.tensor([[0, 1, 2], [1, 1, 4]])
    >>> layer(x, edge_index).shape
    torch.Size([5, 8])
    >>> output, (edges, weights) = layer(x, edge_index, return_attention_weights=True)
    >>> edges.shape, weights.shape  # 2 edges between nodes, and 5 self loops
    (torch.Size([2, 7]), torch.Size([7, 2]))
    >>> GAT((3, 2), 4)((x, None), edge_index, size=(5, 6)).shape
    torch.Size([6, 4])
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

    def _check_target(self, target: Tensor | None) -> None:
        """Accept target nodes without features, which add nothing to the scores."""

    def _tensors(
        self, source: Tensor, target: Tensor | None, targets: int, features: Tensor | None
    ) -> EdgeTensors:
        value = self._per_head((self.lin or self.lin_src)(source))  # type: ignore[misc]
        if target is None:
            query = value.new_zeros(1, targets, self.heads, 1)
        else:
            mapped = value
            if target is not source or self.lin is None:
                mapped = self._per_head((self.lin or self.lin_dst)(target))  # type: ignore[misc]
            query = (mapped * self.att_dst).sum(-1, keepdim=True)
        weight = None
        if features is not None and self.lin_edge is not None and self.att_edge is not None:
            # The vector a_e multiplies only W_e, so both become one matrix (edge_dim, heads, 1).
            by_head = self.lin_edge.weight.view(self.heads, self.out_channels, -1)
            weight = torch.einsum("hcd,hc->dh", by_head, self.att_edge[0])[..., None]
        return EdgeTensors(
            query,
            (value * self.att_src).sum(-1, keepdim=True),
            value,
            value.new_ones(self.heads, 1),
            features if weight is not None else None,
            weight,
        )


class GATv2(_GATLayer):
    r"""Graph attention whose ranking of neighbours depends on the node (Brody et al. 2022, https://arxiv.org/abs/2105.14491).

    .. math:: y_i = \sum_j w_{ij} W_l h_j, \quad w_{ij} = \mathrm{softmax}_j\,
        a^\top \mathrm{LeakyReLU}(W_r h_i + W_l h_j + W_e e_{ij})

    Arguments, parameters and results are those of PyTorch Geometric's `GATv2Conv`: `load_state_dict` takes its state.
    No tensor of (edges, channels) is saved for the backward pass, with or without edge features.

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

    def _tensors(
        self, source: Tensor, target: Tensor | None, targets: int, features: Tensor | None
    ) -> EdgeTensors:
        assert target is not None
        value = self._per_head(self.lin_l(source))
        query = value
        if target is not source or not self.share_weights:
            query = self._per_head(self.lin_r(target))
        weight = None
        if features is not None and self.lin_edge is not None:
            weight = self.lin_edge.weight.t().unflatten(1, (self.heads, self.out_channels))
        return EdgeTensors(query, value, value, self.att[0], features, weight)
