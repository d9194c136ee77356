"""The additive pair as an operator: what traces sees one node, and gives the same numbers and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from heedful.ops.backends.additive.scores import GRADIENTS, SCORES, additive_scores


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    query, key = torch.randn(2, 3, 5, 8, dtype=dtype), torch.randn(2, 1, 7, 8, dtype=dtype)
    vector = torch.randn(3, 8, dtype=dtype)
    return query.requires_grad_(), key.requires_grad_(), vector.requires_grad_()


# The check itself asks tensors that are no leaves for their gradients.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.parametrize("activation", ["tanh", "leaky_relu"])
def test_pytorchs_own_check(activation: str) -> None:
    query, key, vector = inputs()
    torch.library.opcheck(SCORES.dispatched, (query, key, vector, activation))
    held = [tensor.detach() for tensor in (query, key, vector)]
    torch.library.opcheck(GRADIENTS.dispatched, (*held, activation, torch.randn(2, 3, 5, 7)))


def test_compiled_whole_with_gradients() -> None:
    def loss(query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
        return (additive_scores(query.sin(), key, vector, "tanh").softmax(-1) ** 2).sum()

    tensors = inputs()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        torch.autograd.grad(compiled(*tensors), tensors),
        torch.autograd.grad(loss(*tensors), tensors),
    )


def test_exported_as_one_node() -> None:
    class Model(torch.nn.Module):
        def forward(self, query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
            return additive_scores(query, key, vector, "tanh")

    held = tuple(tensor.detach() for tensor in inputs())
    program = torch.export.export(Model(), held)
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert targets == ["heedful.additive_scores.default"]
    torch.testing.assert_close(program.module()(*held), additive_scores(*held, "tanh"))


def test_autocast_computes_in_float32() -> None:
    query, key, vector = (tensor.detach().bfloat16() for tensor in inputs())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = additive_scores(query, key, vector, "tanh")
    expected = additive_scores(query.float(), key.float(), vector.float(), "tanh")
    torch.testing.assert_close(scores, expected, rtol=0, atol=0)
