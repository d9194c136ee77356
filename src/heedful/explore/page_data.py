"""What a page embeds of attention records: a description as JSON, and the weights of each layer as packed bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.explore.difference import DIFFERENCE
from heedful.explore.first_shown import first_shown
from heedful.explore.gates.cells import KEEPING
from heedful.explore.gates.draw import LayerGates
from heedful.explore.gold import GoldAlignment
from heedful.explore.schema import AttentionRecord
from heedful.explore.select import group_by_kind, kind_name
from heedful.explore.steps import Steps
from heedful.explore.subword_merging import MERGED_NOTE
from heedful.explore.weight_codes import (
    byte_planes,
    code_weights,
    largest_of,
    packed,
    row_statistics,
)

PAGE_SCHEMA: Final = "heedful.explorer/1"
MAX_GATES: Final = 2**20
"""Numbers of the gates of a layer that a page holds; of more, the mean and one unit."""
MAX_KEPT: Final = 200
"""Up to so many tokens the page shows what is kept of each at each."""
EXACT_CELLS: Final = 2**17
"""Up to so many weights in a figure are embedded as float32 numbers; of more, one byte each."""

Drawing = Mapping[str, Any]
"""What the input looks like, as JSON values: `GraphView.drawing` or `image_drawing`."""


@dataclass(frozen=True)
class PageData:
    """The description of a figure, and name -> base64 of what it refers to."""

    description: Mapping[str, Any]
    parts: Mapping[str, str]


def page_data(
    records: Sequence[AttentionRecord],
    *,
    name: str,
    gold: GoldAlignment | None = None,
    steps: Sequence[Steps] = (),
    gates: Sequence[LayerGates] = (),
    drawing: Drawing | None = None,
) -> PageData:
    """Return what a page embeds of the records of one example; `name` begins the name of each part.

    Equal tokens and equal masks are embedded once. Each record has three parts: weights, either float32 (`exact`) or
    the codes of `code_weights`, (heads, queries, keys); the statistics of its rows (`row_statistics`); and its mask,
    as packed bits (mask_heads, queries, keys). What is float32 stands as `byte_planes`.

    >>> record = AttentionRecord("a", "cross", 0, ("Haus",), ("house",), [[[1.0]]])
    >>> data = page_data([record], name="one")
    >>> data.description["records"][0]["weights"], sorted(data.parts)
    ('one-0', ['one-0', 'one-1'])
    """
    # Without sub-words the merged and the unmerged record of an example are equal: drop the duplicate.
    groups = group_by_kind(dict.fromkeys(records))
    shown = [record for members in groups.values() for record in members]
    exact = sum(record.weights.size for record in shown) <= EXACT_CELLS
    parts = _Parts(name)
    tokens: dict[tuple[str, ...], int] = {}
    ranges = _ranges(shown)
    values = [
        _describe(record, tokens, parts, ranges[record.measure], exact=exact) for record in shown
    ]
    described = [_describe_steps(each, tokens, parts) for each in steps]
    description: dict[str, Any] = {
        "schema": PAGE_SCHEMA,
        "merged_note": MERGED_NOTE,
        "kind_names": {kind: kind_name(kind) for kind in groups},
        "first": shown.index(first_shown(shown)),
        "records": values,
        "gold": None if gold is None else gold.to_dict(),
        "drawing": drawing,
        "steps": described,
        "gates": [_describe_gates(each, tokens, parts) for each in gates],
    }
    description["tokens"] = [list(each) for each in tokens]
    return PageData(description, parts.texts)


class _Parts:
    """Packed arrays by name, equal ones once."""

    def __init__(self, name: str):
        self._name, self._known = name, dict[bytes, str]()
        self.texts: dict[str, str] = {}

    def add(self, values: NDArray[Any]) -> str:
        values = np.ascontiguousarray(values)
        digest = hashlib.sha256(values.data).digest()
        if digest not in self._known:
            self._known[digest] = f"{self._name}-{len(self.texts)}"
            self.texts[self._known[digest]] = packed(values)
        return self._known[digest]


def _ranges(records: Sequence[AttentionRecord]) -> dict[str, tuple[float, bool]]:
    """Return measure -> (largest value of its colour scale, whether it has negative values), for all its records."""
    found: dict[str, tuple[float, bool]] = {}
    for measure in dict.fromkeys(record.measure for record in records):
        weights = [record.weights for record in records if record.measure == measure]
        signed = any(bool((each < 0).any()) for each in weights)
        found[measure] = largest_of(weights, signed=signed), signed
        if measure == DIFFERENCE:
            found[measure] = 1.0, True
    return found


def _axes(
    tokens: dict[tuple[str, ...], int], queries: Sequence[str], keys: Sequence[str]
) -> list[int]:
    return [tokens.setdefault(tuple(each), len(tokens)) for each in (queries, keys)]


def _describe(
    record: AttentionRecord,
    tokens: dict[tuple[str, ...], int],
    parts: _Parts,
    range_: tuple[float, bool],
    *,
    exact: bool,
) -> dict[str, Any]:
    weights: NDArray[np.float32] = record.weights
    top, signed = range_
    embedded: NDArray[Any] = byte_planes(weights)
    if not exact:
        embedded = code_weights(weights, top=top, signed=signed).codes
    queries, keys = _axes(tokens, record.query_tokens, record.key_tokens)
    return {
        "module_path": record.module_path,
        "kind": record.kind,
        "layer": record.layer,
        "heads": record.heads,
        "queries": queries,
        "keys": keys,
        "mask": None if record.mask is None else parts.add(np.packbits(record.mask)),
        "mask_heads": 0 if record.mask is None else len(record.mask),
        "backend": record.backend,
        "merged": record.merged,
        "measure": record.measure,
        "exact": exact,
        "top": top,
        "signed": signed,
        "weights": parts.add(embedded),
        "rows": parts.add(byte_planes(row_statistics(weights))),
        "note": record.note,
    }


def _describe_steps(
    steps: Steps, tokens: dict[tuple[str, ...], int], parts: _Parts
) -> dict[str, Any]:
    queries, keys = _axes(tokens, steps.query_tokens, steps.key_tokens)
    detail = steps.detail
    arrays = {
        "query": detail.query,
        "key": detail.key,
        "scores": detail.scores,
        "bias": detail.bias,
        "weights": detail.weights,
        "value": detail.value,
        "output": detail.output,
    }
    return {
        "kind": steps.kind,
        "layer": steps.layer,
        "module_path": steps.module_path,
        "queries": queries,
        "keys": keys,
        "heads": len(detail.weights),
        "score": detail.score,
        "scale": detail.scale,
        "is_product": detail.is_product,
        "normalizer": detail.normalizer,
        "allowed": parts.add(np.packbits(detail.allowed.numpy())),
        **{
            name: None if tensor is None else parts.add(byte_planes(tensor.float().numpy()))
            for name, tensor in arrays.items()
        },
    }


def _describe_gates(
    gates: LayerGates, tokens: dict[tuple[str, ...], int], parts: _Parts
) -> dict[str, Any]:
    found = gates.record.gates
    # The mean over units comes first.
    units, kept = found.gates.values(), None
    values = [np.column_stack([each.mean(axis=1), each]) for each in units]
    names = [f"mean over {found.units} units", *(f"unit {n + 1}" for n in range(found.units))]
    if found.keeping.size * len(values) > MAX_GATES:
        chosen = [0, gates.unit + 1]
        values, names = [each[:, chosen] for each in values], [names[place] for place in chosen]
    if len(gates.labels) <= MAX_KEPT:
        kept = parts.add(byte_planes(found.kept().astype(np.float32)))
    small = len(names) == 2 and found.units > 1
    lives = found.half_lives()[[gates.unit]] if small else found.half_lives()
    return {
        "label": gates.label,
        "names": list(found.gates),
        "keeping": list(found.gates).index(KEEPING[found.cell]),
        "reverse": found.reverse,
        "tokens": tokens.setdefault(gates.labels, len(tokens)),
        "units": names,
        "unit": 1 if small else gates.unit + 1,
        "values": parts.add(byte_planes(np.stack(values).astype(np.float32))),
        "kept": kept,
        "half_lives": parts.add(byte_planes(lives.astype(np.float32))),
        "note": gates.note[:1].upper() + gates.note[1:],
    }
