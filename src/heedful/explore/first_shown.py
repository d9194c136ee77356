"""Which layer is shown first: one rule for the terminal, pages and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from heedful.errors import OptionError
from heedful.explore.schema import AttentionRecord
from heedful.explore.select import group_by_kind


def first_shown(records: Sequence[AttentionRecord]) -> AttentionRecord:
    """Return the record that is shown first, of which the mean over heads is shown.

    It is the one marked `shown_first`, such as the layer from which a translator's alignments are read. Without a
    mark it is the last layer of the first kind in `select.KIND_NAMES`: what an answer looked at before what positions
    looked at. Of records of words and of sub-words, those of words; of several measures, the first.

    Raises:
        OptionError: there are no records.

    >>> low = AttentionRecord("a", "encoder", 0, "x", "y", [[[1.0]]])
    >>> high, pooled = replace(low, layer=1), replace(low, kind="pooling")
    >>> first_shown([low, high]).label, first_shown([low, high, pooled]).label
    ('encoder, layer 2', 'pooling, layer 1')
    """
    if not records:
        raise OptionError("there are no attention records to draw; record a model first.")
    words = [record for record in records if record.merged] or list(records)
    marked = [record for record in words if record.shown_first]
    if marked:
        return marked[0]
    kind = next(iter(group_by_kind(words).values()))
    return [record for record in kind if record.measure == kind[0].measure][-1]


def shown_first(
    records: Iterable[AttentionRecord], chosen: AttentionRecord
) -> list[AttentionRecord]:
    """Return the records with the mark at `chosen` alone, an element of them.

    >>> one = AttentionRecord("a", "cross", 0, "x", "y", [[[1.0]]])
    >>> [each.shown_first for each in shown_first([one, replace(one, layer=1)], one)]
    [True, False]
    """
    return [replace(record, shown_first=record is chosen) for record in records]
