"""No speed without the right result: outputs and gradients against the definition in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.bench.values import Inputs, Operation, Run, Sizes, leaves, parameters

TOLERANCE = {
    torch.float32: 1e-4,
    torch.float64: 1e-10,
    torch.bfloat16: 2e-2,
    torch.float16: 3e-3,
}
"""The largest difference that counts as rounding, in parts of the largest number of the same tensor."""
NUMBERS = 2**23
"""How many numbers the definition may make; of longer operations as many whole rows are checked as fit."""


@dataclass(frozen=True, eq=False)
class Expected:
    """What is right in one case."""

    rows: Tensor | None
    """The rows that were computed, None for all."""
    output: Tensor
    upstream: Tensor
    """The gradient that flows into those rows; into all others flows zero."""
    gradients: Mapping[str, Tensor]


def expect(operation: Operation, sizes: Sizes, inputs: Inputs) -> Expected:
    """Compute the definition in float64, of all rows or of as many as are cheap, and its gradients.

    The gradient is sent into the checked rows alone, so that these rows determine the gradient of every
    input, whole.
    """
    doubled = parameters(
        {
            name: tensor.detach().double() if tensor.is_floating_point() else tensor
            for name, tensor in inputs.items()
        }
    )
    rows = _rows(operation, sizes)
    output = operation.expected(sizes, doubled, rows)
    upstream = torch.randn(output.shape, dtype=output.dtype)
    found = torch.autograd.grad(output, leaves(doubled), upstream)
    names = [name for name, tensor in doubled.items() if tensor.requires_grad]
    return Expected(rows, output.detach(), upstream, dict(zip(names, found, strict=True)))


def _rows(operation: Operation, sizes: Sizes) -> Tensor | None:
    count = operation.rows(sizes)
    cheap = max(4, NUMBERS // max(1, operation.cost_of_row(sizes)))
    if count <= cheap:
        return None
    return torch.randperm(count)[:cheap].sort().values


def difference(
    expected: Expected, run: Run, inputs: Inputs, *, backward: bool
) -> tuple[float, str]:
    """Return the largest relative difference of a contender, and where it was found.

    A shape that differs and a number that is not finite count as infinitely different.
    """
    names = [name for name, tensor in inputs.items() if tensor.requires_grad]
    with torch.set_grad_enabled(backward):
        output = run()
    shown = output if expected.rows is None else output.index_select(-2, expected.rows)
    if shown.shape != expected.output.shape:
        return float("inf"), f"the output has shape {tuple(shown.shape)}"
    if not torch.isfinite(output).all():
        return float("inf"), "the output is not finite"
    found = {"the output": _relative(shown, expected.output)}
    if backward:
        upstream = expected.upstream.to(output.dtype)
        if expected.rows is not None:
            upstream = torch.zeros_like(output).index_copy_(-2, expected.rows, upstream)
        gradients = torch.autograd.grad(output, leaves(inputs), upstream, allow_unused=True)
        for name, gradient in zip(names, gradients, strict=True):
            right = expected.gradients[name]
            got = torch.zeros_like(right) if gradient is None else gradient
            found[f"the gradient of {name}"] = _relative(got, right)
    place = max(found, key=lambda name: found[name])
    if found[place] == float("inf"):
        return found[place], f"{place} is not finite"
    return found[place], place


def _relative(got: Tensor, right: Tensor) -> float:
    got = got.detach().to(right.dtype)
    if not torch.isfinite(got).all():
        return float("inf")
    if not right.numel():
        return 0.0
    size = float(right.abs().max())
    return float((got - right).abs().max()) / (size if size > 0 else 1.0)
