"""The compiled gates of a step against the readable cells and what autograd makes of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from heedful.nn import recurrent_steps
from heedful.nn.recurrent_steps import DIFFERENTIABLE_CELLS, STEP_FUNCTIONS, Into
from heedful.ops.jit.kernel import unavailable

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
pytestmark = pytest.mark.skipif(unavailable() is not None, reason="no compiled kernels here")


def given(kind: str, rows: int, width: int, scale: float) -> list[Tensor]:
    """Gates, the recurrent share as part of a wider tensor, and the state; float64."""
    torch.manual_seed(0)
    gates = GATES[kind] * width
    recurrent = torch.randn(rows, 5 + gates)[:, 5:]
    parts = [torch.tanh(torch.randn(rows, width)) for _ in range(2 if kind == "lstm" else 1)]
    made = [scale * torch.randn(rows, gates), scale * recurrent, *parts]
    return [each.double().requires_grad_() for each in made]


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize(("rows", "width"), [(1, 1), (3, 17), (64, 256)])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_both_ways_are_the_cells(kind: str, rows: int, width: int, scale: float) -> None:
    tensors = given(kind, rows, width, scale)
    after = DIFFERENTIABLE_CELLS[kind](tensors[0], tensors[1], tuple(tensors[2:]))
    upstream = [torch.randn_like(each) for each in after]
    wanted = torch.autograd.grad(after, tensors, upstream, allow_unused=True)
    gates, recurrent, *before = (each.detach().float() for each in tensors)
    wide = torch.zeros(rows, 5 + recurrent.shape[1])
    wide[:, 5:] = recurrent
    taken = STEP_FUNCTIONS[kind].forward(gates, wide[:, 5:], tuple(before))
    torch.testing.assert_close(list(taken.after), [e.float() for e in after], atol=2e-6, rtol=1e-5)
    into = Into(torch.empty_like(gates), torch.empty_like(wide)[:, 5:])
    above = tuple(each.float() for each in upstream)
    past = STEP_FUNCTIONS[kind].backward(taken.kept, wide[:, 5:], tuple(before), above, into)
    expected = [torch.zeros_like(before[0]) if e is None else e.float() for e in wanted]
    torch.testing.assert_close([*into, *past], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_what_is_not_a_number_stays_so_in_its_row(kind: str) -> None:
    gates, recurrent, *before = (each.detach().float() for each in given(kind, 3, 20, 1.0))
    gates[1] = torch.nan
    after = STEP_FUNCTIONS[kind].forward(gates, recurrent, tuple(before)).after[0]
    assert after[1].isnan().all()
    assert after[[0, 2]].isfinite().all()


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_without_kernels_it_is_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gates, recurrent, *before = (each.detach().float() for each in given(kind, 5, 33, 1.0))
    compiled = STEP_FUNCTIONS[kind].forward(gates, recurrent, tuple(before))
    monkeypatch.setattr(recurrent_steps, "unavailable", lambda: "told so")
    plain = STEP_FUNCTIONS[kind].forward(gates, recurrent, tuple(before))
    torch.testing.assert_close(compiled, plain, atol=1e-6, rtol=1e-5)
