"""Graph attention layers as encoders: each node attends to the nodes whose edges point to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.models.config import check_divides
from heedful.models.encoders.base import Encoder, EncoderConfig, GraphEdges, real_tokens
from heedful.nn.dropout import Dropout
from heedful.nn.graph import GAT, GATv2
from heedful.nn.graph_layer import GraphLayer
from heedful.nn.graph_transformer import GraphTransformer
from heedful.nn.linear import Linear

LAYERS: Final[dict[str, Callable[..., GraphLayer]]] = {
    "gat": GAT,
    "gatv2": GATv2,
    "graph-transformer": GraphTransformer,
}


class GraphConfig(EncoderConfig):
    """Layers of attention along the edges of a graph."""

    kind: Literal["gat", "gatv2", "graph-transformer"] = Field(  # the keys of LAYERS
        "gatv2", description="The encoder."
    )
    width: int = Field(128, ge=1, description="Features of a state.")
    heads: int = Field(4, ge=1, description="Attention heads; must divide width.")
    layers: int = Field(3, ge=1, description="Layers; n layers reach nodes n edges away.")
    residual: bool = Field(
        True, description="Residual connections and layer normalization around each layer."
    )
    projections: bool = Field(
        True,
        description="Linear maps inside the layers. Without them a layer attends to states as they are, and the "
        "features of the input and the output layer are the only maps: fewer weights for few labels. Not with "
        "residual, nor of a graph-transformer.",
    )
    mean_heads: bool = Field(
        False,
        description="Each head of the last layer has all the width, and their mean is the state (Veličković et al. "
        "2018); otherwise each has a share of it.",
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout probability of states.")
    attention_dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout probability of attention weights."
    )


class GraphEncoder(Encoder):
    r"""Graph attention layers (Veličković et al. 2018, https://arxiv.org/abs/1710.10903; Brody et al. 2022,
    https://arxiv.org/abs/2105.14491; Shi et al. 2021, https://arxiv.org/abs/2009.03509).

    .. math:: x' = x + \mathrm{dropout}(\mathrm{elu}(\mathrm{attend}(\mathrm{norm}(x)))), \quad
        \text{without residual: } x' = \mathrm{attend}(\mathrm{dropout}(\mathrm{elu}(x)))

    Without residual the first layer reads its input as it is, and the output of the last is the state.

    A node attends to the sources of its edges and, in gat and gatv2, to itself. A graph-transformer has a linear map of
    the node itself beside the attention. A sequence without edges is a graph in which each position is joined with its
    two neighbours.

    Args:
        config: the options.
        input_width: features of a node.
        edge_width: features of an edge; 0: none.

    Raises: OptionError if the heads do not divide the width, or for layers without projections where these are
        needed; a call ShapeError for an edge of a node that is not there.

    >>> encoder = GraphEncoder(GraphConfig(width=8, heads=2), 3)
    >>> edges = GraphEdges(torch.tensor([[0, 1, 4], [1, 0, 5]]))
    >>> encoder(torch.ones(2, 4, 3), torch.tensor([4, 2]), edges).values.shape
    torch.Size([2, 4, 8])
    """

    configuration = GraphConfig
    has_attention = True
    reads_edges = True

    def __init__(self, config: GraphConfig, input_width: int, edge_width: int = 0):
        check_divides("encoder.heads", config.heads, "encoder.width", config.width)
        super().__init__(input_width, config.width)
        self.residual = config.residual
        if not config.projections:
            _check_unprojected(config)
        is_wide = not config.projections and input_width == config.width
        self.widen = nn.Identity() if is_wide else Linear(input_width, config.width)
        self.layers = nn.ModuleList(
            _layer(config, edge_width, is_last=number == config.layers - 1)
            for number in range(config.layers)
        )
        norm = nn.LayerNorm if config.residual else nn.Identity
        self.norms = nn.ModuleList(norm(config.width) for _ in range(config.layers + 1))
        self.dropout = Dropout(config.dropout)

    def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        return self.encode_graphs(inputs, chain_edges(inputs.shape[1], lengths))

    def encode_graphs(self, inputs: Tensor, edges: GraphEdges) -> Tensor:
        nodes = self.widen(inputs).flatten(0, 1)
        index = edges.among(nodes.shape[0])
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=False)):
            if self.residual:
                attended = F.elu(layer(norm(nodes), index, edges.features))
                nodes = nodes + self.dropout(attended)
            else:
                read = self.dropout(F.elu(nodes)) if number else nodes
                nodes = layer(read, index, edges.features)
        output: Tensor = self.norms[-1](nodes).unflatten(0, inputs.shape[:2])
        return output


def _layer(config: GraphConfig, edge_width: int, *, is_last: bool) -> GraphLayer:
    mean = config.mean_heads and is_last
    layer = LAYERS[config.kind](
        config.width,
        config.width if mean else config.width // config.heads,
        heads=config.heads,
        concat=not mean,
        dropout=config.attention_dropout,
        edge_dim=edge_width or None,
    )
    layer.kind = "encoder"  # type: ignore[assignment]  # as what its attention is shown
    if not config.projections:
        for name in ("lin", "lin_l", "lin_r"):
            if hasattr(layer, name):
                setattr(layer, name, nn.Identity())
    return layer


def _check_unprojected(config: GraphConfig) -> None:
    wrong = ""
    if config.kind == "graph-transformer":
        wrong = "a graph-transformer has them; choose gat or gatv2"
    elif config.residual or config.mean_heads:
        name = "residual" if config.residual else "mean_heads"
        wrong = f"encoder.{name} needs them; set it to false"
    if wrong:
        raise OptionError(f"encoder.projections is false, but {wrong}")


def chain_edges(length: int, lengths: Tensor) -> GraphEdges:
    """Return the edges of sequences seen as graphs: each position is joined with the one before and the one after.

    >>> chain_edges(3, torch.tensor([3, 1])).edge_index.tolist()
    [[0, 1, 1, 2], [1, 2, 0, 1]]
    """
    is_first = real_tokens(length, lengths)[:, 1:, 0]
    row, position = is_first.nonzero(as_tuple=True)
    left = row * length + position
    index = torch.stack([left, left + 1])
    return GraphEdges(torch.cat([index, index.flip(0)], dim=1))
