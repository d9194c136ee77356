"""Attention by window and by edges as one operator: compiled, exported, under autocast, as eager gives it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from heedful import ShapeError, attend, masks, normalizers, positions, scores
from heedful.nn import GAT, GATv2, GraphTransformer, MultiHeadAttention
from tests.ops.compare import assert_same

LENGTH = 70
SEGMENTS = torch.arange(LENGTH) // 30
INDEX = torch.randint(20, (2, 90), generator=torch.Generator().manual_seed(0))
EDGES = masks.Edges(INDEX, 20, 20)
Function = Callable[[Tensor, Tensor, Tensor], Tensor]


def graph_of(function: Callable[..., Tensor], *inputs: Tensor) -> str:
    """What Dynamo makes of it, in one graph."""
    seen: list[str] = []

    def backend(module: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        seen.append(str(module.graph))
        return module.forward

    torch._dynamo.reset()
    torch.compile(function, fullgraph=True, backend=backend)(*inputs)
    assert len(seen) == 1
    return seen[0]


def assert_compiles(function: Callable[..., Tensor], *inputs: Tensor, operator: str) -> None:
    """One graph with the operator in it, whose output and gradients are those of eager."""
    assert f"heedful.{operator}.default" in graph_of(function, *inputs)
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    leaves = [one for one in inputs if one.requires_grad]
    found = []
    for each in (function, compiled):
        output = each(*inputs)
        found.append((output, *torch.autograd.grad(output.square().sum(), leaves)))
    for got, wanted in zip(found[1], found[0], strict=True):
        assert_same(got.detach(), wanted.detach())


def test_soft_caps_and_sinks_are_in_the_operator() -> None:
    sinks = torch.randn(3, requires_grad=True)

    def function(query: Tensor, key: Tensor, value: Tensor, sinks: Tensor) -> Tensor:
        score, normalizer = scores.SoftCapped(2.0), normalizers.SinkSoftmax(sinks)
        mask = masks.Window(5, 2)
        return attend(query, key, value, mask=mask, score=score, normalizer=normalizer).output

    assert_compiles(function, *operands(2, 3), sinks, operator="windowed_attention")


def operands(*lead: int, length: int = LENGTH) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = (torch.randn(*lead, length, 6, requires_grad=True) for _ in range(3))
    return query, key, value


@pytest.mark.parametrize(
    ("lead", "mask"),
    [
        ((3,), masks.Window(5, 9)),
        ((2, 3), masks.Window(9, 2) & masks.Causal()),
        ((2, 3), masks.Window(5, 9) & masks.Padding(torch.tensor([LENGTH, 40]))),
        ((2, 2, 3), masks.Window(8, 8) & masks.Segments(SEGMENTS, SEGMENTS)),
        ((2, 3), masks.Window(5, 9) & ~masks.Window(1, 1)),
    ],
    ids=["alone", "causal", "padding", "segments", "hole"],
)
def test_windows_compile(lead: tuple[int, ...], mask: masks.Mask) -> None:
    def function(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attend(query, key, value, mask=mask, backend="band").output

    assert_compiles(function, *operands(*lead), operator="windowed_attention")


@pytest.mark.parametrize(
    "bias",
    [positions.ALiBi(torch.tensor([0.5, 0.3, 0.2])), torch.randn(1, 3, LENGTH, LENGTH)],
    ids=["distance", "pairs"],
)
def test_windows_with_a_bias_compile(bias: Tensor | positions.PositionBias) -> None:
    def function(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mask = masks.Window(5, 9)
        return attend(query, key, value, mask=mask, bias=bias, backend="band").output

    assert_compiles(function, *operands(2, 3), operator="windowed_attention")


def test_grouped_heads_compile() -> None:
    query, _, _ = operands(2, 4)
    _, key, value = operands(2, 2)

    def function(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mask = masks.Window(5, 9)
        return attend(query, key, value, mask=mask, enable_gqa=True, backend="band").output

    assert_compiles(function, query, key, value, operator="windowed_attention")


def test_one_program_for_any_length() -> None:
    torch._dynamo.reset()

    def function(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attend(query, key, value, mask=masks.Window(5, 9), backend="band").output

    compiled = torch.compile(function, fullgraph=True, backend="aot_eager", dynamic=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for length in (70, 33, 150):
            inputs = operands(2, 3, length=length)
            assert_same(compiled(*inputs).detach(), function(*inputs).detach())


def test_a_long_window_is_chosen_while_tracing() -> None:
    def function(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attend(query, key, value, mask=masks.Window(5, 9)).output

    assert "windowed_attention" in graph_of(function, *operands(2, 3, length=2000))


@pytest.mark.parametrize("score", [scores.ScaledDot(), scores.Bilinear(torch.randn(6, 6))])
def test_what_is_hidden_reaches_nothing_in_a_compiled_window(score: scores.Score) -> None:
    query, key, value = operands(2, 3)
    with torch.no_grad():
        key[:, :, 50] = torch.nan
        value[:, :, 51] = torch.inf

    def function(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mask = masks.Window(2, 2)
        return attend(query, key, value, score=score, mask=mask, backend="band").output

    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    found = []
    for each in (function, compiled):
        output = each(query, key, value)
        assert bool(output[:, :, 48:54].isnan().all())
        seen = torch.cat([output[:, :, :48], output[:, :, 54:]], 2)
        gradients = torch.autograd.grad(seen.square().sum(), (query, key, value))
        assert all(bool(one.isfinite().all()) for one in gradients)
        found.append((seen, *gradients))
    for got, wanted in zip(found[1], found[0], strict=True):
        assert_same(got.detach(), wanted.detach())


def test_a_learned_bias_goes_another_way_while_traced() -> None:
    bias = torch.zeros(LENGTH, LENGTH, requires_grad=True)

    def learned(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attend(query, key, value, mask=masks.Window(5, 9), bias=bias).output

    assert "windowed_attention" not in graph_of(learned, *operands(2, 3))


class Window(nn.Module):
    """Windowed attention as a module."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attend(query, key, value, mask=masks.Window(5, 9), backend="band").output


