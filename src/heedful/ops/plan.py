"""Which backend serves a call, and why the others do not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.errors import BackendError, unknown_choice
from heedful.ops.arguments import checked
from heedful.ops.backends import BACKENDS, Backend
from heedful.ops.backends.base import score_bytes
from heedful.ops.call import Call
from heedful.ops.masks import Mask
from heedful.ops.normalizers import Normalizer, Softmax
from heedful.ops.positions import PositionBias
from heedful.ops.scores import PreparedKey, ScaledDot, Score

# What a backend may hold at one time where another holds less: below this it fits comfortably in memory.
WHOLE_BYTES = 64 * 2**20
# By what a call takes at least: once one is found that takes less than the next one can, nobody else is asked.
_BY_CALL = sorted(BACKENDS.values(), key=lambda backend: backend.cost.call)

# Those that need the least where lengths are great; the last serves every call.
_LINEAR_FIRST = ("edges", "band", "sdpa", "flex", "chunked", "reference")


@dataclass(frozen=True)
class Plan:
    """What `attend` would do with a call.

    >>> import torch
    >>> from heedful import plan, scores
    >>> x = torch.ones(5, 8)
    >>> told = plan(x, x, x, score=scores.Dot(), backend="reference")
    >>> told.reason, told.bytes_for_backward, told.flops
    ('asked for by name', 0, 800)
    """

    backend: str
    reason: str
    rejected: Mapping[str, str]
    """Why not each other backend."""
    seconds: float
    """What it is expected to take on a processor, forward and, where a gradient is wanted, backward: a rough guess."""
    bytes_for_backward: int
    """Bytes the attention keeps for the backward pass; 0 where no gradient is wanted."""
    flops: int
    """Floating-point operations of the forward pass; a multiply-add counts as two."""

    def __str__(self) -> str:
        lines = [f"{self.backend}: {self.reason}"]
        lines += [f"not {name}: {why}" for name, why in self.rejected.items()]
        lines.append(f"about {self.seconds:.2g} seconds on a processor")
        lines.append(f"{self.flops:,} floating-point operations forward")
        lines.append(f"{self.bytes_for_backward:,} bytes kept for backward")
        return "\n".join(lines)


def plan(
    query: Tensor,
    key: Tensor | PreparedKey,
    value: Tensor,
    *,
    score: Score = ScaledDot(),
    mask: Mask | Tensor | None = None,
    bias: Tensor | PositionBias | None = None,
    normalizer: Normalizer = Softmax(),
    dropout_p: float = 0.0,
    enable_gqa: bool = False,
    return_weights: bool = False,
    backend: str = "auto",
) -> Plan:
    """Tell how `attend` would compute the same arguments, without computing them.

    Under a mask it looks whether all is finite, what the score prepares included. Raises what `attend` raises.

    >>> import torch
    >>> from heedful import plan, normalizers
    >>> x = torch.randn(1, 2, 16, 8)
    >>> plan(x, x, x).backend
    'sdpa'
    >>> print(plan(x, x, x, normalizer=normalizers.Sparsemax()).rejected["sdpa"])
    it normalizes by softmax, not by sparsemax
    """
    call = checked(
        query, key, value, score, mask, bias, normalizer, dropout_p, enable_gqa, return_weights
    )
    chosen = choose(call, backend)
    rejected = {
        name: other.supports(call) or _served_but(other, chosen, call, backend)
        for name, other in BACKENDS.items()
        if other is not chosen
    }
    return Plan(
        backend=chosen.name,
        reason=_reason(call, chosen, backend),
        rejected=rejected,
        seconds=chosen.seconds(call),
        bytes_for_backward=chosen.bytes_kept(call),
        flops=flops(call, chosen.cells(call)),
    )


def choose(call: Call, backend: str) -> Backend:
    """The backend for a call; BackendError where the one named cannot serve."""
    if backend != "auto":
        named = BACKENDS.get(backend)
        if named is None:
            raise unknown_choice("backend", backend, ["auto", *BACKENDS])
        refusal = named.supports(call)
        if refusal is not None:
            raise BackendError(
                f'backend="{backend}" cannot serve this call: {refusal}. Use backend="auto", or "reference", which '
                f"serves every call."
            )
        return named
    if torch.compiler.is_exporting():
        return _without_sizes(call)
    waiting: list[tuple[float, Backend]] = []
    for candidate in _BY_CALL:
        served = _first(waiting, call, candidate.cost.call)
        if served is not None:
            return served
        seconds = candidate.seconds(call)
        # By hand, since torch.compile cannot sort numbers that depend on lengths which may change.
        place = len([other for other, _ in waiting if other <= seconds])
        waiting.insert(place, (seconds, candidate))
    return _first(waiting, call, math.inf) or _smallest(call)


def _without_sizes(call: Call) -> Backend:
    """The backend for a program of which any length may be asked: a compared size would be a limit of it."""
    serving = {name: one for name, one in BACKENDS.items() if one.supports(call) is None}
    return next(serving[name] for name in _LINEAR_FIRST if name in serving)


def _first(waiting: list[tuple[float, Backend]], call: Call, seconds: float) -> Backend | None:
    """Take from those that wait, the fastest first, until one serves that is expected to take less than `seconds`."""
    while waiting and waiting[0][0] < seconds:
        _, backend = waiting.pop(0)
        # To tell whether a backend serves may take a look at every number.
        if _fits(backend, call) and backend.supports(call) is None:
            return backend
    return None


def _fits(backend: Backend, call: Call) -> bool:
    return backend.bytes_at_once(call) <= WHOLE_BYTES


def _smallest(call: Call) -> Backend:
    serving = [backend for backend in BACKENDS.values() if backend.supports(call) is None]
    return min(serving, key=lambda backend: backend.bytes_at_once(call))


def flops(call: Call, cells: int) -> int:
    """Floating-point operations forward: the maps of `prepare`, one pair for each of the cells, the mix of values."""
    features = call.pair_features
    per_pair = 2 * features if call.score.pair_kind == "dot" else 4 * features
    pairs = cells * (per_pair + 2 * call.value.shape[-1])
    query_map, key_map = call.score.maps()
    if isinstance(call.key, PreparedKey):
        key_map = None
    maps = sum(
        2 * call.lead_size * length * matrix.shape[-2] * matrix.shape[-1]
        for length, matrix in ((call.num_queries, query_map), (call.num_keys, key_map))
        if matrix is not None
    )
    return pairs + maps


def _reason(call: Call, chosen: Backend, asked: str) -> str:
    if asked != "auto":
        return "asked for by name"
    if chosen.name == "reference":
        return f"{chosen.why}; they take {score_bytes(call):,} bytes here"
    return chosen.why


def _served_but(other: Backend, chosen: Backend, call: Call, asked: str) -> str:
    if asked != "auto":
        return f"{chosen.name} was asked for by name"
    if _fits(chosen, call) and not _fits(other, call):
        return f"it serves the call too, but holds {other.bytes_at_once(call):,} bytes at once"
    times = other.seconds(call) / max(chosen.seconds(call), 1e-9)
    return f"it serves the call too, but {chosen.name} is expected to cost less: this takes {times:.2g} times as long"
