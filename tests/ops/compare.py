"""How results are compared. `test_compare.py` plants faults and sees this fail."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from heedful import Attended, attend
from tests.ops.examples import Example

# Relative to the largest number of the wanted tensor: what rounding in a different order may change.
TOLERANCE = {
    torch.float64: 1e-9,
    torch.float32: 2e-5,
    torch.bfloat16: 2e-2,
    torch.float16: 3e-3,
}


def assert_same(
    got: Tensor, wanted: Tensor, what: str = "result", *, dtype: torch.dtype | None = None
) -> None:
    """Fail unless shape and dtype are equal and no element differs by more than the dtype's tolerance."""
    assert got.shape == wanted.shape, (
        f"{what}: shape {tuple(got.shape)}, wanted {tuple(wanted.shape)}"
    )
    assert got.dtype == wanted.dtype, f"{what}: {got.dtype}, wanted {wanted.dtype}"
    tolerance = TOLERANCE[dtype or wanted.dtype]
    scale = 1.0 + float(wanted.detach().abs().max()) if wanted.numel() else 1.0
    assert bool(wanted.isfinite().all()), f"{what}: what it is compared with is not finite"
    difference = (got.detach().double() - wanted.detach().double()).abs()
    # Written so that NaN fails: no comparison with NaN is true.
    close = difference <= tolerance * scale
    worst = float(difference.nan_to_num(torch.inf).max()) if difference.numel() else 0.0
    assert bool(close.all()), (
        f"{what}: {int((~close).sum())} of {close.numel()} differ, by up to {worst}"
    )


def run(call: Example, **options: object) -> Attended:
    return attend(**call.arguments(options.get("backend")), **options)  # type: ignore[arg-type]


def gradients(
    call: Example, direction: Tensor | None = None, **options: object
) -> dict[str, Tensor]:
    """Output and gradients of ⟨direction, output⟩ with respect to every tensor of the call."""
    leaves = call.leaves()
    output = run(leaves, **options).output
    if direction is None:
        direction = (
            torch.linspace(-1, 1, output.numel(), dtype=torch.float64)
            .view(output.shape)
            .to(output.dtype)
        )
    tensors = leaves.tensors()
    found = torch.autograd.grad(output, list(tensors.values()), direction)
    return {"output": output.detach(), **dict(zip(tensors, found, strict=True))}


def assert_all_same(
    got: Mapping[str, Tensor], wanted: Mapping[str, Tensor], **options: torch.dtype
) -> None:
    assert got.keys() == wanted.keys()
    for name in wanted:
        assert_same(got[name], wanted[name], name, **options)
