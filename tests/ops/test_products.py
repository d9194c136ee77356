"""Matrix products by oneDNN against those of PyTorch: results, gradients, and who is asked when."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from heedful.nn.linear import Linear
from heedful.ops import products
from heedful.ops.products import LEAST_WORK, crossed, linear, matmul, prefers_onednn, product

ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None) is not None


@pytest.fixture(params=[True, False], ids=["onednn", "torch"])
def onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both ways on any processor, and for products of any size."""
    if request.param and not ONEDNN:
        pytest.skip("this PyTorch has no oneDNN")
    monkeypatch.setattr(products, "prefers_onednn", lambda: request.param)
    monkeypatch.setattr(products, "LEAST_WORK", 1)
    return bool(request.param)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lead", [(5,), (1,), (2, 3), (0,), ()])
def test_linear_is_pytorchs(onednn: bool, lead: tuple[int, ...], bias: bool) -> None:
    leaves = [torch.randn(*lead, 7), torch.randn(3, 7), torch.randn(3)][: 3 if bias else 2]
    results = []
    for function in (linear, F.linear):
        given: list[Any] = [leaf.clone().requires_grad_() for leaf in leaves]
        output = function(*given)
        (output * torch.linspace(-1, 1, 3)).sum().backward()
        results.append([output, *(leaf.grad for leaf in given)])
    torch.testing.assert_close(results[0], results[1])


def test_views_of_any_strides(onednn: bool) -> None:
    inputs, weight = torch.randn(7, 10)[:, ::2].t(), torch.randn(7, 3).t()
    torch.testing.assert_close(linear(inputs, weight), F.linear(inputs, weight))
    left, right = torch.randn(4, 6)[::2], torch.randn(5, 6)[:, :6].t()
    torch.testing.assert_close(product(left, right, torch.ones(5)), left @ right + 1)
    for narrow, wide in ((3, 8), (8, 3)):
        a, b = torch.randn(2 * narrow, 6).t()[:, ::2], torch.randn(6, wide)
        torch.testing.assert_close(crossed(a, b), a.t() @ b)


def test_matmul_is_pytorchs(onednn: bool) -> None:
    for shape in ((7, 3), (2, 7, 3)):
        tokens, weight = torch.randn(2, 4, 7), torch.randn(shape)
        torch.testing.assert_close(matmul(tokens, weight), tokens @ weight)


def test_only_wanted_gradients(onednn: bool) -> None:
    weight = torch.randn(3, 7, requires_grad=True)
    linear(torch.randn(4, 7), weight).sum().backward()
    assert weight.grad is not None
    inputs = torch.randn(4, 7, requires_grad=True)
    linear(inputs, weight.detach()).sum().backward()
    torch.testing.assert_close(inputs.grad, weight.detach().sum(0).expand(4, 7))


def test_second_derivatives(onednn: bool) -> None:
    leaves = [torch.randn(4, 7, requires_grad=True), torch.randn(3, 7, requires_grad=True)]
    found = []
    for function in (linear, F.linear):
        first = torch.autograd.grad(function(*leaves).square().sum(), leaves, create_graph=True)
        total = first[0].square().sum() + first[1].square().sum()
        found.append(torch.autograd.grad(total, leaves))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is")  # PyTorch calls it for forward mode
def test_transforms_and_autocast_get_pytorchs_own(onednn: bool) -> None:
    inputs, weight = torch.randn(4, 7), torch.randn(3, 7)
    wanted = F.linear(inputs, weight)
    torch.testing.assert_close(torch.func.vmap(lambda row: linear(row, weight))(inputs), wanted)
    jacobian = torch.func.jacrev(lambda x: linear(x, weight))(inputs[0])
    torch.testing.assert_close(jacobian, weight)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(inputs, inputs)
        output = torch.autograd.forward_ad.unpack_dual(linear(dual, weight))
        torch.testing.assert_close(output.tangent, wanted)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(inputs, weight).dtype == torch.bfloat16
    assert linear(inputs.double(), weight.double()).dtype == torch.float64


def test_the_choice_depends_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    able = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available() and ONEDNN
    for maker in ("AuthenticAMD", "GenuineIntel", ""):
        prefers_onednn.cache_clear()
        monkeypatch.setattr(products, "maker", lambda maker=maker: maker)
        assert prefers_onednn() == (wide and able and maker == "AuthenticAMD")
    prefers_onednn.cache_clear()


def test_small_products_stay_where_calls_are_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*tensors: object) -> bool:
        raise AssertionError("asked about a small product")

    monkeypatch.setattr(products, "_can_use_onednn", refuse)
    assert linear(torch.ones(2, 3), torch.ones(4, 3)).shape == (2, 4)
    assert LEAST_WORK > 2 * 3 * 4


def test_an_exported_product_takes_any_number_of_rows() -> None:
    rows = torch.export.Dim("rows")
    layer = Linear(3, 5)
    program = torch.export.export(layer, (torch.randn(7, 3),), dynamic_shapes=({0: rows},))
    many = torch.randn(200_000, 3)  # Where the layer itself goes another way than below.
    torch.testing.assert_close(program.module()(many), layer(many))
