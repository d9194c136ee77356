"""Double backward: gradients by autograd of plain mathematics, for fused kernels without a second derivative."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def alias_for_grad(tensor: Tensor) -> Tensor:
    """Return a view of the whole tensor, for `torch.autograd.grad` to differentiate with respect to.

    One operand may be computed from another. Differentiating with respect to the operands themselves would then
    count the path from one through the other; their aliases are independent.
    """
    return tensor.view_as(tensor)


def differentiable_gradients(
    function: Callable[..., Sequence[Tensor]],
    tensors: Sequence[Tensor | None],
    upstream: Sequence[Tensor],
) -> tuple[Tensor | None, ...]:
    """Return the gradients of `function(*tensors)` by autograd.

    Called in a backward pass. If gradients are enabled there (`create_graph=True`), the result is differentiable too.
    Otherwise no graph is kept.

    Args:
        function: computes the outputs by operations that autograd can differentiate twice.
        tensors: its arguments; None is passed through.
        upstream: the gradient of each output.

    Returns:
        One gradient for each of `tensors`; None where it is None or requires no gradient.

    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> (slope,) = differentiable_gradients(lambda x: [x**3], [x], [torch.ones(())])
    >>> slope is not None and torch.autograd.grad(slope, x)
    (tensor(18.),)
    """
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        aliases = [None if tensor is None else alias_for_grad(tensor) for tensor in tensors]
        outputs = function(*aliases)
        wanted = [alias for alias in aliases if alias is not None and alias.requires_grad]
        found = iter(
            torch.autograd.grad(
                outputs, wanted, upstream, create_graph=create_graph, allow_unused=True
            )
        )
    return tuple(
        next(found) if alias is not None and alias.requires_grad else None for alias in aliases
    )
