"""PyTorch's fused scaled_dot_product_attention, for the calls that it serves exactly."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from heedful.ops.backends.base import Backend, Cost, as_given, score_bytes
from heedful.ops.backends.reference import Reference, prepare, row_weights
from heedful.ops.call import Attended, Call, bias_at, bias_tensors
from heedful.ops.finite import all_finite, inside_func
from heedful.ops.masks import Causal
from heedful.ops.normalizers import Softmax
from heedful.ops.scores import Dot, ScaledDot

# Where PyTorch's kernel does not take a call, it forms the scores like plain mathematics does.
UNFUSED = Cost(
    call=25e-6,
    backward_call=70e-6,
    multiply_add=0.016e-9,
    cell=2.4e-9,
    transcendental=0.0,
    backward=2.3,
)


class SDPA(Backend):
    """Scores whose pair is an inner product, under softmax."""

    name: ClassVar[str] = "sdpa"
    why: ClassVar[str] = "PyTorch's fused kernel serves this call exactly"
    cost: ClassVar[Cost] = Cost(
        call=15e-6,
        backward_call=30e-6,
        multiply_add=0.016e-9,
        cell=1.4e-9,
        transcendental=0.0,
        backward=2.3,
    )

    def supports(self, call: Call) -> str | None:
        if call.score.pair_kind != "dot":
            return f"it computes inner products, and the {call.score.name} score's pair is {call.score.pair_kind}"
        if not isinstance(call.normalizer, Softmax):
            return f"it normalizes by softmax, not by {call.normalizer.name}"
        return refusal_of_numbers(call)

    def is_fused(self, call: Call) -> bool:
        """Whether PyTorch has a kernel for it that never builds queries × keys."""
        if call.dropout_p or call.value_features != call.pair_features:
            return False
        return not any(tensor.requires_grad for tensor in bias_tensors(call.bias))

    def seconds(self, call: Call) -> float:
        if call.score.pair_kind != "dot" or not isinstance(call.normalizer, Softmax):
            return math.inf
        return super().seconds(call)

    def cost_of(self, call: Call) -> Cost:
        return self.cost if self.is_fused(call) else UNFUSED

    def bytes_at_once(self, call: Call) -> int:
        return 0 if self.is_fused(call) else score_bytes(call)

    def bytes_kept(self, call: Call) -> int:
        if not call.needs_gradient:
            return 0
        width = 4 if _widens(call) else call.query.element_size()
        inputs = call.prepared_query.numel() + call.prepared_key.numel() + call.value.numel()
        output = call.lead_size * call.num_queries * (call.value.shape[-1] + 1)
        dense = 0 if _is_causal(call) or not call.masks else call.cells
        weights = 0 if self.is_fused(call) else call.cells * (2 if call.dropout_p else 1)
        return (inputs + output + dense + weights) * width

    def run(self, call: Call) -> Attended:
        query, scale = query_and_scale(call)
        key, value = call.prepared_key.to(query.dtype), call.value
        key_lead = (*call.lead[:-1], call.lead[-1] // call.groups) if call.groups > 1 else call.lead
        causal = bool(_is_causal(call))  # While traced, lengths are tensors.
        added = None if causal else _added(call)
        empty = None
        if added is not None and not added.is_cpu:
            added, empty = _open_empty_rows(added)
        if _widens(call):
            # At the sizes of sentences PyTorch's half-precision CPU kernel takes ten times as long as float32.
            query, key, value = query.float(), key.float(), value.float()
        with as_given(query.device):
            output = F.scaled_dot_product_attention(
                four_axes(query, call.lead),
                four_axes(key, key_lead),
                four_axes(value.to(query.dtype), key_lead),
                attn_mask=added
                if added is None or added.ndim == 2
                else four_axes(added, _shared(added, call)),
                dropout_p=call.dropout_p,
                is_causal=causal,
                scale=scale,
                enable_gqa=call.groups > 1,
            )
        output = output.reshape(*call.lead, call.num_queries, value.shape[-1]).to(call.query.dtype)
        if empty is not None:
            output = torch.where(empty, 0.0, output)
        if call.masks and not all_finite(output):
            # Finite numbers behind the mask were so large that a product with them overflowed, and the kernel adds
            # its minus infinity to that.
            return Reference().run(call)
        return Attended(output, weights_of(call) if call.return_weights else None)


def refusal_of_numbers(call: Call) -> str | None:
    """Why a kernel outside our mathematics cannot have this call's numbers, or None where it can."""
    if inside_func():
        return "torch.func has no rule for its kernel, nor for the second derivative of it"
    if not call.masks:
        return None
    if not call.looked_at:
        return "while a call is traced it cannot be seen whether masked inputs are finite"
    if not call.known_finite:
        return "the inputs hold NaN or infinity, which its products carry from behind the mask"
    return None


