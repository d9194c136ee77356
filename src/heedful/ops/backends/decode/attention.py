"""Runs the kernel of few queries on the tensors of a call."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from heedful.ops.backends.band.launch import flat_storage
from heedful.ops.backends.decode.kernel import decode_forward
from heedful.ops.backends.decode.layout import CacheLayout
from heedful.ops.backends.plain import attend_plainly
from heedful.ops.call import Attended, Call, bias_at
from heedful.ops.finite import all_finite
from heedful.ops.jit.kernel import launch
from heedful.ops.jit.scratch import scratch
from heedful.ops.jit.source import LANES
from heedful.ops.normalizers import SinkSoftmax

_UNUSED = (0, 0, 0, 0)
_NONE = {dtype: torch.empty(0, dtype=dtype) for dtype in (torch.float32, torch.float64)}


def attend_to_cache(call: Call, layout: CacheLayout) -> Attended:
    """Output and weights of a call; `layout` is that of any call of the same signature."""
    query, key = call.query, call.key_features
    if layout.prepares:
        query, key = call.prepared_query, call.prepared_key
    if query.dtype is not layout.dtype:
        query = query.to(layout.dtype)
    if key.dtype is not call.query.dtype:
        key = key.to(layout.dtype)
    query = layout.operand(query, call.lead)
    key, value = layout.operand(key, layout.key_lead), layout.operand(call.value, layout.key_lead)
    added = _added(call, layout) if layout.is_added else None
    shape = (layout.splits, *layout.lead, call.num_queries)
    output, logsumexp = query.new_empty(*shape, value.shape[3]), query.new_empty(shape)
    nothing = _NONE[layout.dtype]
    weights = nothing
    if call.return_weights:
        weights = query.new_full((*shape[1:], key.shape[2]), -torch.inf)
    checks = query.new_empty(layout.parts * LANES)
    strides = _strides(
        query.stride(), key.stride(), value.stride(), _UNUSED if added is None else added.stride()
    )
    launch(
        decode_forward, layout.sizes, strides, layout.scale, layout.cap, *flat_storage(query, key, value),
        *layout.ends_of(call), nothing if added is None else flat_storage(added)[0], _sinks(call, layout),
        output.view(-1), logsumexp.view(-1), weights.view(-1), checks,
        scratch(layout.parts, layout.space, layout.dtype).view(-1), work=layout.work, parts=layout.parts,
    )  # fmt: skip
    if not all_finite(checks):
        # Something came from behind a mask, or what may be attended to is not finite: plain mathematics knows which.
        return attend_plainly(call)
    joined, whole = _joined(output, logsumexp)
    if len(call.lead) != 2:
        joined = joined.reshape(*call.lead, *joined.shape[-2:])
    result = joined if joined.dtype is call.query.dtype else joined.to(call.query.dtype)
    if not call.return_weights:
        return Attended(result, None)
    empty = whole == -torch.inf
    weights = (weights - torch.where(empty, 0.0, whole)[..., None]).exp_()
    return Attended(result, weights.reshape(call.rows.shape).to(call.query.dtype))


@lru_cache(256)
def _strides(
    query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], added: tuple[int, ...]
) -> Tensor:
    """The strides that the kernel reads; features are contiguous."""
    strides = (*query[:3], *key[:3], *value[:3], *added)
    return torch.tensor(strides, dtype=torch.int64, device="cpu")


def _joined(output: Tensor, logsumexp: Tensor) -> tuple[Tensor, Tensor]:
    """Join splits of the keys: means of their outputs, weighted by their sums of exponentials."""
    if len(output) == 1:
        return output[0], logsumexp[0]
    whole = logsumexp.logsumexp(0)
    factors = (logsumexp - torch.where(whole == -torch.inf, 0.0, whole)).exp_()
    return (factors[..., None] * output).sum(0), whole


def _added(call: Call, layout: CacheLayout) -> Tensor:
    """Mask and bias as one tensor to be added, expanded to (batch, heads, query, key)."""
    rows = call.rows
    added = torch.zeros((), dtype=layout.dtype, device="cpu")
    if call.bias is not None:
        added = bias_at(call.bias, rows).detach().to(layout.dtype)
    if call.mask is not None:
        added = torch.where(call.mask.tile(rows), added, -torch.inf)
    batch, heads = layout.lead
    return added.expand(rows.shape).reshape(batch, heads, *rows.shape[-2:])


def _sinks(call: Call, layout: CacheLayout) -> Tensor:
    """The attention sinks, one a query head of each sequence; empty where there are none."""
    if not isinstance(call.normalizer, SinkSoftmax):
        return _NONE[layout.dtype]
    sink = call.normalizer.sink
    if not isinstance(sink, Tensor):
        sink = torch.full((), sink, dtype=layout.dtype, device="cpu")
    return sink.detach().to(layout.dtype).expand(call.lead).contiguous().view(-1)
