"""PyTorch's FlexAttention on CUDA, which skips fully masked blocks of queries × keys."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.attention import flex_attention as flex

from heedful.ops.backends.base import Backend, Cost, without_autocast
from heedful.ops.backends.plain import attend_plainly
from heedful.ops.backends.reference import weights_of
from heedful.ops.backends.torch_kernels import (
    four_axes,
    kernel_refusal,
    query_and_scale,
)
from heedful.ops.call import Attended, Call, bias_at
from heedful.ops.cells import Pairs
from heedful.ops.masks import Edges, Mask
from heedful.ops.normalizers import SinkSoftmax, Softmax
from heedful.ops.positions import PositionBias
from heedful.ops.rows import Rows
from heedful.ops.scores.base import PRODUCT_KINDS
from heedful.ops.scores.capped import uncapped

Scores = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


class Flex(Backend):
    """Inner products, capped or not, under softmax with or without a sink; any mask but a list of edges, any bias.

    Dong et al. 2024, https://arxiv.org/abs/2412.05496. `score_mod` and `mask_mod` evaluate the masks and biases of
    `heedful.ops` at one query-key pair, so that none is defined twice.
    """

    name: ClassVar[str] = "flex"
    length_rank: ClassVar[int] = 3
    why: ClassVar[str] = "FlexAttention's kernel skips the blocks that the mask hides whole"
    # Compiles once per kind of mask and evaluates the mask in each call, so sdpa is preferred where both are fused.
    cost: ClassVar[Cost] = Cost(
        call=300e-6,
        backward_call=300e-6,
        multiply_add=0.014e-9,
        cell=1.2e-9,
        transcendental=0.0,
        backward=2.3,
    )

    def supports(self, call: Call) -> str | None:
        if not call.query.is_cuda:
            return "its fused kernel is for CUDA; on a processor it has no backward pass"
        return self.refusal(call)

    def refusal(self, call: Call) -> str | None:
        """Return why the call is not supported on any device, or None."""
        if call.score.pair_kind not in PRODUCT_KINDS:
            return f"it computes inner products, and the {call.score.name} score's pair is {call.score.pair_kind}"
        if not isinstance(call.normalizer, Softmax | SinkSoftmax):
            return f"it normalizes by softmax, not by {call.normalizer.name}"
        if call.dropout_p:
            return "it has no dropout"
        if call.query.dtype == torch.float64:
            return "its kernel has no float64"
        if call.mask is not None and any(isinstance(part, Edges) for part in call.mask.parts()):
            return "it looks at one cell at a time, and to look for it in a list of edges takes too long"
        return kernel_refusal(call)

    def is_fused(self, call: Call) -> bool:
        return True

    def bytes_at_once(self, call: Call) -> int:
        return 0

    def bytes_kept(self, call: Call) -> int:
        if not call.needs_gradient:
            return 0
        inputs = call.prepared_query.numel() + call.prepared_key.numel() + call.value.numel()
        output = call.lead_size * call.num_queries * call.value.shape[-1]
        log_sums = call.lead_size * call.num_queries * 4
        return (inputs + output) * call.query.element_size() + log_sums

    def run(self, call: Call) -> Attended:
        if call.is_masked and not call.known_finite:
            # Its products would propagate masked NaN and infinity.
            return attend_plainly(call)
        query, scale = query_and_scale(call)
        key_lead = (*call.lead[:-1], call.lead[-1] // call.groups) if call.groups > 1 else call.lead
        has_sink = isinstance(call.normalizer, SinkSoftmax)
        with without_autocast(query.device):
            output, aux = _kernel(query.is_cuda)(
                four_axes(query, call.lead),
                four_axes(call.prepared_key.to(query.dtype), key_lead),
                four_axes(call.value.to(query.dtype), key_lead),
                score_mod=_score_mod(uncapped(call.score)[1], call.bias, call.rows),
                block_mask=None if call.mask is None else _blocks(call.mask, call.rows),
                scale=scale,
                enable_gqa=call.groups > 1,
                return_aux=flex.AuxRequest(lse=has_sink),
            )
        output = output.reshape(*call.lead, call.num_queries, call.value.shape[-1])
        if isinstance(call.normalizer, SinkSoftmax):
            # exp(e) / (exp(sink) + Σ exp(e)) = softmax(e) · σ(ln Σ exp(e) − sink)
            sums = aux.lse.reshape(*call.lead, call.num_queries, 1)
            output = output * torch.sigmoid(sums - call.normalizer.of_rows(sums))
        weights = weights_of(call) if call.return_weights else None
        return Attended(output.to(call.query.dtype), weights)


def _cell(rows: Rows, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Pairs:
    """One query-key pair from FlexAttention's indices; its batch axis folds all leading axes but the last."""
    lead = rows.lead
    index = [head] if lead else []
    for size in reversed(lead[:-1]):
        index.insert(0, batch % size)
        batch = batch // size
    return Pairs(query, key, rows.num_queries, rows.num_keys, lead, tuple(index))


# The closures of these two functions are traced. They capture the mask or bias and sizes, no differentiable tensor.
def _score_mod(cap: float, bias: Tensor | PositionBias | None, rows: Rows) -> Scores | None:
    if bias is None and not cap:
        return None
    # A tensor: a compiler turns a captured number that changes into a symbol, which the kernel cannot take.
    limit = torch.full((), cap, device=rows.device)

    has_cap = cap > 0

    def change(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        if has_cap:
            score = limit * (score / limit).tanh()
        if bias is None:
            return score
        return score + bias_at(bias, _cell(rows, batch, head, query, key)).to(score.dtype)

    return change


def _blocks(mask: Mask, rows: Rows) -> flex.BlockMask:
    def keep(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return mask.at(_cell(rows, batch, head, query, key))

    heads = rows.lead[-1] if rows.lead else 1
    # A mask without tensors is the same for every sequence and head.
    shared = not mask.tensors()
    return flex.create_block_mask(
        keep,
        None if shared else math.prod(rows.lead) // heads,
        None if shared else heads,
        rows.num_queries,
        rows.num_keys,
        device=rows.device,
    )


@cache
def _kernel(compiled: bool) -> Callable[..., Any]:
    """The fused kernel, compiled on CUDA; not compiled in tests on a CPU."""
    kernel: Callable[..., Any] = flex.flex_attention
    return torch.compile(kernel) if compiled else kernel
