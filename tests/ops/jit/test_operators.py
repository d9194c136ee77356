"""An operator made from a kernel: the same in eager mode, under torch.compile, torch.export, autocast and autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from heedful.ops.jit.kernel import kernel, launch
from heedful.ops.jit.operators import Operator, needs_dispatch


@kernel
def multiply(part, parts, left, right, out):
    for i in range(len(out) * part // parts, len(out) * (part + 1) // parts):
        out[i] = left[i] * right[i]


def product(left: Tensor, right: Tensor, power: int) -> Tensor:
    out = torch.empty_like(left)
    launch(multiply, left.reshape(-1), right.reshape(-1), out.view(-1), work=left.numel())
    return out**power


def keep(ctx: Any, inputs: Any, output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.power = inputs[2]


def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None]:
    left, right = ctx.saved_tensors
    if ctx.power != 1 or torch.is_grad_enabled():
        slope = upstream * ctx.power * (left * right) ** (ctx.power - 1)
        return slope * right, slope * left, None
    return MULTIPLY(upstream, right, 1), MULTIPLY(upstream, left, 1), None


def fake(left: Tensor, right: Tensor, power: int) -> Tensor:
    return torch.empty_like(left)


MULTIPLY = Operator(
    "test_multiply(Tensor left, Tensor right, int power) -> Tensor", product, fake, keep, backward
)
CONSTANT = Operator(
    "test_constant(Tensor left) -> Tensor", lambda left: left.clone(), torch.empty_like
)


def pair(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    return torch.rand(3, 4, dtype=dtype, requires_grad=True), torch.rand(
        3, 4, dtype=dtype, requires_grad=True
    )


def test_both_ways_give_the_same_numbers_and_gradients() -> None:
    left, right = pair()
    straight, dispatched = MULTIPLY(left, right, 2), MULTIPLY.dispatched(left, right, 2)
    torch.testing.assert_close(straight, dispatched, rtol=0, atol=0)
    torch.testing.assert_close(
        torch.autograd.grad(straight.sum(), (left, right)),
        torch.autograd.grad(dispatched.sum(), (left, right)),
        rtol=0,
        atol=0,
    )


@pytest.mark.parametrize("power", [1, 3])
def test_derivatives_first_and_second(power: int) -> None:
    left, right = pair(torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: MULTIPLY(a, b, power), (left, right))
    assert torch.autograd.gradgradcheck(lambda a, b: MULTIPLY(a, b, power), (left, right))


# The check itself asks tensors that are no leaves for their gradients.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_pytorchs_own_check_of_operators() -> None:
    left, right = pair()
    torch.library.opcheck(MULTIPLY.dispatched, (left, right, 2))
    torch.library.opcheck(MULTIPLY.dispatched, (left.detach(), right.detach(), 1))


def test_compiled_whole_with_gradients() -> None:
    def loss(left: Tensor, right: Tensor) -> Tensor:
        return (MULTIPLY(left.sin(), right, 1) + 1).sum()

    left, right = pair()
    expected = torch.autograd.grad(loss(left, right), (left, right))
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(torch.autograd.grad(compiled(left, right), (left, right)), expected)


def test_exported_as_one_node() -> None:
    class Model(torch.nn.Module):
        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return MULTIPLY(left, right, 1) + 1

    left, right = (t.detach() for t in pair())
    program = torch.export.export(Model(), (left, right))
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert targets == ["heedful.test_multiply.default", "aten.add.Tensor"]
    torch.testing.assert_close(program.module()(left, right), left * right + 1)


def test_autocast_raises_its_inputs_to_float32() -> None:
    left, right = (t.detach().bfloat16() for t in pair())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert MULTIPLY(left, right, 1).dtype == torch.float32
    with pytest.raises(TypeError, match="argument 0 of a kernel is torch.bfloat16 on cpu"):
        MULTIPLY(left, right, 1)


def test_without_a_derivative_it_says_so_when_one_is_asked_for() -> None:
    left, _ = pair()
    with pytest.raises(RuntimeError, match="heedful::test_constant has no derivative"):
        CONSTANT(left).sum().backward()


def test_who_must_see_an_operator() -> None:
    tensor = torch.ones(2)
    assert not needs_dispatch(tensor, torch.nn.Parameter(tensor), 3)
    with torch.autocast("cpu"):
        assert needs_dispatch(tensor)
    with torch._subclasses.FakeTensorMode():
        assert needs_dispatch(tensor)
    assert needs_dispatch(torch.Tensor._make_subclass(type("Mine", (Tensor,), {}), tensor))


def test_a_mode_sees_the_operator() -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    left, right = (t.detach() for t in pair())
    with Watch():
        MULTIPLY(left, right, 1)
    assert seen == ["heedful.test_multiply.default"]
