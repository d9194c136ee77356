"""Graph convolution as an encoder: each node takes a fixed mean of its neighbours, without attention."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from heedful.models.encoders.base import Encoder, EncoderConfig, GraphEdges
from heedful.models.encoders.graph import chain_edges
from heedful.nn.dropout import Dropout
from heedful.nn.gcn import GCN
from heedful.nn.linear import Linear


class GCNConfig(EncoderConfig):
    """Graph convolution (Kipf and Welling 2017), what attention has to beat."""

    kind: Literal["gcn"] = Field("gcn", description="The encoder.")
    width: int = Field(64, ge=1, description="Features of a state.")
    layers: int = Field(2, ge=1, description="Layers; n layers reach nodes n edges away.")
    projections: bool = Field(
        False,
        description="Linear maps inside the layers. Without them the features of the input and the output layer are "
        "the only maps, the two of a graph convolution of two layers; three layers or more want them.",
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout probability of states.")


class GCNEncoder(Encoder):
    r"""Layers of graph convolution (Kipf and Welling 2017, https://arxiv.org/abs/1609.02907).

    .. math:: x_1 = \mathrm{mean}(x), \quad x_{l+1} = \mathrm{mean}(\mathrm{dropout}(\mathrm{relu}(x_l)))

    The mean is that of `heedful.nn.gcn.graph_mean`, with a bias and, with projections, a linear map. Features of edges
    are not read. A sequence without edges is a graph in which each position is joined with its two neighbours.

    Args:
        config: the options.
        input_width: features of a node.
        edge_width: features of an edge, which have no effect.

    Raises: ShapeError for an edge of a node that is not there.

    >>> import torch
    >>> encoder = GCNEncoder(GCNConfig(width=8), 3)
    >>> edges = GraphEdges(torch.tensor([[0, 1, 4], [1, 0, 5]]))
    >>> encoder(torch.ones(2, 4, 3), torch.tensor([4, 2]), edges).values.shape
    torch.Size([2, 4, 8])
    """

    configuration = GCNConfig
    reads_edges = True
    further_hops: ClassVar[int] = 1

    def __init__(self, config: GCNConfig, input_width: int, edge_width: int = 0):
        super().__init__(input_width, config.width)
        is_wide = not config.projections and input_width == config.width
        self.widen = nn.Identity() if is_wide else Linear(input_width, config.width)
        self.layers = nn.ModuleList(GCN(config.width, config.width) for _ in range(config.layers))
        if not config.projections:
            for layer in self.layers:
                layer.lin = nn.Identity()
        self.dropout = Dropout(config.dropout)

    def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        return self.encode_graphs(inputs, chain_edges(inputs.shape[1], lengths))

    def encode_graphs(self, inputs: Tensor, edges: GraphEdges) -> Tensor:
        nodes = self.widen(inputs).flatten(0, 1)
        index = edges.among(nodes.shape[0])
        for number, layer in enumerate(self.layers):
            nodes = layer(self.dropout(F.relu(nodes)) if number else nodes, index)
        output: Tensor = nodes.unflatten(0, inputs.shape[:2])
        return output
