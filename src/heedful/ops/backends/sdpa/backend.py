"""PyTorch's fused scaled_dot_product_attention, for the calls that it serves exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from heedful.ops.backends.base import Backend, Cost, score_bytes, without_autocast
from heedful.ops.backends.plain import attend_plainly
from heedful.ops.backends.reference import weights_of
from heedful.ops.backends.sdpa.mask import mask_builder
from heedful.ops.backends.torch_kernels import four_axes, kernel_refusal
from heedful.ops.call import Attended, Call, bias_tensors
from heedful.ops.finite import all_finite, finite_probe
from heedful.ops.jit.processor import has_wide_vectors
from heedful.ops.masks import Causal
from heedful.ops.normalizers import Softmax
from heedful.ops.scores import Dot, PreparedKey, ScaledDot

TILE = 16 if has_wide_vectors() else 8
"""Queries and keys of a tile of PyTorch's fused kernel on a CPU."""
HEAD_SECONDS = 0.0 if has_wide_vectors() else 0.7e-6
"""Seconds of a head, however short; with AVX-512 the tiles account for it."""
# Where PyTorch's kernel does not take a call, it forms the scores like plain mathematics does.
UNFUSED = Cost(
    call=25e-6,
    backward_call=70e-6,
    multiply_add=0.016e-9,
    cell=3.2e-9,
    transcendental=0.0,
    backward=2.0,
)


class SDPA(Backend):
    """Scores whose pair is an inner product, under softmax."""

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
        """Whether PyTorch has a kernel for it that never builds queries × keys."""
        if call.dropout_p or call.value_features != call.pair_features:
            return False
        return not any(tensor.requires_grad for tensor in bias_tensors(call.bias))

    def seconds(self, call: Call) -> float:
        if call.score.pair_kind != "dot" or not isinstance(call.normalizer, Softmax):
            return math.inf
        if not self.is_fused(call):
            return super().seconds(call)
        # The fused kernel computes whole tiles.
        queries, keys = (-(-size // TILE) * TILE for size in (call.num_queries, call.num_keys))
        tiles = self.seconds_for(call, call.lead_size * queries * keys)
        heads = HEAD_SECONDS * call.lead_size * (3 if call.needs_gradient else 1)
        return tiles + heads + super().seconds(call) - self.seconds_for(call, call.cells)

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
    """Calls of PyTorch's kernel that share a signature: what is static of them, worked out once."""

    __slots__ = (
        "checks_value",
        "gqa",
        "is_causal",
        "is_masked",
        "is_plain",
        "key_lead",
        "lead",
        "mask",
        "scale",
        "takes_as_they_are",
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
        self.takes_as_they_are = has_four_axes and not in_autocast
        # The kernel scales for free; every other score brings its factor inside its prepared features.
        self.is_plain = plain
        self.is_causal = bool(_is_causal(call))  # while traced, lengths are tensors
        self.mask = None if self.is_causal else mask_builder(call)
        self.is_masked = call.is_masked
        # Under a causal mask the last queries see all keys, unless there are more keys than queries.
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
            # At the sizes of sentences PyTorch's half-precision CPU kernel takes ten times as long as float32.
            query, key, value = query.float(), key.float(), value.float()
        added = None if self.mask is None else self.mask(call, query.dtype)
        if self.takes_as_they_are and (added is None or added.is_cpu):
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
        # What the class's own constructor does, in a third of the time.
        return tuple.__new__(Attended, (output, weights_of(call) if call.return_weights else None))

    def _attend_folded(
        self, call: Call, query: Tensor, key: Tensor, value: Tensor, added: Tensor | None
    ) -> Tensor:
        """Attend with leading axes folded into two, and rows without a key opened for an accelerator's kernel."""
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
        """Whether nothing hidden can have come through.

        The kernel adds minus infinity to each hidden score, takes exp, sums, and multiplies every value by its weight.
        A hidden score is minus infinity after that, or NaN where the products were NaN or plus infinity. NaN makes the
        row's sum NaN, and with it the output. Minus infinity gives the weight 0, whose product with a value that is not
        finite is NaN. So a finite output holds nothing hidden, and every value was finite.

        The backward pass multiplies gradients of scores, 0 where hidden, by keys and queries, and those of prepared
        features by what they were made from. These may still be infinite under a finite output, since a score of minus
        infinity weighs 0 wherever it comes from. So where a gradient is wanted they are read too.
        """
        if not output.requires_grad:
            total = finite_probe(output)
        elif self.is_plain:
            total = finite_probe(output) + finite_probe(query, key)
        else:
            total = finite_probe(output) if call.known_finite else math.nan
        if self.checks_value and output.requires_grad:
            total += finite_probe(call.value)
        # NaN for what is not finite; a sum of large finite numbers may overflow, and is looked at one by one.
        return total - total == 0.0 or (all_finite(output) and call.known_finite)


_kernel = F.scaled_dot_product_attention


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
    """Let rows that may attend to nothing see everything, and mark them: the caller writes 0 over their output.

    The kernels of a processor give such rows 0 by themselves; those of accelerators differ among each other.
    """
    keep = added if added.dtype == torch.bool else added != -torch.inf
    empty = ~keep.any(-1, keepdim=True)
    if not bool(empty.any()):
        return added, None
    opened = added | empty if added.dtype == torch.bool else torch.where(empty, 0.0, added)
    return opened, empty


def _shared(added: Tensor, lead: tuple[int, ...]) -> tuple[int, ...]:
    """Leading axes for the added tensor: four axes broadcast by themselves, more must be folded whole."""
    if len(lead) > 2:
        return lead
    missing = len(lead) + 2 - added.ndim
    return (*(1,) * missing, *added.shape[:-2])
