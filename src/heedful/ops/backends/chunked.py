"""Attention by blocks of queries over all keys, with recomputation (checkpointing) in the backward pass."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from heedful.ops.backends.additive.scores import fast_pair, has_fast_pair
from heedful.ops.backends.base import (
    Backend,
    Cost,
    copied_bytes,
    copy_seconds,
    for_vectors,
    key_seconds,
    score_bytes,
    wide_dtype,
    without_autocast,
)
from heedful.ops.backends.reference import attend_rows, prepare, token_bytes
from heedful.ops.call import Attended, Call
from heedful.ops.finite import in_torch_func

# Maximum bytes of the scores of a block (times hidden size for an additive pair). Larger blocks amortise dispatcher
# overhead. On a CPU a block must fit in the last-level cache, and stay below the size at which the allocator maps and
# unmaps memory for each block: with 16 MiB a pair takes 2.2 times as long; 1 MiB and 4 MiB are equally fast.
BLOCK_BYTES = 4 * 2**20
ACCELERATOR_BLOCK_BYTES = 16 * 2**20


_FAST_COST = Cost(
    call=55e-6,
    backward_call=160e-6,
    multiply_add=0.016e-9,
    cell=2.4e-9,
    transcendental=0.023e-9,
    backward=3.3,
    head=0.5e-6,
)
FAST_COST = for_vectors(wide=_FAST_COST, narrow=replace(_FAST_COST, transcendental=0.046e-9))
"""Cost model if the pair runs as a compiled kernel."""
GENERAL_COST = Cost(
    call=50e-6,
    backward_call=350e-6,
    multiply_add=0.016e-9,
    cell=2.4e-9,
    transcendental=6.6e-9,
    backward=2.6,
    head=0.5e-6,
)


class Chunked(Backend):
    """Every combination in memory of block × keys. Rows are not split, so every normalizer is exact."""

    name: ClassVar[str] = "chunked"
    length_rank: ClassVar[int] = 5
    why: ClassVar[str] = (
        "blocks of queries, recomputed in the backward pass, so that memory is block × keys"
    )
    cost: ClassVar[Cost] = GENERAL_COST

    def supports(self, call: Call) -> str | None:
        # A fast pair is traced as one operator, which needs no recomputation: only its scores are stored.
        if in_torch_func() or (torch.compiler.is_compiling() and not is_fast(call)):
            return "its recomputation cannot be traced by torch.func or torch.compile"
        if forward_ad._current_level >= 0 and is_fast(call):
            return "its compiled kernel has no forward-mode derivative"
        return None

    def bytes_at_once(self, call: Call) -> int:
        whole = held_bytes(call)
        return whole if torch.compiler.is_compiling() else min(whole, BLOCK_BYTES)

    def cost_of(self, call: Call) -> Cost:
        return FAST_COST if is_fast(call) else GENERAL_COST

    def seconds(self, call: Call) -> float:
        return super().seconds(call) + key_seconds(call) + copy_seconds(copied_bytes(call))

    def bytes_kept(self, call: Call) -> int:
        if not call.needs_gradient:
            return 0
        weights = call.cells * wide_dtype(call.query.dtype).itemsize if call.return_weights else 0
        return token_bytes(call) + weights

    def run(self, call: Call) -> Attended:
        operands = prepare(call, fast_pair)
        if torch.compiler.is_compiling():
            with without_autocast(call.query.device):
                return attend_rows(operands, call.rows, operands.query, call.return_weights)
        step = block_rows(call)
        recompute = call.needs_gradient
        outputs, weights = [], []
        with without_autocast(call.query.device):
            for start in range(0, call.num_queries, step):
                stop = min(start + step, call.num_queries)
                rows, query = call.rows.block(start, stop), operands.query[..., start:stop, :]
                if recompute:
                    block = checkpoint(
                        attend_rows,
                        operands,
                        rows,
                        query,
                        call.return_weights,
                        use_reentrant=False,
                        preserve_rng_state=call.dropout_p > 0,
                    )
                else:
                    block = attend_rows(operands, rows, query, call.return_weights)
                outputs.append(block.output)
                weights.append(block.weights)
        whole = torch.cat(weights, -2) if call.return_weights else None
        return Attended(torch.cat(outputs, -2), whole)


def is_fast(call: Call) -> bool:
    """Whether the pair runs as a compiled kernel."""
    return has_fast_pair(call.score, call.query.device)


def held_bytes(call: Call) -> int:
    """Bytes of all scores, times the number of features if the pair builds (query, key, features)."""
    return score_bytes(call) // (max(1, call.pair_features) if is_fast(call) else 1)


def block_rows(call: Call) -> int:
    """Number of queries in a block: as many as `BLOCK_BYTES` allows, at least one."""
    row = held_bytes(call) // call.num_queries
    size = BLOCK_BYTES if call.query.is_cpu else ACCELERATOR_BLOCK_BYTES
    return max(1, min(call.num_queries, size // max(row, 1)))