def _widens(call: Call) -> bool:
    return call.query.is_cpu and call.query.dtype in (torch.bfloat16, torch.float16)


def weights_of(call: Call) -> Tensor:
    """The weights by plain mathematics, for a backend that does not form them."""
    operands = prepare(call)
    with as_given(call.query.device):
        weights, _ = row_weights(operands, call.rows, operands.query)
    return weights.to(call.query.dtype)


def query_and_scale(call: Call) -> tuple[Tensor, float]:
    """The prepared query, and the factor that the kernel shall multiply its products by."""
    # The kernel scales for free; every other score brings its factor inside its prepared features.
    if type(call.score) is ScaledDot:
        return call.query, call.score.scale_for(call.query.shape[-1])
    if type(call.score) is Dot:
        return call.query, 1.0
    return call.prepared_query, 1.0


def _is_causal(call: Call) -> bool:
    mask = call.mask
    return (
        type(mask) is Causal
        and call.bias is None
        and (mask.align == "top_left" or call.num_queries == call.num_keys)
    )


def _added(call: Call) -> Tensor | None:
    """Mask and bias as the one tensor that the kernel adds or keeps by."""
    rows = call.rows
    keep = None if call.mask is None else call.mask.tile(rows)
    if call.bias is None:
        return keep
    # In half precision, biases as far apart as those of distant positions would be rounded to the same number.
    dtype = torch.float32 if _widens(call) else query_and_scale(call)[0].dtype
    bias = bias_at(call.bias, rows).to(dtype)
    return bias if keep is None else torch.where(keep, bias, -torch.inf)


def _open_empty_rows(added: Tensor) -> tuple[Tensor, Tensor | None]:
    """Let rows that may attend to nothing see everything, and mark them: the caller writes 0 over their output.

    The kernels of a processor give such rows 0 by themselves; those of accelerators differ among each other.
    """
    keep = added if added.dtype == torch.bool else added != -torch.inf
    empty = ~keep.any(-1, keepdim=True)
    if not bool(empty.any()):
        return added, None
    opened = added | empty if added.dtype == torch.bool else torch.where(empty, 0.0, added)
    return opened, empty


def _shared(added: Tensor, call: Call) -> tuple[int, ...]:
    """Leading axes for the added tensor: four axes broadcast by themselves, more must be folded whole."""
    if len(call.lead) > 2:
        return call.lead
    missing = len(call.lead) + 2 - added.ndim
    return (*(1,) * missing, *added.shape[:-2])


def four_axes(tensor: Tensor, lead: tuple[int, ...]) -> Tensor:
    """Fold or add leading axes until there are (batch, heads): the fused kernels want just four axes."""
    if tuple(tensor.shape[:-2]) != lead:
        tensor = tensor.expand(*lead, *tensor.shape[-2:])
    if len(lead) == 2:
        return tensor
    if len(lead) < 2:
        return tensor.reshape(*(1,) * (2 - len(lead)), *lead, *tensor.shape[-2:])
    return tensor.flatten(0, len(lead) - 2)
