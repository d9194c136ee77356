"""Concatenate the calls from one attention call site, such as the steps of a decoder, into one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
from numpy.typing import NDArray

from heedful.explore.schema import AttentionRecord


@dataclass(frozen=True)
class RecordedCall:
    """One attention call, for one example: weights and mask (heads, queries, keys)."""

    weights: NDArray[Any]
    allowed: NDArray[numpy.bool_]
    backend: str


@dataclass
class CallSite:
    """One place in a module that computes attention: called once per forward pass, or once per decoding step."""

    path: str
    kind: str
    calls: list[RecordedCall] = field(default_factory=list)


def group_by_layer(
    calls: list[RecordedCall], tokens: tuple[Sequence[str], Sequence[str]] | None
) -> list[list[RecordedCall]]:
    """Group the calls of a site by layer.

    Usually all calls are steps of one layer. If each call alone has the shape of the tokens, several layers
    share the module, and each call is a layer of its own.
    """
    if tokens is not None and len(calls) > 1:
        expected = (len(tokens[0]), len(tokens[1]))
        if all(call.weights.shape[1:] == expected for call in calls):
            return [[call] for call in calls]
    return [calls]


def concatenate_calls(
    site: CallSite,
    calls: list[RecordedCall],
    layer: int,
    tokens: tuple[Sequence[str], Sequence[str]] | None,
) -> AttentionRecord:
    """Concatenate the calls of one layer along queries; keys that a call did not have count as masked.

    `tokens` is (query tokens, key tokens); without it the labels are position numbers.
    """
    keys = max(call.weights.shape[2] for call in calls)
    weights = numpy.concatenate([_pad_keys(call.weights, keys) for call in calls], axis=1)
    allowed = numpy.concatenate([_pad_keys(call.allowed, keys) for call in calls], axis=1)
    query_tokens, key_tokens = tokens or (
        _position_labels(weights.shape[1]),
        _position_labels(keys),
    )
    backends = list(dict.fromkeys(call.backend for call in calls))
    return AttentionRecord(
        module_path=site.path,
        kind=site.kind,
        layer=layer,
        query_tokens=query_tokens,
        key_tokens=key_tokens,
        weights=weights,
        mask=allowed,
        backend=", ".join(backends),
    )


def _pad_keys(values: NDArray[Any], keys: int) -> NDArray[Any]:
    """Pad the last axis to `keys` with 0 or False."""
    return numpy.pad(values, ((0, 0), (0, 0), (0, keys - values.shape[2])))


def _position_labels(count: int) -> list[str]:
    return [str(number + 1) for number in range(count)]
