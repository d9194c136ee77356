"""Graph convolution: each node takes a fixed mean of its neighbours and itself, without attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heedful.nn.graph_edges import (
    check_features,
    check_options,
    glorot,
    listed_edge_index,
    sorted_edges,
)
from heedful.nn.linear import Linear
from heedful.ops.csr.rows import CompressedRows
from heedful.ops.masks import Edges


def graph_mean(x: Tensor, rows: CompressedRows) -> Tensor:
    r"""Return the mean of each node's neighbours and itself that Kipf and Welling take.

    .. math:: y_i = \sum_{j \in N(i) \cup \{i\}} \frac{x_j}{\sqrt{d_i d_j}}, \quad d_i = |N(i)| + 1

    N(i) are the sources of the edges that point to i; one listed twice counts twice.

    Args:
        x: (nodes, channels).
        rows: the edges between as many nodes, with one self loop each, such as `Edges.rows_with_loops` returns.

    Returns: (nodes, channels).

    >>> edges = Edges(torch.tensor([[0, 1], [1, 0]]), num_queries=2, num_keys=2)
    >>> graph_mean(torch.tensor([[1.0], [3.0]]), edges.rows_with_loops()).round(decimals=5).tolist()
    [[2.0], [2.0]]
    """
    scale = rows.start.diff().to(x.dtype).rsqrt()
    keys = rows.keys.long()
    return F.embedding_bag(
        keys,
        x,
        rows.start,
        mode="sum",
        per_sample_weights=scale[keys] * scale[rows.queries()],
        include_last_offset=True,
    )


class GCN(nn.Module):
    r"""Graph convolution (Kipf and Welling 2017, https://arxiv.org/abs/1609.02907).

    .. math:: y_i = b + \sum_{j \in N(i) \cup \{i\}} \frac{W x_j}{\sqrt{d_i d_j}}

    Parameters and results are those of PyTorch Geometric's `GCNConv` without weights of edges: `load_state_dict` takes
    its state.

    Args:
        in_channels: features of a node.
        out_channels: features of its output.
        bias: whether to learn a bias.

    Shapes: x (nodes, in_channels), edge_index (2, edges), source then target, or `masks.Edges` made once, or a sparse
    matrix (targets, sources) -> (nodes, out_channels).

    Raises:
        OptionError: sizes below 1.
        ShapeError, DtypeError: nodes and edges that do not fit each other or the layer.

    >>> GCN(3, 4)(torch.randn(5, 3), torch.tensor([[0, 1, 2], [1, 1, 4]])).shape
    torch.Size([5, 4])
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True):
        super().__init__()
        check_options({"in_channels": in_channels, "out_channels": out_channels}, 0.0)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.lin: nn.Module = Linear(in_channels, out_channels, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        glorot(self.lin.weight)

    def forward(self, x: Tensor, edge_index: Tensor | Edges) -> Tensor:
        """Return the output of each node."""
        listed, _ = listed_edge_index(edge_index, None, None)
        parameters = next((each.dtype for each in self.parameters()), x.dtype)
        check_features((x, x), self.in_channels, None, parameters)
        rows, _ = sorted_edges(listed, None, (x.shape[0],) * 2, None, 0.0)
        mean = graph_mean(self.lin(x), rows)
        return mean if self.bias is None else mean + self.bias
