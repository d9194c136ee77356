"""Whether numbers are finite is seen wherever they lie, and whichever way they are read."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from heedful.ops import blas, finite
from heedful.ops.finite import all_finite, finite_probe

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda tensor: tensor,
    "heads behind positions": lambda tensor: tensor.transpose(1, 2).contiguous().transpose(1, 2),
    "features apart": lambda tensor: torch.cat((tensor, tensor), -1)[..., : tensor.shape[-1]],
    "keys turned": lambda tensor: tensor.transpose(2, 3).contiguous().transpose(2, 3),
    "expanded": lambda tensor: tensor[:1].expand_as(tensor),
    "one axis": lambda tensor: tensor.flatten(),
    "requiring a gradient": lambda tensor: tensor.clone().requires_grad_(),
}
IN_A_ROW = ("contiguous", "heads behind positions", "one axis", "requiring a gradient")
SHAPE = (3, 2, 5, 7)  # an odd number of numbers: one is of both halves


@pytest.fixture(params=["blas", "no blas"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no blas":
        monkeypatch.setattr(finite, "product_of", lambda one, other: None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
def test_each_number_is_seen(dtype: torch.dtype, layout: str, poison: float) -> None:
    clean = LAYOUTS[layout](torch.randn(SHAPE, dtype=dtype))
    other = torch.zeros_like(clean)  # infinity times zero is seen as well
    assert finite_probe(clean) - finite_probe(clean) == 0
    assert finite_probe(clean, other) - finite_probe(other, clean) == 0
    assert all_finite(clean, other)
    for place in range(clean[:1].numel()):
        numbers = torch.randn(SHAPE, dtype=dtype)
        numbers.view(-1)[place] = poison
        spoilt = LAYOUTS[layout](numbers)
        for found in (
            finite_probe(spoilt),
            finite_probe(spoilt, other),
            finite_probe(other, spoilt),
        ):
            assert found - found != 0
        assert not all_finite(spoilt)
        assert not all_finite(other, spoilt)


def test_numbers_too_large_to_be_summed_or_squared_are_finite() -> None:
    for large in (
        torch.full(SHAPE, 3e38),
        torch.full(SHAPE, -3e38),
        torch.full(SHAPE, 1e200, dtype=torch.float64),
    ):
        assert all_finite(large)
        assert all_finite(large, large)


def test_tensors_of_other_sizes_are_read_too() -> None:
    for one, other in ((torch.ones(3), torch.ones(4)), (torch.ones(3), torch.ones(3).double())):
        assert finite_probe(one, other) in (6.0, 7.0)
        assert finite_probe(one, other * torch.inf) == torch.inf
    assert finite_probe(torch.ones(0)) == 0
    assert finite_probe(torch._efficientzerotensor(3), torch.ones(3)) - 3 in (0, -3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_lies_in_a_row_is_read_by_blas_where_there_is_one(layout: str) -> None:
    for dtype in (torch.float32, torch.float64):
        tensor = LAYOUTS[layout](torch.randn(SHAPE, dtype=dtype)).detach()
        found = blas.product_of(tensor, tensor.clone(memory_format=torch.preserve_format))
        if dtype not in blas.dots() or layout not in IN_A_ROW:
            assert found is None
        else:
            torch.testing.assert_close(found, tensor.square().sum().item())
    assert blas.product_of(tensor.bfloat16(), tensor.bfloat16()) is None
    assert blas.product_of(tensor, torch.empty(SHAPE, device="meta", dtype=torch.float64)) is None
    assert blas.product_of(torch.ones(0), torch.ones(0)) is None


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="this PyTorch has another BLAS")
def test_the_blas_of_pytorch_is_found() -> None:
    assert blas.dots().keys() == blas.KINDS.keys()


def test_a_function_that_returns_another_kind_of_number_is_not_used() -> None:
    def double(*arguments: object) -> float:
        return 14.0

    given = ctypes.CFUNCTYPE(ctypes.c_double, *[ctypes.c_void_p] * 5)(double)

    class Library:
        right = given
        wrong = ctypes.CFUNCTYPE(ctypes.c_float, *[ctypes.c_void_p] * 5)(lambda *arguments: 13.0)

    library: ctypes.CDLL = Library()  # type: ignore[assignment]
    assert blas._verified(library, "missing", ctypes.c_double) is None
    assert blas._verified(library, "wrong", ctypes.c_float) is None
    assert blas._verified(library, "right", ctypes.c_double) is not None


def test_without_pytorchs_library_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas.torch, "__file__", "nowhere/torch/__init__.py")
    assert blas.dots.__wrapped__() == {}