class Graph(nn.Module):
    """Attention along listed edges as a module."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attend(query, key, value, mask=masks.Edges(INDEX, 20, 20), backend="edges").output


@pytest.mark.parametrize(
    ("module", "length", "operator"),
    [(Window(), LENGTH, "windowed_attention"), (Graph(), 20, "edge_attention")],
)
def test_exports_and_autocast(module: nn.Module, length: int, operator: str) -> None:
    inputs = tuple(one.detach() for one in operands(2, 3, length=length))
    program = torch.export.export(module, inputs)
    assert f"heedful.{operator}.default" in str(program.graph)
    assert_same(program.module()(*inputs), module(*inputs))
    with torch.autocast("cpu", torch.bfloat16):
        output = module(*(one.bfloat16() for one in inputs))
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), module(*inputs), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("edges", [EDGES, masks.Edges(INDEX, 20, 20)], ids=["sorted", "new"])
def test_edges_compile(edges: masks.Edges) -> None:
    if edges is EDGES:
        edges.unique_rows()
    again = torch.arange(20) // 7

    def function(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mask = edges & masks.Segments(again, again)
        return attend(query, key, value, mask=mask, backend="edges").output

    assert_compiles(function, *operands(2, 3, length=20), operator="edge_attention")


@pytest.mark.parametrize("layer", [GAT, GATv2, GraphTransformer])
@pytest.mark.parametrize("given", ["edges", "edge_index"])
def test_graph_layers_compile(layer: type[nn.Module], given: str) -> None:
    features = torch.randn(INDEX.shape[1], 3)
    made = layer(6, 4, heads=2, edge_dim=3)
    nodes = torch.randn(20, 6, requires_grad=True)
    if given == "edges":
        edges = masks.Edges(INDEX, 20, 20)
        assert_compiles(lambda x: made(x, edges, features), nodes, operator="edge_attention")
    else:
        assert_compiles(
            lambda x, index: made(x, index, features), nodes, INDEX, operator="edge_attention"
        )


def test_indices_that_name_no_node_are_refused_when_a_program_runs() -> None:
    layer = GATv2(6, 4)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    nodes = torch.randn(20, 6)
    with pytest.raises(ShapeError, match="names source"):
        compiled(nodes, INDEX + 1)


@pytest.mark.parametrize("edges", [EDGES, masks.Edges(INDEX, 20, 20)], ids=["sorted", "new"])
def test_weights_along_edges_compile(edges: masks.Edges) -> None:
    if edges is EDGES:
        edges.unique_rows()

    def output_and_weights(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output, weights = attend(
            query, key, value, mask=edges, backend="edges", return_weights=True
        )
        assert weights is not None
        return torch.cat([output, weights.sin()], -1)

    assert_compiles(output_and_weights, *operands(2, 3, length=20), operator="edge_attention")


@pytest.mark.parametrize("mask", [None, masks.Causal(), masks.Window(4, 4)], ids=str)
@pytest.mark.parametrize("score", ["scaled_dot", "additive", "bilinear"])
def test_an_exported_layer_takes_any_batch_and_any_length(
    score: str, mask: masks.Mask | None
) -> None:
    layer = MultiHeadAttention(16, 4, score=score).eval()
    # Two sequences are asked for at export, and four later: as many as there are heads.
    sizes = {"x": {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}}
    exported = torch.export.export(
        Answering(layer, mask), (torch.randn(2, 40, 16),), dynamic_shapes=sizes
    )
    longer = torch.randn(4, 300, 16)
    assert_same(exported.module()(longer), layer(longer, mask=mask).output)


class Answering(nn.Module):
    """A layer of attention under a mask, that returns its output alone."""

    def __init__(self, layer: MultiHeadAttention, mask: masks.Mask | None):
        super().__init__()
        self.layer, self.mask = layer, mask

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x, mask=self.mask).output
