"""The output layer and its cross-entropy with label smoothing, without the whole matrix of logits."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from heedful.ops.double_backward import differentiable_gradients
from heedful.ops.products import product
from heedful.ops.softmax_loss import can_fuse, loss_and_gradient

BLOCK_BYTES = 24 * 2**20
"""How much of the logits is made at a time: rows enough for products at full speed, which add to the weight's gradient
once a block, and below the 32 MiB from which glibc gives every freed block back to the system, which costs more than
its softmax."""
TURNED_ROWS = 400
"""Rows from which the weight is turned for the gradient of the states: oneDNN then multiplies faster by more than
turning it takes."""
ACCELERATOR_BLOCK_BYTES = 512 * 2**20


def smoothed_cross_entropy(
    states: Tensor, weight: Tensor, bias: Tensor | None, wanted: Tensor, smoothing: float = 0.0
) -> Tensor:
    r"""Sum over positions of :math:`\log\sum_v e^{z_v} - (1-s)\,z_y - \frac{s}{V}\sum_v z_v`, with z = W x + b.

    The value and the gradients of `torch.nn.functional.cross_entropy(linear(states, weight, bias), wanted,
    label_smoothing=s, reduction="sum")`. The logits, by far the largest tensor of a model with a large
    vocabulary, are made block by block and never whole: the gradient of a block, softmax - (1-s)·onehot - s/V,
    takes the place of its logits and is multiplied into the gradients of states, weight and bias at once.
    What is kept for the backward pass are those gradients, and backward is one scaling of them; one that is to be
    differentiated again makes the whole matrix.

    Args:
        states: (positions, width), what the output layer reads. Under autocast the products are in its precision.
        weight: (tokens, width).
        bias: (tokens,) or None.
        wanted: (positions,), the true tokens.
        smoothing: s, the share of probability that is spread over all tokens.

    >>> states, weight = torch.tensor([[1.0], [0.0]]), torch.tensor([[2.0], [0.0]])
    >>> round(float(smoothed_cross_entropy(states, weight, None, torch.tensor([0, 1]))), 4)
    0.8201
    """
    kind = states.device.type
    precision = states.dtype
    if torch.is_autocast_enabled(kind):
        precision = torch.get_autocast_dtype(kind)
    if not torch.is_grad_enabled():
        states, weight, bias = (
            states.detach(),
            weight.detach(),
            bias.detach() if bias is not None else None,
        )
    with torch.autocast(kind, enabled=False):
        total: Tensor = _SmoothedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            states, weight, bias, wanted, smoothing, precision
        )
    return total


class _Gradients(NamedTuple):
    """Where the gradients are summed up, in float32 or wider; None where one is not wanted."""

    states: Tensor | None
    weight: Tensor | None
    """(width, tokens): turned once at the end, not in every block."""
    bias: Tensor | None


class _SmoothedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        wanted: Tensor,
        smoothing: float,
        precision: torch.dtype,
    ) -> Tensor:
        wide = torch.promote_types(weight.dtype, torch.float32)
        shaped = (states, weight.t(), bias)
        sums = _Gradients(
            *(
                None if tensor is None or not needed else tensor.new_zeros(tensor.shape, dtype=wide)
                for tensor, needed in zip(shaped, ctx.needs_input_grad, strict=False)
            )
        )
        layer = weight.to(precision), None if bias is None else bias.to(precision)
        size = BLOCK_BYTES if states.device.type == "cpu" else ACCELERATOR_BLOCK_BYTES
        rows = max(1, size // (len(weight) * precision.itemsize))
        # The gradient of one token among thousands is too small for float16, and not yet scaled up.
        back = wide if precision == torch.float16 else precision
        total = torch.zeros((), dtype=wide, device=states.device)
        is_wanted = any(ctx.needs_input_grad)
        turned = layer[0].to(back)
        if is_wanted and len(states) > TURNED_ROWS:
            turned = turned.t().contiguous().t()
        for first in range(0, len(states), rows):
            part = slice(first, first + rows)
            fed = states[part].to(precision)
            logits = product(fed, layer[0].t(), layer[1])
            loss, gradient = _block(logits, wanted[part], smoothing, wide, is_wanted)
            total += loss
            if is_wanted:
                _add(sums, part, gradient.to(back), fed.to(back), turned)
        ctx.save_for_backward(*sums, states, weight, bias)
        ctx.wanted, ctx.smoothing = wanted, smoothing
        ctx.dtypes = tuple(None if each is None else each.dtype for each in (states, weight, bias))
        return total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again

            def whole(states: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor]:
                return (_whole(F.linear(states, weight, bias), ctx.wanted, ctx.smoothing),)

            return *differentiable_gradients(whole, saved[3:], (upstream,)), None, None, None
        states, weight, bias = (
            None if sums is None else (sums * upstream).to(dtype)
            for sums, dtype in zip(saved[:3], ctx.dtypes, strict=True)
        )
        turned = None if weight is None else weight.t().contiguous()
        return states, turned, bias, None, None, None


def _whole(logits: Tensor, wanted: Tensor, smoothing: float) -> Tensor:
    """The loss of all logits."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(wide, wanted, label_smoothing=smoothing, reduction="sum")


def _block(
    logits: Tensor, wanted: Tensor, smoothing: float, wide: torch.dtype, needs_gradient: bool
) -> tuple[Tensor, Tensor]:
    """The summed loss of a block of logits, and its gradient, if it is needed."""
    if wide == torch.float32 and can_fuse(logits):
        losses = loss_and_gradient(logits, wanted, smoothing, needs_gradient=needs_gradient)
        return losses.sum(), logits
    return _plain_block(logits.to(wide), wanted[:, None], smoothing)


def _plain_block(logits: Tensor, true: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """The summed loss of a block of logits, and its gradient, by PyTorch's operators."""
    gradient = torch.softmax(logits, dim=-1)
    # log(softmax) at one token gives the log of the sum without a second pass over the row; where
    # that softmax underflows the sum is taken the long way
    picked, probability = logits.gather(1, true), gradient.gather(1, true)
    normalizer = picked - probability.log()
    if not bool((probability > torch.finfo(probability.dtype).tiny).all()):
        normalizer = torch.logsumexp(logits, dim=-1, keepdim=True)
    loss = normalizer - (1 - smoothing) * picked
    if smoothing:
        loss = loss - smoothing * logits.mean(dim=-1, keepdim=True)
        gradient.sub_(smoothing / logits.shape[-1])
    gradient.scatter_add_(1, true, torch.full_like(picked, smoothing - 1))
    return loss.sum(), gradient


def _add(sums: _Gradients, part: slice, gradient: Tensor, fed: Tensor, weight: Tensor) -> None:
    """Add what a block's gradient gives to each of the three."""
    if sums.states is not None:
        sums.states[part] = product(gradient, weight)
    if sums.weight is not None:
        sums.weight.add_(product(fed.t(), gradient))
    if sums.bias is not None:
        sums.bias.add_(gradient.sum(0, dtype=sums.bias.dtype))
