"""The backend of additive attention under softmax by fused CPU kernels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from heedful.ops.backends.additive.attention import AdditiveOptions, Maps, attend_additively
from heedful.ops.backends.additive.layout import dense
from heedful.ops.backends.additive.visible import EVERYTHING, Visible
from heedful.ops.backends.band.window import Band
from heedful.ops.backends.base import (
    MASK_SECONDS,
    Backend,
    Cost,
    for_vectors,
    wide_dtype,
    without_autocast,
)
from heedful.ops.backends.chunked import Chunked
from heedful.ops.backends.reference import token_bytes
from heedful.ops.call import Attended, Call, bias_tensors, repeat_heads
from heedful.ops.finite import is_eager
from heedful.ops.jit.kernel import unavailable
from heedful.ops.jit.operators import PLAIN_TENSORS
from heedful.ops.masks import Causal, Mask, Padding, Window
from heedful.ops.masks.base import conjuncts
from heedful.ops.normalizers import Softmax
from heedful.ops.scores import Additive, PreparedKey

CHUNKED = Chunked()


class AdditiveBackend(Backend):
    """The additive score under softmax, with any mask, and any bias that requires no gradient.

    Keys outside the bounds of the mask are skipped. Other masks, and biases, are added to the scores, a block of rows
    at a time. If `run` finds NaN or infinity in a masked call, it falls back to `chunked`.
    """

    name: ClassVar[str] = "additive"
    length_rank: ClassVar[int] = 4
    why: ClassVar[str] = "one compiled kernel for scores, softmax and mix, which keeps no scores"
    cost: ClassVar[Cost] = for_vectors(
        wide=Cost(
            call=40e-6,
            backward_call=100e-6,
            multiply_add=0.01e-9,
            cell=0.5e-9,
            transcendental=0.025e-9,
            backward=3.0,
        ),
        narrow=Cost(
            call=40e-6,
            backward_call=100e-6,
            multiply_add=0.02e-9,
            cell=0.8e-9,
            transcendental=0.055e-9,
            backward=2.9,
        ),
    )

    def supports(self, call: Call) -> str | None:
        if type(call.score) is not Additive:
            return f"it computes the additive pair, and the score is {call.score.name}"
        if type(call.normalizer) is not Softmax:
            return f"it normalizes by softmax, not by {call.normalizer.name}"
        if not call.pair_features:
            return "its kernels want at least one hidden feature"
        if call.dropout_p:
            return "it has no dropout"
        if any(tensor.requires_grad for tensor in bias_tensors(call.bias)):
            return "it has no gradient of a bias"
        if not call.query.is_cpu:
            return (
                f"its kernels run on a processor, and the tensors are on {call.query.device.type}"
            )
        if not is_eager() or not is_plain(
            call.query, call.key_features, call.value, *call.score.tensors()
        ):
            return "its kernels can be neither traced nor transformed, and have no forward-mode derivative"
        return unavailable()

    def is_fused(self, call: Call) -> bool:
        return True

    def seconds(self, call: Call) -> float:
        if type(call.score) is not Additive or type(call.normalizer) is not Softmax:
            return math.inf
        seconds = self.seconds_for(call, self.cells(call))
        if call.bias is None and is_interval(call.mask):
            return seconds
        return seconds + MASK_SECONDS * (2 if call.needs_gradient else 1)

    def cost_of(self, call: Call) -> Cost:
        if call.query.dtype != torch.float64:
            return self.cost
        cost = self.cost
        return replace(
            cost, multiply_add=2 * cost.multiply_add, transcendental=2.4 * cost.transcendental
        )

    def cells(self, call: Call) -> int:
        if call.mask is None:
            return call.cells
        band = Band.reaching(call.mask.bounds(call.rows), call.num_queries, call.num_keys)
        return call.lead_size * band.cells

    def bytes_at_once(self, call: Call) -> int:
        return 0

    def bytes_kept(self, call: Call) -> int:
        if not call.needs_gradient:
            return 0
        width = wide_dtype(call.query.dtype).itemsize
        rows = call.lead_size * call.num_queries * (call.value_features + 1)
        return token_bytes(call) + rows * width

    def run(self, call: Call) -> Attended:
        score = call.score
        assert isinstance(score, Additive)
        visible = Visible.of(call) if call.is_masked else EVERYTHING
        options = AdditiveOptions(visible, score.activation, call.return_weights, call.is_masked)
        attended = attend_additively(*operands(call, score), options)
        if attended is None:
            return CHUNKED.run(call)
        dtype = call.query.dtype
        if attended.output.dtype == dtype:
            return attended
        output, weights = attended
        return Attended(output.to(dtype), None if weights is None else weights.to(dtype))


def operands(call: Call, score: Additive) -> tuple[Tensor, Tensor, Tensor, Tensor, Maps]:
    """Query, key, value, vector and maps for `attend_additively`.

    If all heads share one map and no tensor is cast, `attend_additively` applies the maps inside its autograd function.
    Otherwise queries and keys are prepared here, and there are no maps.
    """
    query, value, vector = call.query, call.value, score.vector
    query_weight, key_weight = score.query_weight, score.key_weight
    is_prepared = isinstance(call.key, PreparedKey)
    key = call.key.features if isinstance(call.key, PreparedKey) else call.key
    dtype = query.dtype
    if (
        (dtype is torch.float32 or dtype is torch.float64)
        and call.groups == 1
        and query_weight.ndim == 2 == key_weight.ndim
        and query_weight.dtype is key_weight.dtype is vector.dtype is key.dtype is dtype
    ):
        return query, key, value, vector, (query_weight, None if is_prepared else key_weight)
    wide = wide_dtype(dtype)
    query, key, groups = call.prepared_query.to(wide), call.prepared_key.to(wide), call.groups
    with without_autocast(call.query.device):
        key, value = repeat_heads(key, groups), repeat_heads(value.to(wide), groups)
        return dense(query), dense(key), value, vector.to(wide), (None, None)


def is_interval(mask: Mask | None) -> bool:
    """Whether the mask is fully described by bounds and key lengths."""
    return all(type(part) in (Padding, Causal, Window) for part in conjuncts(mask))


def is_plain(*tensors: Tensor) -> bool:
    """Whether a kernel can read the tensors: no tensor subclass, and no dispatch mode is active."""
    return not torch._C._len_torch_dispatch_stack() and all(
        type(tensor) in PLAIN_TENSORS for tensor in tensors
    )
