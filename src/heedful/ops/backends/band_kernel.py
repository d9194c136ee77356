"""Fused attention over blocks: PyTorch's own operators where they can be had, its public function otherwise.

The operators hand out the sum of exponentials that the backward pass needs, so that one pass forward and one backward
suffice, outside autograd, on as few blocks at a time as stay in the cache. They are private to PyTorch: where they
are missing or want other arguments, the public function computes the same, and twice.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

NAME = "_scaled_dot_product_flash_attention_for_cpu"
FORWARD = (
    "(Tensor query, Tensor key, Tensor value, float dropout_p=0., bool is_causal=False, *, "
    "Tensor? attn_mask=None, float? scale=None) -> (Tensor output, Tensor logsumexp)"
)
BACKWARD = (
    "(Tensor grad_out, Tensor query, Tensor key, Tensor value, Tensor out, Tensor logsumexp, "
    "float dropout_p, bool is_causal, *, Tensor? attn_mask=None, float? scale=None) -> "
    "(Tensor grad_query, Tensor grad_key, Tensor grad_value)"
)


def has_operators() -> bool:
    """Whether this PyTorch has the operators, with the arguments that are given here."""
    return all(
        getattr(torch.ops.aten, name, None) is not None
        and str(getattr(torch.ops.aten, name).default._schema) == f"aten::{name}{signature}"
        for name, signature in ((NAME, FORWARD), (f"{NAME}_backward", BACKWARD))
    )


OPERATORS = has_operators()


def forward(
    query: Tensor, key: Tensor, value: Tensor, added: Tensor, scale: float
) -> tuple[Tensor, Tensor | None]:
    """Output (blocks, heads, rows, features), and what `backward` wants to know of each row."""
    if OPERATORS:
        operator = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        output, sums = operator(query, key, value, attn_mask=added, scale=scale)
        return output, sums
    return F.scaled_dot_product_attention(query, key, value, attn_mask=added, scale=scale), None


def backward(
    gradient: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    sums: Tensor,
    added: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value."""
    if OPERATORS:
        operator = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        found: tuple[Tensor, Tensor, Tensor] = operator(
            gradient, query, key, value, output, sums, 0.0, False, attn_mask=added, scale=scale
        )
        return found
    leaves = [tensor.detach().requires_grad_() for tensor in (query, key, value)]
    with torch.enable_grad():
        output, _ = forward(leaves[0], leaves[1], leaves[2], added, scale)
    for_query, for_key, for_value = torch.autograd.grad(output, leaves, gradient)
    return for_query, for_key, for_value
