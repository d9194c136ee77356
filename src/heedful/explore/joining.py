"""Join the calls of one attention, such as the steps of a recurrent decoder, into one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
from numpy.typing import NDArray

from heedful.explore.schema import AttentionRecord


@dataclass(frozen=True)
class Call:
    """One call of attention, for one example: weights and mask (heads, queries, keys)."""

    weights: NDArray[Any]
    allowed: NDArray[numpy.bool_]
    backend: str


@dataclass
class Place:
    """One attention of one module, called once, or once per step."""

    path: str
    kind: str
    calls: list[Call] = field(default_factory=list)


def runs(calls: list[Call], tokens: tuple[Sequence[str], Sequence[str]] | None) -> list[list[Call]]:
    """Split the calls of a place into those to join: one run, unless each call alone fits the tokens.

    In the latter case several layers share the module, and its calls are layers, not steps.
    """
    if tokens is not None and len(calls) > 1:
        wanted = (len(tokens[0]), len(tokens[1]))
        if all(call.weights.shape[1:] == wanted for call in calls):
            return [[call] for call in calls]
    return [calls]


def joined(
    place: Place,
    calls: list[Call],
    layer: int,
    tokens: tuple[Sequence[str], Sequence[str]] | None,
) -> AttentionRecord:
    """Return one record of calls, joined along queries; keys that a call did not have count as masked.

    Without `tokens` (query tokens, key tokens), positions are numbered.
    """
    keys = max(call.weights.shape[2] for call in calls)
    weights = numpy.concatenate([_widened(call.weights, keys) for call in calls], axis=1)
    allowed = numpy.concatenate([_widened(call.allowed, keys) for call in calls], axis=1)
    query_tokens, key_tokens = tokens or (_numbers(weights.shape[1]), _numbers(keys))
    backends = list(dict.fromkeys(call.backend for call in calls))
    return AttentionRecord(
        module_path=place.path,
        kind=place.kind,
        layer=layer,
        query_tokens=query_tokens,
        key_tokens=key_tokens,
        weights=weights,
        mask=allowed,
        backend=", ".join(backends),
    )


def _widened(values: NDArray[Any], keys: int) -> NDArray[Any]:
    """Pad the last axis with 0 or False to so many keys."""
    return numpy.pad(values, ((0, 0), (0, 0), (0, keys - values.shape[2])))


def _numbers(count: int) -> list[str]:
    return [str(number + 1) for number in range(count)]
