"""Shared by the backends over PyTorch's kernels: unsupported calls, the scale, and the layout of operands."""

from __future__ import annotations

from torch import Tensor
from torch.autograd import forward_ad

from heedful.ops.call import Call
from heedful.ops.finite import can_read_values, in_torch_func
from heedful.ops.scores import Dot, ScaledDot
from heedful.ops.scores.capped import uncapped


def kernel_refusal(call: Call) -> str | None:
    """Return why PyTorch's fused kernels cannot compute the call, or None."""
    if in_torch_func():
        return "torch.func has no rule for its kernel, nor for the second derivative of it"
    if forward_ad._current_level >= 0:
        return "its kernel has no forward-mode derivative"
    if call.is_masked and not can_read_values(call.query):
        return "while a call is traced it cannot be seen whether masked inputs are finite"
    return None


def query_and_scale(call: Call) -> tuple[Tensor, float]:
    """The prepared query, and the scale for the kernel, before any soft cap."""
    # The kernel scales at no cost. Other scores include their factor in the prepared features.
    score, _ = uncapped(call.score)
    if type(score) is ScaledDot:
        return call.query, score.scale_for(call.query.shape[-1])
    if type(score) is Dot:
        return call.query, 1.0
    return call.prepared_query, 1.0


def four_axes(tensor: Tensor, lead: tuple[int, ...]) -> Tensor:
    """Reshape to (batch, heads, length, features), the layout of the fused kernels, by folding or adding axes."""
    if tuple(tensor.shape[:-2]) != lead:
        tensor = tensor.expand(*lead, *tensor.shape[-2:])
    if len(lead) == 2:
        return tensor
    if len(lead) < 2:
        return tensor.reshape(*(1,) * (2 - len(lead)), *lead, *tensor.shape[-2:])
    return tensor.flatten(0, len(lead) - 2)
