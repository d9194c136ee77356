"""Select records by kind, layer and head, group them, and average them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy

from heedful.errors import OptionError, unknown_choice
from heedful.explore.schema import AttentionRecord

KIND_NAMES: Final = {
    "cross": "output × input",
    "ctc": "output × input",
    "pooling": "answer × input",
    "saliency": "answer × input",
    "rollout": "answer × input",
    "encoder": "input × input",
    "decoder": "output × output",
    "neighbours": "node × neighbours",
    "edges": "node × node",
    "self": "self-attention",
}
"""Kind of attention -> its queries × keys in words, in display order; others are displayed by their name."""


OUTPUT_KINDS: Final = ("cross", "ctc")
"""Kinds whose rows are the tokens of a generated text and whose columns are the input."""


def kind_name(kind: str) -> str:
    """Return the display name of a kind of attention.

    >>> kind_name("cross")
    'cross: output × input'
    >>> kind_name("memory")
    'memory'
    """
    return f"{kind}: {KIND_NAMES[kind]}" if kind in KIND_NAMES else kind


def group_by_kind(records: Iterable[AttentionRecord]) -> dict[str, list[AttentionRecord]]:
    """Group records by kind, in the order of `KIND_NAMES`, each group sorted by layer."""
    groups: dict[str, list[AttentionRecord]] = {}
    for record in records:
        groups.setdefault(record.kind, []).append(record)
    order = list(KIND_NAMES)
    rank = {kind: order.index(kind) if kind in order else len(order) for kind in groups}
    return {
        kind: sorted(groups[kind], key=lambda record: record.layer)
        for kind in sorted(groups, key=lambda kind: rank[kind])
    }


def select(
    records: Iterable[AttentionRecord],
    *,
    kind: str | None = None,
    layer: int | None = None,
    head: int | None = None,
) -> list[AttentionRecord]:
    """Return the records of one kind and layer, reduced to one head; layer and head count from 0.

    Raises:
        OptionError: there is no such kind, layer or head.

    >>> one = AttentionRecord("a", "cross", 0, ("x",), ("y",), [[[1.0]], [[0.5]]])
    >>> select([one], kind="cross", head=1)[0].weights.tolist()
    [[[0.5]]]
    """
    chosen = list(records)
    if kind is not None:
        kinds = list(dict.fromkeys(record.kind for record in chosen))
        if kind not in kinds:
            raise unknown_choice("kind of attention", kind, kinds)
        chosen = [record for record in chosen if record.kind == kind]
    if layer is not None:
        layers = sorted({record.layer for record in chosen})
        if layer not in layers:
            names = ", ".join(str(number + 1) for number in layers)
            raise OptionError(f"there is no layer {layer + 1} here; the layers are: {names}.")
        chosen = [record for record in chosen if record.layer == layer]
    return chosen if head is None else [record.head(head) for record in chosen]


def overall_mean(records: Sequence[AttentionRecord]) -> AttentionRecord:
    """Return the mean over heads and layers of records that have the same tokens.

    Raises:
        OptionError: there are no records, or their tokens differ.
    """
    if not records:
        raise OptionError("there are no attention records to average; record a model first.")
    first = records[0]
    tokens = {(record.query_tokens, record.key_tokens) for record in records}
    if len(tokens) > 1:
        raise OptionError(
            "records of different tokens cannot be averaged; choose one kind with select(records, kind=...)."
        )
    weights = numpy.concatenate([record.weights for record in records])
    allowed = numpy.concatenate([record.allowed for record in records])
    return replace(first, weights=weights, mask=allowed).mean()
