"""Two models, or two states of one, on the same text: the difference of their weights, on a fixed scale."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from heedful.errors import OptionError
from heedful.explore.schema import AttentionRecord
from heedful.explore.subword_merging import merge_words

DIFFERENCE: Final = "difference of the weights, second − first"
"""`AttentionRecord.measure` of a difference: between -1 and 1."""


def differences(
    first: Sequence[AttentionRecord], second: Sequence[AttentionRecord]
) -> list[AttentionRecord]:
    """Return second − first for each layer that both have, by kind and layer.

    Tokens that are cut differently are merged to the largest parts that both have, such as words of sub-words. Layers
    with other numbers of heads are compared by their means over heads.

    Raises:
        OptionError: the texts differ, or there is no layer that both have.

    >>> one = AttentionRecord("a", "cross", 0, ("Haus",), ("the", "house"), [[[0.5, 0.5]]])
    >>> two = AttentionRecord("a", "cross", 0, ("Ha", "us"), ("the", "house"), [[[1, 0], [0.5, 0.5]]])
    >>> differences([one], [two])[0].weights.tolist()
    [[[0.25, -0.25]]]
    """
    others = {(record.kind, record.layer, record.measure): record for record in second}
    found = []
    for record in first:
        other = others.get((record.kind, record.layer, record.measure))
        if other is not None:
            found.append(_difference(record, other))
    if not found:
        raise OptionError(
            "the two have no layer of attention in common, so there is no difference to show: the first has "
            f"{_names(first)}; the second has {_names(second)}."
        )
    return found


def _names(records: Sequence[AttentionRecord]) -> str:
    return "; ".join(dict.fromkeys(record.label for record in records)) or "none"


def _difference(first: AttentionRecord, second: AttentionRecord) -> AttentionRecord:
    if first.heads != second.heads:
        first, second = first.mean(), second.mean()
    first, second = _in_common_parts(first, second)
    return replace(
        first,
        weights=second.weights - first.weights,
        mask=first.allowed | second.allowed,
        measure=DIFFERENCE,
        backend="",
        shown_first=False,
        note="blue: the second looks there more; orange: less",
    )


def _in_common_parts(
    first: AttentionRecord, second: AttentionRecord
) -> tuple[AttentionRecord, AttentionRecord]:
    queries = _rows(first.query_tokens, second.query_tokens)
    keys = common_parts(first.key_tokens, second.key_tokens)
    merged = [
        merge_words(
            record,
            queries=(queries[0], queries[1])[side],
            keys=(keys[0], keys[1])[side],
            query_words=queries[2],
            key_words=keys[2],
        )
        for side, record in enumerate((first, second))
    ]
    return merged[0], merged[1]


def _rows(first: Sequence[str], second: Sequence[str]) -> tuple[list[int], list[int], list[str]]:
    """As `common_parts`; rows that are as many and named by predictions, which may differ, have both names."""
    if len(first) != len(second):
        return common_parts(first, second)
    names = [one if one == two else f"{one}|{two}" for one, two in zip(first, second, strict=True)]
    every = list(range(len(names)))
    return every, every, names


def common_parts(
    first: Sequence[str], second: Sequence[str]
) -> tuple[list[int], list[int], list[str]]:
    """Return the part of each token of both, and the parts: the smallest that cut no token of either.

    Raises:
        OptionError: the texts differ by more than spaces and marks of sub-words.

    >>> common_parts(("▁hou", "ses", "▁are"), ("house", "s", "are"))
    ([0, 0, 1], [0, 0, 1], ['houses', 'are'])
    """
    plain = [[plain_token(token) for token in tokens] for tokens in (first, second)]
    texts = ["".join(tokens) for tokens in plain]
    if texts[0] != texts[1]:
        raise OptionError(
            f"the two read different texts, {texts[0][:60]!r} and {texts[1][:60]!r}; compare them on the same one."
        )
    ends = [set(itertools.accumulate(map(len, tokens))) for tokens in plain]
    cuts = sorted((ends[0] & ends[1]) - {0, len(texts[0])})
    bounds = [0, *cuts, len(texts[0])]
    parts = [texts[0][start:end] for start, end in itertools.pairwise(bounds)]
    indices = []
    for tokens in plain:
        starts = itertools.accumulate(map(len, tokens), initial=0)
        part = [sum(cut <= start for cut in cuts) for start, _ in zip(starts, tokens, strict=False)]
        indices.append(part)
    return indices[0], indices[1], parts


def plain_token(token: str) -> str:
    """Return a token without spaces and the marks by which vocabularies write them."""
    return "".join(token.removeprefix("##").replace("▁", "").replace("␣", "").split())
