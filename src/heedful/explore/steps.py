"""Attention step by step, with the numbers of a model: what a page shows of one query at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from heedful.errors import OptionError
from heedful.explore.call_detail import CallDetail
from heedful.explore.schema import AttentionRecord

MAX_NUMBERS: Final = 2**20
"""Numbers that the steps of a page may hold: 4 MiB."""
MAX_DIFFERENCE: Final = 1e-4
"""Up to which weights that are recomputed from the steps count as those of the model."""


@dataclass(frozen=True, eq=False)
class Steps:
    """What the weights of one layer were computed from, with its tokens (sub-words, if there are any)."""

    module_path: str
    kind: str
    layer: int
    query_tokens: Sequence[str]
    key_tokens: Sequence[str]
    detail: CallDetail


def steps_of(
    records: Sequence[AttentionRecord], details: Mapping[str, CallDetail]
) -> tuple[Steps, ...]:
    """Return the steps of the records that have details, after checking them.

    Args:
        records: of attention weights, not merged into words.
        details: path -> details of its call.

    Raises:
        OptionError: there are none, they are too many numbers for a page, or recomputing gives other weights.
    """
    found = [
        Steps(
            record.module_path,
            record.kind,
            record.layer,
            record.query_tokens,
            record.key_tokens,
            details[record.module_path],
        )
        for record in records
        if record.module_path in details
        and tuple(details[record.module_path].weights.shape) == record.weights.shape
    ]
    if not found:
        raise OptionError(
            "the attention of this model has no steps to show: its decoding steps are computed together."
        )
    numbers = sum(_numbers(each.detail) for each in found)
    if numbers > MAX_NUMBERS:
        raise OptionError(
            f"the steps of this input are {numbers:,} numbers; a page holds {MAX_NUMBERS:,}. Give a shorter input."
        )
    for each in found:
        if not each.detail.difference <= MAX_DIFFERENCE:
            raise OptionError(
                f"the steps of {each.module_path} give weights that differ by {each.detail.difference:.2g} from the "
                "model's, so they are not shown; load the model in float32."
            )
    return tuple(found)


def _numbers(detail: CallDetail) -> int:
    tensors = (detail.query, detail.key, detail.scores, detail.weights, detail.value, detail.output)
    return sum(tensor.numel() for tensor in tensors)
