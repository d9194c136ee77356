"""The `decode` backend: few queries over many keys on a CPU, as when decoding with a cache."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import ClassVar

from heedful.ops.backends.base import Backend, Cost, for_vectors, read_seconds, threads
from heedful.ops.backends.decode.attention import attend_to_cache
from heedful.ops.backends.decode.kernel import CHUNK
from heedful.ops.backends.decode.layout import CacheLayout
from heedful.ops.call import Attended, Call
from heedful.ops.finite import is_eager
from heedful.ops.jit.kernel import unavailable
from heedful.ops.jit.operators import needs_dispatch
from heedful.ops.jit.source import LANES
from heedful.ops.masks.intervals import is_interval
from heedful.ops.normalizers import SinkSoftmax, Softmax
from heedful.ops.scores.base import PRODUCT_KINDS

MOST_QUERIES = 16
"""Above it a key that is read once serves so many queries that kernels for blocks of queries are ahead."""
MOST_ROWS = 128
"""Rows of a key head whose sums stay in the caches."""
KEY_FEATURE = 0.045e-9
"""Seconds of a feature of a key or value for each chunk of rows that meets it, beside its multiply-adds."""
ADDED_CELL = 1.5e-9
"""Seconds of a mask or bias that is no interval of keys, for one score."""
_COST = Cost(
    call=45e-6,
    backward_call=0.0,
    multiply_add=0.007e-9,
    cell=0.5e-9,
    transcendental=0.0,
    backward=0.0,
    head=0.15e-6,
)


class Decode(Backend):
    """Inner products of at most 16 queries with keys that are read once and not copied, under softmax, forward only.

    Query heads that share a key head meet each of its keys together. Keys and values in half precision stay so: they
    are widened as they are loaded.
    """

    name: ClassVar[str] = "decode"
    length_rank: ClassVar[int] = 7
    why: ClassVar[str] = "few queries: each key and value is read once, where it lies"
    mask_seconds: ClassVar[float] = 20e-6
    cost: ClassVar[Cost] = for_vectors(wide=_COST, narrow=replace(_COST, multiply_add=0.026e-9))

    def supports(self, call: Call) -> str | None:
        if not is_eager() or needs_dispatch(call.query):
            return "its kernel cannot be traced"
        if not call.query.is_cpu:
            return "its kernel is for processors"
        if call.score.pair_kind not in PRODUCT_KINDS:
            return f"it computes inner products, and the {call.score.name} score's pair is {call.score.pair_kind}"
        if not isinstance(call.normalizer, Softmax | SinkSoftmax):
            return f"it normalizes by softmax, not by {call.normalizer.name}"
        if call.needs_gradient:
            return "it has no backward pass"
        if call.dropout_p:
            return "it has no dropout"
        if call.num_queries > MOST_QUERIES or call.num_queries * call.groups > MOST_ROWS:
            return (
                f"it serves at most {MOST_QUERIES} queries, and {MOST_ROWS} with the query heads that share a key "
                f"head; here are {call.num_queries} queries and {call.groups} such heads"
            )
        if min(call.pair_features, call.value_features) < LANES:
            return f"its vectors hold {LANES} features, and keys or values have fewer"
        return unavailable()

    def is_fused(self, call: Call) -> bool:
        return True

    def seconds(self, call: Call) -> float:
        if self.supports(call) is not None:
            return math.inf
        rows, features = call.num_queries * call.groups, call.pair_features + call.value_features
        heads = call.lead_size // call.groups
        read = read_seconds(heads * call.num_keys * features * call.value.element_size())
        computed = 1 if rows == 1 else 4 if rows <= 4 else CHUNK
        chunk = (
            features * (KEY_FEATURE + computed * self.cost.multiply_add) + computed * self.cost.cell
        )
        work = heads * call.num_keys * -(-rows // CHUNK) * chunk
        masked = 0.0
        if call.is_masked:
            masked = self.mask_seconds
            if call.bias is not None or not is_interval(call.mask):
                masked += call.cells * ADDED_CELL
        return self.cost.call + masked + (read + work) / threads()

    def bytes_at_once(self, call: Call) -> int:
        return 0

    def bytes_kept(self, call: Call) -> int:
        return 0

    def run(self, call: Call) -> Attended:
        return self.bind(call)(call)

    def bind(self, call: Call) -> Callable[[Call], Attended]:
        return partial(attend_to_cache, layout=CacheLayout.of(call))
