"""Selection of the backend for a call, memoised by signature, and `plan`, which explains it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.errors import BackendError, unknown_choice
from heedful.ops.arguments import validated
from heedful.ops.backends import BACKENDS, Backend
from heedful.ops.backends.base import WHOLE_BYTES, score_bytes
from heedful.ops.call import Attended, Call, CallShape
from heedful.ops.masks import Mask
from heedful.ops.normalizers import Normalizer, Softmax
from heedful.ops.positions import PositionBias
from heedful.ops.scores import PreparedKey, ScaledDot, Score
from heedful.ops.scores.base import PRODUCT_KINDS
from heedful.ops.signature import Signature

# Sorted by minimum cost of a call, so that the search can stop early. A small call on PyTorch's kernel then imports no
# compiler.
_BY_CALL_COST = sorted(BACKENDS.values(), key=lambda one: one.cost.call)
MAX_ROUTES = 4096
"""Maximum number of memoised signatures. Training on sequences of many lengths produces some thousands."""


class Route(NamedTuple):
    """The memoised plan for all calls of one signature."""

    backend: str
    run: Callable[[Call], Attended]
    shape: CallShape


_routes: dict[Signature, Route] = {}
find_route = _routes.get
"""The memoised route of a signature, or None."""


def add_route(signature: Signature | None, call: Call, backend: str) -> Route:
    """Choose a backend for a validated call, and memoise it if the call has a signature.

    Raises:
        BackendError: the backend given by name does not support the call.
    """
    chosen = choose(call, backend)
    run = chosen.bind(call) if call.cells else _run_without_cells
    route = Route(chosen.name, run, call.shape)
    if signature is not None:
        if len(_routes) >= MAX_ROUTES:
            _routes.clear()
        _routes[signature] = route
    return route


def forget_routes() -> None:
    """Clear the memoised routes, for tests that change settings outside the signature."""
    _routes.clear()


def _run_without_cells(call: Call) -> Attended:
    """Compute a call without keys or queries: output 0, and gradient 0 for every differentiable tensor."""
    anchor = call.query.new_zeros(())
    for _, tensor in call.named_tensors():
        anchor = anchor + tensor.flatten()[:0].sum()
    output = call.query.new_zeros(*call.lead, call.num_queries, call.value.shape[-1]) + anchor
    weights = call.query.new_zeros(call.rows.shape) + anchor if call.return_weights else None
    return Attended(output, weights)


@dataclass(frozen=True)
class Plan:
    """The backend of a call, its reason and its estimated cost.

    >>> import torch
    >>> from heedful import plan, scores
    >>> x = torch.ones(5, 8)
    >>> planned = plan(x, x, x, score=scores.Dot(), backend="reference")
    >>> planned.reason, planned.bytes_for_backward, planned.flops
    ('asked for by name', 0, 800)
    """

    backend: str
    reason: str
    rejected: Mapping[str, str]
    """Name of each other backend -> why it was not chosen."""
    seconds: float
    """Rough estimate of the time on a CPU: forward and, if a gradient is needed, backward."""
    bytes_for_backward: int
    """Bytes saved for the backward pass; 0 if no gradient is needed."""
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
    """Return how `attend` would compute the same arguments, without running it or reading tensor contents.

    Raises the same errors as `attend`.

    >>> import torch
    >>> from heedful import plan, normalizers
    >>> x = torch.randn(1, 2, 16, 8)
    >>> plan(x, x, x).backend
    'sdpa'
    >>> print(plan(x, x, x, normalizer=normalizers.Sparsemax()).rejected["sdpa"])
    it normalizes by softmax, not by sparsemax
    """
    call = validated(
        query, key, value, score, mask, bias, normalizer, dropout_p, enable_gqa, return_weights
    )
    chosen = choose(call, backend)
    rejected = {
        name: other.supports(call) or _why_slower(other, chosen, call, backend)
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
    """Return the fastest backend, by estimate, among those that support the call within `WHOLE_BYTES` of memory.

    If none stays within `WHOLE_BYTES`, the one that takes the least memory is chosen.

    Raises:
        BackendError: the backend given by name does not support the call.
    """
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
        # Comparing a symbolic size would add a guard on it to the exported program.
        return _least(call, lambda one: one.length_rank)
    best: Backend | None = None
    least = 0.0
    # Not sorted by seconds: torch.compile cannot sort numbers computed from symbolic sizes.
    for one in _BY_CALL_COST:
        if best is not None and one.cost.call >= least:
            break
        if one.supports(call) is None and one.bytes_at_once(call) <= WHOLE_BYTES:
            seconds = one.seconds(call)
            if best is None or seconds < least:
                best, least = one, seconds
    return best or _least(call, lambda one: one.bytes_at_once(call))


def _least(call: Call, amount: Callable[[Backend], int]) -> Backend:
    """Return, of the backends that support the call, the one of the smallest amount."""
    # Not `min` with a key: torch.compile of PyTorch 2.10 and 2.11 cannot trace it.
    best: Backend | None = None
    for one in BACKENDS.values():
        if one.supports(call) is None and (best is None or amount(one) < amount(best)):
            best = one
    assert best is not None, "the backend reference supports every call"
    return best


def flops(call: Call, cells: int) -> int:
    """Floating-point operations of the forward pass: maps of `prepare`, one pair a cell, and weights · values."""
    features = call.pair_features
    per_pair = 2 * features if call.score.pair_kind in PRODUCT_KINDS else 4 * features
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


def _why_slower(other: Backend, chosen: Backend, call: Call, asked: str) -> str:
    if asked != "auto":
        return f"{chosen.name} was asked for by name"
    if other.bytes_at_once(call) > WHOLE_BYTES >= chosen.bytes_at_once(call):
        return f"it serves the call too, but holds {other.bytes_at_once(call):,} bytes at once"
    if math.isinf(other.seconds(call)):
        return (
            f"it serves the call too, but {chosen.name} costs less for calls of this kind and size"
        )
    times = other.seconds(call) / max(chosen.seconds(call), 1e-9)
    return f"it serves the call too, but {chosen.name} is expected to cost less: this takes {times:.2g} times as long"
