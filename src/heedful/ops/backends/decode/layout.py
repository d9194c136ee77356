"""The static part of a call of the `decode` backend: computed once for all calls of one signature."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.ops.backends.base import wide_dtype
from heedful.ops.backends.decode.kernel import decode_space
from heedful.ops.call import Call
from heedful.ops.jit.kernel import parts_for
from heedful.ops.masks.intervals import is_interval, key_interval
from heedful.ops.scores import Dot, ScaledDot
from heedful.ops.scores.capped import uncapped

NANOSECONDS_A_NUMBER = 0.25
"""Time of reading and multiplying one number of a key or value, on one thread."""


@dataclass(frozen=True, eq=False, slots=True)
class CacheLayout:
    """What follows from shapes, dtypes, score and mask without their tensors."""

    scale: float
    """Factor of the inner products."""
    cap: float
    """Soft cap of the scaled inner products; 0: none."""
    prepares: bool
    """Whether the score changes query or key before the inner product."""
    dtype: torch.dtype
    """In which the kernel computes: float32 or wider."""
    lead: tuple[int, int]
    """(batch, query heads), other leading axes folded into the batch."""
    key_heads: int
    key_lead: tuple[int, ...]
    """Leading axes of key and value, (*batch, key heads)."""
    ends: tuple[Tensor, Tensor] | None
    """First and last (exclusive) key of each query, (batch, heads, query); None where they depend on tensors."""
    is_added: bool
    """Whether a mask that is no interval of keys, or a bias, is added to the scores."""
    sizes: Tensor
    """The sizes that the kernel reads: batch, query heads, key heads, queries, keys, features, values, splits."""
    space: int
    """Scratch numbers of a part."""
    work: float
    """Nanoseconds on one thread."""
    parts: int
    splits: int
    """Parts that the keys of one head are split into."""

    @classmethod
    def of(cls, call: Call) -> CacheLayout:
        """The layout of a call that the backend supports."""
        score, cap = uncapped(call.score)
        lead, groups = call.lead, call.groups
        batch, heads = math.prod(lead[:-1]), lead[-1] if lead else 1
        key_heads = heads // groups
        is_added = call.bias is not None or not is_interval(call.mask)
        is_static = is_added or call.mask is None or not call.mask.tensors()
        features = call.pair_features + call.value_features
        numbers = batch * key_heads * call.num_keys * features
        work = numbers * NANOSECONDS_A_NUMBER * max(1.0, groups * call.num_queries / 8)
        parts = parts_for(work)
        splits = 1 if batch * key_heads >= 4 * parts else -(-4 * parts // (batch * key_heads))
        splits = 1 if parts == 1 else splits
        values, queries = call.value_features, call.num_queries
        sizes = (batch, heads, key_heads, queries, call.num_keys, call.pair_features, values, splits)  # fmt: skip
        return cls(
            scale=score.scale_for(call.query.shape[-1]) if type(score) is ScaledDot else 1.0,
            cap=cap,
            prepares=type(score) is not ScaledDot and type(score) is not Dot,
            dtype=wide_dtype(call.query.dtype),
            lead=(batch, heads),
            key_heads=key_heads,
            key_lead=(*lead[:-1], key_heads) if lead else lead,
            ends=cls._ends(call, None if is_added else call.mask) if is_static else None,
            is_added=is_added,
            work=work,
            parts=parts,
            splits=splits,
            sizes=torch.tensor(sizes, dtype=torch.int64, device="cpu"),
            space=decode_space(groups * queries, call.pair_features, values),
        )

    @staticmethod
    def _ends(call: Call, mask: object) -> tuple[Tensor, Tensor]:
        interval = key_interval(mask, call.rows)  # type: ignore[arg-type]
        assert interval is not None
        shape = (*call.lead, call.num_queries)
        start, stop = (one.expand(shape).contiguous().view(-1) for one in interval)
        return start, stop

    def ends_of(self, call: Call) -> tuple[Tensor, Tensor]:
        """First and last (exclusive) key of each query, one axis of batch × heads × queries."""
        return self._ends(call, call.mask) if self.ends is None else self.ends

    def operand(self, tensor: Tensor, lead: tuple[int, ...]) -> Tensor:
        """Query, key or value as (batch, heads, length, features), without a copy where features are contiguous.

        `lead` are the leading axes (*batch, heads) that it has or broadcasts to.
        """
        if tensor.shape[:-2] != lead:
            tensor = tensor.expand(*lead, *tensor.shape[-2:])
        if len(lead) != 2:
            heads = lead[-1] if lead else 1
            tensor = tensor.reshape(self.lead[0], heads, *tensor.shape[-2:])
        if tensor.is_neg():
            tensor = tensor.resolve_neg()
        return tensor if tensor.is_contiguous() or tensor.stride(-1) == 1 else tensor.contiguous()
