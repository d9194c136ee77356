"""Second derivatives of functions whose first derivatives are written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def own_name(tensor: Tensor) -> Tensor:
    """Return the same tensor by a name of its own, for `torch.autograd.grad` to differentiate by.

    One operand may be made from another; differentiated by the operand itself, each would get the other's share too.
    """
    return tensor.view_as(tensor)


def seen_gradients(
    function: Callable[..., Sequence[Tensor]],
    tensors: Sequence[Tensor | None],
    upstream: Sequence[Tensor],
) -> tuple[Tensor | None, ...]:
    """Gradients by autograd of what `function`, the readable form, makes of tensors; autograd sees them in turn.

    For a backward pass that is asked to be differentiated, which is where gradients are enabled.

    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> (slope,) = seen_gradients(lambda x: [x**3], [x], [torch.ones(())])
    >>> slope is not None and torch.autograd.grad(slope, x)
    (tensor(18.),)
    """
    with torch.enable_grad():
        own = [None if tensor is None else own_name(tensor) for tensor in tensors]
        made = function(*own)
        wanted = [each for each in own if each is not None and each.requires_grad]
        found = iter(
            torch.autograd.grad(made, wanted, upstream, create_graph=True, allow_unused=True)
        )
    return tuple(next(found) if each is not None and each.requires_grad else None for each in own)
