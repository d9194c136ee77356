"""PyTorch's fused scaled_dot_product_attention, for inner-product scores under softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from heedful.ops.backends.base import (
    Backend,
    Cost,
    copy_seconds,
    read_seconds,
    score_bytes,
    threads,
    without_autocast,
)
from heedful.ops.backends.plain import attend_plainly
from heedful.ops.backends.reference import weights_of
from heedful.ops.backends.sdpa.double_backward import with_second_derivatives
from heedful.ops.backends.sdpa.mask import mask_builder
from heedful.ops.backends.torch_kernels import four_axes, kernel_refusal
from heedful.ops.call import Attended, Call, bias_tensors
from heedful.ops.finite import all_finite, finite_probe
from heedful.ops.jit.processor import has_wide_vectors
from heedful.ops.masks import Causal
from heedful.ops.normalizers import Softmax
from heedful.ops.scores import Dot, PreparedKey, ScaledDot

TILE = 16 if has_wide_vectors() else 8
"""Queries, and keys, of a tile of PyTorch's fused CPU kernel."""
FEW_QUERIES = 2
"""Queries that a tile of fewer than TILE costs beyond its own."""
HEAD_SECONDS, MASKED_HEAD_SECONDS = 0.7e-6, 1.3e-6
"""Fixed cost of a head, and of one under a mask of pairs."""
# Cost model of calls that PyTorch's fused kernel does not support: PyTorch then builds the score matrix.
UNFUSED = Cost(
    call=25e-6,
    backward_call=70e-6,
    multiply_add=0.016e-9,
    cell=3.2e-9,
    transcendental=0.0,
    backward=2.0,
    head=0.5e-6,
)


