"""`attend` with the additive score, traced: the operators are in the graph, queries × keys × hidden is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.aot_autograd import make_boxed_func
from torch.fx import GraphModule

from heedful import attend, masks, positions, scores
from heedful.ops.backends.additive import scores as additive
from heedful.ops.jit.kernel import unavailable
from heedful.ops.masks import Mask
from tests.ops.compare import assert_same

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="Numba is missing")

SHAPES = ((2, 3, 40, 8), (2, 3, 50, 8), (8, 16), (8, 16), (16,))
CELLS = 2 * 3 * 40 * 50
MASKS: dict[str, Mask | None] = {"none": None, "padding": masks.Padding(torch.tensor([50, 7]))}


def inputs(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in SHAPES]


def attention(
    mask: Mask | None = None, activation: str = "tanh", backend: str = "auto"
) -> Callable[..., Tensor]:
    def attended(query: Tensor, key: Tensor, *weights: Tensor) -> Tensor:
        score = scores.Additive(*weights, activation=activation)  # type: ignore[arg-type]
        bias = positions.ALiBi.for_heads(3) if mask is not None else None
        return attend(query, key, key, score=score, mask=mask, bias=bias, backend=backend).output

    return attended


def compiled(function: Callable[..., Tensor], graphs: list[GraphModule]) -> Callable[..., Tensor]:
    """Compile into one graph; forward and backward are added to `graphs`."""

    def keep(graph: GraphModule, _: object) -> Callable[..., object]:
        graphs.append(graph)
        return make_boxed_func(graph.forward)

    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, backend=aot_autograd(fw_compiler=keep))


def operators(graph: GraphModule) -> list[str]:
    return [str(node.target) for node in graph.graph.nodes if "heedful" in str(node.target)]


def largest(graph: GraphModule) -> int:
    values = [node.meta.get("val") for node in graph.graph.nodes]
    return max(value.numel() for value in values if isinstance(value, Tensor))


@pytest.mark.parametrize("backend", ["auto", "chunked"])
@pytest.mark.parametrize("activation", ["tanh", "leaky_relu"])
@pytest.mark.parametrize("mask", MASKS)
def test_compiled_with_gradients(mask: str, activation: str, backend: str) -> None:
    function, graphs = attention(MASKS[mask], activation, backend), list[GraphModule]()
    tensors = inputs()
    got, wanted = compiled(function, graphs)(*tensors), function(*tensors)
    assert_same(got, wanted)
    upstream = torch.randn_like(wanted)
    gradients = torch.autograd.grad(got, tensors, upstream)
    for found, right in zip(gradients, torch.autograd.grad(wanted, tensors, upstream), strict=True):
        assert_same(found, right)
    forward, backward = graphs
    assert operators(forward) == ["heedful.additive_scores.default"]
    assert operators(backward) == ["heedful.additive_gradients.default"]
    assert max(map(largest, graphs)) == CELLS


def test_exported() -> None:
    class Model(torch.nn.Module):
        def forward(self, *tensors: Tensor) -> Tensor:
            return attention(MASKS["padding"])(*tensors)

    held = tuple(tensor.detach() for tensor in inputs())
    program = torch.export.export(Model(), held)
    assert operators(program.graph_module) == ["heedful.additive_scores.default"]
    assert largest(program.graph_module) == CELLS
    assert_same(program.module()(*held), attention(MASKS["padding"])(*held))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_under_autocast(dtype: torch.dtype) -> None:
    function, graphs = attention(MASKS["padding"]), list[GraphModule]()
    tensors = inputs(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got, wanted = compiled(function, graphs)(*tensors), function(*tensors)
    assert_same(got, wanted)
    gradients = torch.autograd.grad(got.float().sum(), tensors)
    for found, right in zip(
        gradients, torch.autograd.grad(wanted.float().sum(), tensors), strict=True
    ):
        assert_same(found, right, dtype=torch.bfloat16)
    assert operators(graphs[0]) == ["heedful.additive_scores.default"]


def test_lengths_may_change() -> None:
    function, graphs = attention(), list[GraphModule]()
    torch._dynamo.reset()
    traced = compiled(function, graphs)
    for queries, keys in ((40, 50), (41, 57), (64, 33)):
        query, key = torch.randn(2, 3, queries, 8), torch.randn(2, 3, keys, 8)
        tensors = [query, key, *(weight.detach() for weight in inputs()[2:])]
        assert_same(traced(*tensors), function(*tensors))
    assert all(operators(graph) == ["heedful.additive_scores.default"] for graph in graphs)


def test_a_transform_inside_is_plain_mathematics() -> None:
    graphs: list[GraphModule] = []
    query, key, *weights = (tensor.detach() for tensor in inputs())

    def mapped(query: Tensor, key: Tensor) -> Tensor:
        return torch.vmap(lambda a, b: attention()(a, b, *weights))(query, key)

    assert_same(compiled(mapped, graphs)(query, key), attention()(query, key, *weights))
    assert operators(graphs[0]) == []


def test_without_kernels_it_is_traced_as_plain_mathematics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(additive, "refusal", lambda device: "switched off")
    tensors, graphs = inputs(), list[GraphModule]()
    assert_same(compiled(attention(), graphs)(*tensors), attention()(*tensors))
    assert operators(graphs[0]) == []
