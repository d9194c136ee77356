"""Graph attention: each node attends to those with an edge to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from heedful.bench.operations.training import own
from heedful.bench.values import Contender, Inputs, Operation, Run, Sizes
from heedful.ops.masks import Edges

SIZES = {"nodes": 10_000, "degree": 10, "heads": 4, "features": 16}
_SLOPE = 0.2

Scores = Callable[[Sizes, Inputs, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Sizes, inputs, sources and targets of edges -> scores (edges, heads) and values (nodes, heads, features)."""


def draw_graph(sizes: Sizes) -> dict[str, Tensor]:
    """Features of nodes, and distinct random edges, `degree` to a node on average, in no order."""
    nodes, width = sizes["nodes"], sizes["heads"] * sizes["features"]
    wanted = min(nodes * sizes["degree"], nodes * nodes)
    drawn = torch.randint(nodes * nodes, (wanted + wanted // 8 + 64,)).unique()
    kept = drawn[torch.randperm(len(drawn))[:wanted]]
    return {
        "x": torch.randn(nodes, width),
        "edge_index": torch.stack([kept % nodes, kept // nodes]),
    }


def _matrix(sizes: Sizes) -> Tensor:
    width = sizes["heads"] * sizes["features"]
    return torch.randn(width, width) / math.sqrt(width)


def _vector(sizes: Sizes) -> Tensor:
    return torch.randn(1, sizes["heads"], sizes["features"]) / math.sqrt(sizes["features"])


def _per_head(sizes: Sizes, inputs: Inputs, weight: str) -> Tensor:
    """The product x Wᵀ, split among the heads: (nodes, heads, features)."""
    mapped = inputs["x"] @ inputs[weight].t()
    return mapped.view(-1, sizes["heads"], sizes["features"])


def gat_scores(
    sizes: Sizes, inputs: Inputs, sources: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """LeakyReLU(aᵀ[Ws‖Wh]) (Veličković et al. 2018)."""
    mapped = _per_head(sizes, inputs, "lin.weight")
    source = (mapped * inputs["att_src"]).sum(-1)[sources]
    target = (mapped * inputs["att_dst"]).sum(-1)[targets]
    return functional.leaky_relu(source + target, _SLOPE), mapped


def gatv2_scores(
    sizes: Sizes, inputs: Inputs, sources: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """aᵀLeakyReLU(W_l h + W_r s) (Brody et al. 2022)."""
    left, right = (_per_head(sizes, inputs, f"lin_{side}.weight") for side in "lr")
    hidden = functional.leaky_relu(left[sources] + right[targets], _SLOPE)
    return (hidden * inputs["att"]).sum(-1), left


def transformer_scores(
    sizes: Sizes, inputs: Inputs, sources: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """(W_q s)ᵀ(W_k h)/√d (Shi et al. 2021)."""
    key, query, value = (
        _per_head(sizes, inputs, f"lin_{name}.weight") for name in ("key", "query", "value")
    )
    return (query[targets] * key[sources]).sum(-1) / math.sqrt(sizes["features"]), value


def mix(scores: Scores, sizes: Sizes, inputs: Inputs, rows: Tensor | None) -> Tensor:
    """Softmax of the scores over the edges into each node, and the mix of the values; edge by edge."""
    sources, targets = inputs["edge_index"]
    count = sizes["nodes"] if rows is None else len(rows)
    if rows is not None:
        place = torch.full((sizes["nodes"],), -1).index_copy_(0, rows, torch.arange(count))
        listed = place[targets] >= 0
        sources, targets = sources[listed], targets[listed]
    score, value = scores(sizes, inputs, sources, targets)
    into = targets if rows is None else place[targets]
    highest = torch.zeros(count, sizes["heads"], dtype=score.dtype).scatter_reduce(
        0, into[:, None].expand_as(score), score.detach(), "amax", include_self=False
    )
    raised = (score - highest[into]).exp()
    total = raised.new_zeros(count, sizes["heads"]).index_add(0, into, raised)
    weights = raised / total[into]
    mixed = value.new_zeros(count, sizes["heads"], sizes["features"])
    return mixed.index_add(0, into, weights[..., None] * value[sources]).flatten(1)


def operation(
    name: str,
    title: str,
    layer: str,
    theirs: str,
    scores: Scores,
    weights: Sequence[str],
    vectors: Sequence[str],
) -> Operation:
    """Make the operation of one layer: its name here and in PyTorch Geometric, and its parameters' names."""

    def draw(sizes: Sizes) -> dict[str, Tensor]:
        return {
            **draw_graph(sizes),
            **{each: _matrix(sizes) for each in weights},
            **{each: _vector(sizes) for each in vectors},
        }

    def expected(sizes: Sizes, inputs: Inputs, rows: Tensor | None) -> Tensor:
        return mix(scores, sizes, inputs, rows)

    return Operation(
        name=name,
        title=title,
        sizes=SIZES,
        scans=("nodes",),
        inputs=draw,
        expected=expected,
        contenders=contenders(layer, theirs),
        rows=lambda sizes: sizes["nodes"],
        cost_of_row=lambda sizes: 4 * sizes["degree"] * sizes["heads"] * sizes["features"],
        axis="nodes",
    )


def contenders(layer: str, theirs: str) -> tuple[Contender, ...]:
    """Our layer, with its edges sorted once and at every call, and PyTorch Geometric's."""

    def ours(sizes: Sizes, inputs: Inputs, *, once: bool) -> Run:
        import heedful.nn

        module = _layer(getattr(heedful.nn, layer), sizes, inputs)
        nodes, index = sizes["nodes"], inputs["edge_index"]
        made = Edges(index, nodes, nodes) if once else index
        return lambda: module(inputs["x"], made)

    def geometric(sizes: Sizes, inputs: Inputs) -> Run:
        import torch_geometric.nn

        module = _layer(getattr(torch_geometric.nn, theirs), sizes, inputs)
        return lambda: module(inputs["x"], inputs["edge_index"])

    return (
        Contender("heedful, edges made once", partial(ours, once=True), ours=True),
        Contender("heedful, from edge_index", partial(ours, once=False), ours=True),
        Contender(f"PyG {theirs}", geometric, needs="torch_geometric", memory=_messages),
    )


def _layer(kind: Callable[..., Any], sizes: Sizes, inputs: Inputs) -> Any:
    """Build a layer by the argument names that PyTorch Geometric gave it, owning the parameters of the inputs."""
    width = sizes["heads"] * sizes["features"]
    plain: dict[str, bool] = {"bias": False}
    plain["root_weight" if "lin_key.weight" in inputs else "add_self_loops"] = False
    module = kind(width, sizes["features"], heads=sizes["heads"], **plain)
    own(module, inputs)
    return module


def _messages(sizes: Sizes) -> int:
    """A message along every edge, and what became of it."""
    edges = sizes["nodes"] * sizes["degree"]
    return 2 * 4 * edges * sizes["heads"] * sizes["features"]


GAT = operation(
    "gat", "Graph attention (GAT)", "GAT", "GATConv", gat_scores,
    ("lin.weight",), ("att_src", "att_dst"),
)  # fmt: skip
GATV2 = operation(
    "gatv2", "Graph attention (GATv2)", "GATv2", "GATv2Conv", gatv2_scores,
    ("lin_l.weight", "lin_r.weight"), ("att",),
)  # fmt: skip
GRAPH_TRANSFORMER = operation(
    "graph-transformer", "Graph attention (Transformer)", "GraphTransformer", "TransformerConv", transformer_scores,
    ("lin_key.weight", "lin_query.weight", "lin_value.weight"), (),
)  # fmt: skip