class SDPA(Backend):
    """Inner-product scores under softmax."""

    name: ClassVar[str] = "sdpa"
    length_rank: ClassVar[int] = 2
    why: ClassVar[str] = "PyTorch's fused kernel serves this call exactly"
    mask_seconds: ClassVar[float] = 8e-6
    cost: ClassVar[Cost] = Cost(
        call=15e-6,
        backward_call=30e-6,
        multiply_add=0.016e-9,
        cell=0.95e-9,
        transcendental=0.0,
        backward=2.6,
    )

    def supports(self, call: Call) -> str | None:
        if call.score.pair_kind != "dot":
            return f"it computes inner products, and the {call.score.name} score's pair is {call.score.pair_kind}"
        if not isinstance(call.normalizer, Softmax):
            return f"it normalizes by softmax, not by {call.normalizer.name}"
        return kernel_refusal(call)

    def is_fused(self, call: Call) -> bool:
        """Whether PyTorch has a fused kernel for the call, which never builds queries × keys."""
        if call.dropout_p or call.value_features != call.pair_features:
            return False
        return not any(tensor.requires_grad for tensor in bias_tensors(call.bias))

    def seconds(self, call: Call) -> float:
        if call.score.pair_kind != "dot" or not isinstance(call.normalizer, Softmax):
            return math.inf
        numbers = call.lead_size * call.num_keys * (call.pair_features + call.value_features)
        widened = copy_seconds(numbers * 4 // call.groups) if _widens(call) else 0.0
        if not self.is_fused(call):
            return super().seconds(call) + widened
        # The fused kernel computes whole tiles; few queries take as long as two more would.
        queries, keys = (-(-size // TILE) * TILE for size in (call.num_queries, call.num_keys))
        if call.num_queries < TILE:
            queries = min(queries, call.num_queries + FEW_QUERIES)
            widened += read_seconds(4 * numbers) / threads()
        tiles = self.seconds_for(call, call.lead_size * queries * keys)
        head = MASKED_HEAD_SECONDS if call.is_masked and not _is_causal(call) else HEAD_SECONDS
        heads = head * call.lead_size * (3 if call.needs_gradient else 1)
        heads *= min(1.0, queries / TILE)
        return widened + tiles + heads + super().seconds(call) - self.seconds_for(call, call.cells)

    def mask_cell_seconds(self, call: Call) -> float:
        return 0.5e-9

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
        dense = 0 if _is_causal(call) or not call.is_masked else call.cells
        weights = 0 if self.is_fused(call) else call.cells * (2 if call.dropout_p else 1)
        return (inputs + output + dense + weights) * width

    def run(self, call: Call) -> Attended:
        return self.bind(call)(call)

    def bind(self, call: Call) -> Callable[[Call], Attended]:
        return FusedCall(call)


class FusedCall:
    """`SDPA.run` specialised to a signature: everything static is computed in the constructor."""

    __slots__ = (
        "checks_value",
        "gqa",
        "is_causal",
        "is_masked",
        "is_plain",
        "key_lead",
        "lead",
        "mask",
        "needs_no_reshape",
        "scale",
        "widens",
    )  # fmt: skip

    def __init__(self, call: Call) -> None:
        plain = type(call.score) is ScaledDot or type(call.score) is Dot
        self.scale = (
            call.score.scale_for(call.query.shape[-1])
            if isinstance(call.score, ScaledDot) and plain
            else 1.0
        )
        self.gqa = call.groups > 1
        self.lead = call.lead
        self.key_lead = (*self.lead[:-1], self.lead[-1] // call.groups) if self.gqa else self.lead
        sides = (call.query.shape[:-2], self.lead), (call.key_features.shape[:-2], self.key_lead), (
            call.value.shape[:-2], self.key_lead
        )  # fmt: skip
        self.widens = _widens(call)
        device = call.query.device.type
        in_autocast = device != "meta" and torch.is_autocast_enabled(device)
        has_four_axes = len(self.lead) == 2 and all(tuple(got) == lead for got, lead in sides)
        self.needs_no_reshape = has_four_axes and not in_autocast
        # The kernel scales at no cost. Other scores include their factor in the prepared features.
        self.is_plain = plain
        self.is_causal = bool(_is_causal(call))  # while traced, lengths are tensors
        self.mask = None if self.is_causal else mask_builder(call)
        self.is_masked = call.is_masked
        # The last query attends to all keys unless there are more keys than queries. Only then can a value stay masked
        # in all rows, where a finite output does not imply that it is finite.
        self.checks_value = self.is_causal and call.num_keys > call.num_queries

    def __call__(self, call: Call) -> Attended:
        query, key, value = call.query, call.key, call.value
        if not self.is_plain:
            query, key = call.prepared_query, call.prepared_key.to(call.prepared_query.dtype)
        elif isinstance(key, PreparedKey):
            key = key.features
        if self.is_masked and not query.is_cpu and not call.known_finite:
            return attend_plainly(call)
        if self.widens:
            # At sentence lengths PyTorch's half-precision CPU kernel takes ten times as long as float32.
            query, key, value = query.float(), key.float(), value.float()
        added = None if self.mask is None else self.mask(call, query.dtype)
        if self.needs_no_reshape and (added is None or added.is_cpu):
            output = _kernel(
                query, key, value, added, call.dropout_p, self.is_causal,
                scale=self.scale, enable_gqa=self.gqa,
            )  # fmt: skip
        else:
            with without_autocast(query.device):
                output = self._attend_folded(call, query, key, value, added)
        if self.is_masked and not self._is_clean(call, output, query, key):
            return attend_plainly(call)
        if self.widens:
            output = output.to(call.query.dtype)
        # Fast path: takes a third of the time of the constructor of the named tuple.
        return tuple.__new__(Attended, (output, weights_of(call) if call.return_weights else None))

    def _attend_folded(
        self, call: Call, query: Tensor, key: Tensor, value: Tensor, added: Tensor | None
    ) -> Tensor:
        """Attend with leading axes folded into two, and fully masked rows unmasked for kernels of accelerators."""
        empty = None
        if added is not None:
            if not added.is_cpu:
                added, empty = _open_empty_rows(added)
            if added.ndim > 2:
                added = four_axes(added, _shared(added, self.lead))
        output = _kernel(
            four_axes(query, self.lead), four_axes(key, self.key_lead), four_axes(value, self.key_lead),
            added, call.dropout_p, self.is_causal, scale=self.scale, enable_gqa=self.gqa,
        )  # fmt: skip
        output = output.reshape(*self.lead, call.num_queries, value.shape[-1])
        return output if empty is None else torch.where(empty, 0.0, output)

    def _is_clean(self, call: Call, output: Tensor, query: Tensor, key: Tensor) -> bool:
        """Whether no masked NaN or infinity can have reached the output or will reach a gradient.

        The kernel adds minus infinity to each masked score, takes exp, sums, and multiplies every value by its weight.
        A masked score is then minus infinity, or NaN if the product was NaN or plus infinity. NaN makes the sum of the
        row NaN, and with it the output. Minus infinity gives weight 0, and 0 · value is NaN if the value is not finite.
        So if the output is finite, every value was finite and no masked key changed it.

        The backward pass multiplies gradients of scores, 0 where masked, by keys and queries, and gradients of prepared
        features by the inputs. Queries and keys may be infinite although the output is finite, since a score of minus
        infinity has weight 0. So they are checked too if a gradient is needed.
        """
        if not output.requires_grad:
            total = finite_probe(output)
        elif self.is_plain:
            total = finite_probe(output) + finite_probe(query, key)
        else:
            total = finite_probe(output) if call.known_finite else math.nan
        if self.checks_value and output.requires_grad:
            total += finite_probe(call.value)
        # The sum is not finite if an element is not. Large finite elements may overflow too, so the slow check follows.
        return total - total == 0.0 or (all_finite(output) and call.known_finite)


def _kernel(
    query: Tensor, key: Tensor, value: Tensor, added: Tensor | None, dropout_p: float, is_causal: bool,
    *, scale: float, enable_gqa: bool,
) -> Tensor:  # fmt: skip
    """PyTorch's kernel, with second derivatives."""
    output = F.scaled_dot_product_attention(
        query, key, value, added, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )
    if output.requires_grad and not torch.compiler.is_compiling():
        with_second_derivatives(output, query, key, value, added, is_causal, scale)
    return output


def _widens(call: Call) -> bool:
    return call.query.is_cpu and call.query.dtype in (torch.bfloat16, torch.float16)


def _is_causal(call: Call) -> bool:
    mask = call.mask
    return (
        type(mask) is Causal
        and call.bias is None
        and (mask.align == "top_left" or call.num_queries == call.num_keys)
    )


def _open_empty_rows(added: Tensor) -> tuple[Tensor, Tensor | None]:
    """Unmask fully masked rows, and return a mark of these rows; the caller sets their output to 0.

    CPU kernels return 0 for such rows; kernels of accelerators differ.
    """
    keep = added if added.dtype == torch.bool else added != -torch.inf
    empty = ~keep.any(-1, keepdim=True)
    if not bool(empty.any()):
        return added, None
    opened = added | empty if added.dtype == torch.bool else torch.where(empty, 0.0, added)
    return opened, empty


def _shared(added: Tensor, lead: tuple[int, ...]) -> tuple[int, ...]:
    """Leading axes for the additive mask: it broadcasts with up to four axes, and is expanded before folding more."""
    if len(lead) > 2:
        return lead
    missing = len(lead) + 2 - added.ndim
    return (*(1,) * missing, *added.shape[:-2])
