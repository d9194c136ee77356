"""Compiled computations as operators of PyTorch, so that torch.compile, torch.export and autocast can handle them.

What traces a program must meet an operator that it need not look into; a program that runs as it stands should not pay
for one: the dispatcher takes 13 µs a call with a gradient and 5 without, a plain autograd function 4, a call 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Outputs = Tensor | tuple[Tensor, ...]

PLAIN_TENSORS = frozenset({Tensor, torch.nn.Parameter})
"""Classes of tensors that are their numbers and nothing more: any other may give an operation another meaning."""

_library = torch.library.Library("heedful", "FRAGMENT")


class Operator:
    """`heedful::name`, callable: through PyTorch's dispatcher where something traces or casts, else straight.

    Args:
        schema: `name(Tensor a, int b) -> Tensor`, in the language of `torch.library`.
        run: computes it on the CPU, from tensors and scalars in the schema's order. Results are new memory.
        fake: the same from tensors that have no values: empty results of the right shape, strides and dtype.
        keep: stores on a context, from all inputs and the output, what `backward` will want.
        backward: from that context and the gradients of the outputs, the gradient of each input, None for a
            scalar. In it, gradients are recorded where a second derivative is wanted: then it must take
            differentiable operations, and may take others where they are not.
        on_gpu: whether `run` takes tensors on CUDA too.

    Under autocast the floating-point inputs become float32 first.
    """

    def __init__(
        self,
        schema: str,
        run: Callable[..., Outputs],
        fake: Callable[..., Outputs],
        keep: Callable[[Any, Sequence[Any], Any], None] | None = None,
        backward: Callable[..., Any] | None = None,
        *,
        on_gpu: bool = False,
    ) -> None:
        self.name = schema.partition("(")[0]
        self.run = run
        qualified = f"heedful::{self.name}"
        _library.define(schema)
        torch.library.register_fake(qualified, fake, lib=_library)
        for device in ("cpu", "cuda") if on_gpu else ("cpu",):
            _library.impl(self.name, run, device.upper())
            torch.library.register_autocast(qualified, device, torch.float32, lib=_library)
        if backward is not None:
            torch.library.register_autograd(qualified, backward, setup_context=keep, lib=_library)
        self.function = _function(self.name, run, keep, backward)
        self.dispatched: Any = getattr(getattr(torch.ops.heedful, self.name), "default")  # noqa: B009

    def __call__(self, *arguments: Any) -> Any:
        """Compute it."""
        if needs_dispatch(*arguments):
            return self.dispatched(*arguments)
        if torch.is_grad_enabled():
            for argument in arguments:
                if isinstance(argument, Tensor) and argument.requires_grad:
                    return self.function.apply(*arguments)
        return self.run(*arguments)


def needs_dispatch(*arguments: object) -> bool:
    """Whether an operator has to go through PyTorch's dispatcher.

    True under tracing, a dispatch mode, autocast, or for a tensor subclass.
    """
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return True
    if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
        return True
    # any() with a generator would enter a function for each argument.
    for argument in arguments:  # noqa: SIM110
        if isinstance(argument, Tensor) and type(argument) not in PLAIN_TENSORS:
            return True
    return False


def _function(
    name: str,
    run: Callable[..., Outputs],
    keep: Callable[[Any, Sequence[Any], Any], None] | None,
    backward: Callable[..., Any] | None,
) -> Any:
    """The same formula for autograd without the dispatcher.

    PyTorch would take `keep` apart from the forward pass too, as `setup_context`, at four times the cost of a call.
    """

    def forward(ctx: Any, *arguments: Any) -> Outputs:
        output = run(*arguments)
        if keep is not None:
            keep(ctx, arguments, output)
        return output

    def differentiate(ctx: Any, *upstream: Any) -> Any:
        if backward is None:
            raise RuntimeError(f"heedful::{name} has no derivative")
        return backward(ctx, *upstream)

    members = {"forward": staticmethod(forward), "backward": staticmethod(differentiate)}
    return type(f"heedful_{name}", (torch.autograd.Function,), members)
