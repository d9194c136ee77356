"""What the fused path needs of a call besides its tensors: computed once, reused for every call of one signature."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from heedful.ops.backends.band.bias import (
    MaskSplit,
    band_spec,
    has_distance_tensors,
    has_pair_bias,
    split_mask,
)
from heedful.ops.backends.band.launch import BandSpec
from heedful.ops.backends.band.shape import WIDTH
from heedful.ops.backends.band.window import Band
from heedful.ops.backends.base import wide_dtype
from heedful.ops.call import Call
from heedful.ops.normalizers import SinkSoftmax
from heedful.ops.normalizers.sparse import excess_of_heads, is_sparse
from heedful.ops.scores import Dot, ScaledDot
from heedful.ops.scores.capped import uncapped


@dataclass(frozen=True, eq=False, slots=True)
class BandLayout:
    """The static part of a call that the compiled kernels serve.

    It follows from shapes, dtypes, the kind and scale of the score, and the masks without their tensors. Key lengths,
    tiles and biases are read from each call.
    """

    band: Band
    """Sides no longer than the lengths."""
    split: MaskSplit
    scale: float
    """Factor of the inner products."""
    cap: float
    """Soft cap of the scaled inner products; 0: none."""
    prepares: bool
    """Whether the score changes query or key before the inner product."""
    dtype: torch.dtype
    """In which the kernels compute: float32 or wider."""
    keeps_half: bool
    """Whether tensors in half precision stay so, for the kernels to widen as they read them."""
    key_lead: tuple[int, ...]
    """Leading axes of key and value, (*batch, key heads)."""
    batch: int
    """Batch axes folded into one."""
    is_sparse: bool
    """Whether it normalizes by sparsemax or entmax; otherwise by softmax."""
    spec: BandSpec | None
    """Window and distance bias without key limits; None where they depend on tensors of the call."""
    has_tiles: bool
    """Whether mask or bias depend on more than distance and key lengths."""

    @classmethod
    def of(cls, call: Call, band: Band, *, keeps_half: bool = False) -> BandLayout:
        """The layout of a call under a nonempty band; `keeps_half` where tensors in half precision may stay so."""
        (score, cap), lead = uncapped(call.score), call.lead
        scale = score.scale_for(call.query.shape[-1]) if type(score) is ScaledDot else 1.0
        band, split, dtype = band.fitted(), split_mask(call.mask), wide_dtype(call.query.dtype)
        prepares = type(score) is not ScaledDot and type(score) is not Dot
        dynamic = has_distance_tensors(call, split)
        return cls(
            band=band,
            split=split,
            scale=scale,
            cap=cap,
            prepares=prepares,
            dtype=dtype,
            keeps_half=keeps_half,
            key_lead=(*lead[:-1], lead[-1] // call.groups) if call.groups > 1 else lead,
            batch=math.prod(lead[:-1]),
            is_sparse=is_sparse(call.normalizer),
            spec=None if dynamic else band_spec(call, band, split, scale, cap, dtype),
            has_tiles=bool(split.others) or has_pair_bias(call),
        )

    def kernel_operand(self, tensor: Tensor, lead: tuple[int, ...]) -> Tensor:
        """Query, key or value as the kernels read it: (batch, heads, length, features), in `dtype` or half precision.

        `lead` are the leading axes (*batch, heads) that it has or broadcasts to. Features are contiguous and padded
        with zeros to a multiple of WIDTH.
        """
        if tensor.dtype != self.dtype and not self.keeps_half:
            tensor = tensor.to(self.dtype)
        if tensor.shape[:-2] != lead:
            tensor = tensor.expand(*lead, *tensor.shape[-2:])
        if len(lead) != 2:
            heads = lead[-1] if lead else 1
            tensor = tensor.reshape(self.batch, heads, *tensor.shape[-2:])
        missing = -tensor.shape[-1] % WIDTH
        if missing:
            return F.pad(tensor, (0, missing))
        tensor = tensor.resolve_neg()
        return tensor if tensor.stride(-1) == 1 else tensor.contiguous()

    def per_head(self, call: Call) -> Tensor | None:
        """What the normalizer has for each head, (batch, heads): sinks in `dtype`, or α − 1 in float64; else None."""
        if self.is_sparse:
            found = excess_of_heads(call.normalizer, call.lead, call.query.device)
        elif isinstance(call.normalizer, SinkSoftmax):
            sink = call.normalizer.sink
            if not isinstance(sink, Tensor):
                sink = torch.full((), sink, dtype=self.dtype, device=call.query.device)
            found = sink.to(self.dtype).expand(call.lead)
        else:
            return None
        return found.reshape(self.batch, call.lead[-1] if call.lead else 1)
