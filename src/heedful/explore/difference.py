"""Two models on one text, or one model on two texts: the difference of their weights, on a fixed scale."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from heedful.errors import OptionError
from heedful.explore.schema import AttentionRecord
from heedful.explore.subword_merging import merge_words
from heedful.explore.token_alignment import Place, aligned_places

DIFFERENCE: Final = "difference, second − first"
"""`AttentionRecord.measure` of a difference: between -1 and 1."""


def differences(
    first: Sequence[AttentionRecord], second: Sequence[AttentionRecord]
) -> list[AttentionRecord]:
    """Return second − first for each layer that both have, by kind and layer.

    Of one text, tokens that are cut differently are merged to the largest parts that both have, such as words of
    sub-words. Tokens of two texts are put beside each other (`aligned_places`): a key that one text lacks has a weight
    of 0 there; a query that one lacks has no row, and is masked. Layers with other numbers of heads are compared by
    their means over heads.

    Raises:
        OptionError: the texts have no token in common, or there is no layer that both have.

    >>> one = AttentionRecord("a", "cross", 0, ("Haus",), ("the", "house"), [[[0.5, 0.5]]])
    >>> two = AttentionRecord("a", "cross", 0, ("Ha", "us"), ("the", "house"), [[[1, 0], [0.5, 0.5]]])
    >>> differences([one], [two])[0].weights.tolist()
    [[[0.25, -0.25]]]
    """
    others = {_name(record): record for record in second}
    # Of a model without sub-words there are no merged records.
    others = {(*name[:-1], False): record for name, record in others.items()} | others
    found = []
    for record in first:
        other = others.get(_name(record)) or others.get((*_name(record)[:-1], False))
        if other is not None:
            found.append(_difference(record, other))
    if not found:
        raise OptionError(
            "the two have no layer of attention in common, so there is no difference to show: the first has "
            f"{_names(first)}; the second has {_names(second)}."
        )
    return found


def _name(record: AttentionRecord) -> tuple[str, int, str, bool]:
    return record.kind, record.layer, record.measure, record.merged


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
        shown_first=first.shown_first,
        note="blue: the second looks there more; orange: less; hatched: a row that one of them lacks, or a masked cell",
    )


def _in_common_parts(
    first: AttentionRecord, second: AttentionRecord
) -> tuple[AttentionRecord, AttentionRecord]:
    queries = _axis(first.query_tokens, second.query_tokens, rows_of=(first, second))
    keys = _axis(first.key_tokens, second.key_tokens)
    moved = [_moved(record, queries, keys, side) for side, record in enumerate((first, second))]
    return moved[0], moved[1]


class _Axis(NamedTuple):
    """How the tokens of both stand on a common axis."""

    parts: tuple[list[int], list[int]]
    """Of each token of either its part."""
    names: tuple[Sequence[str], Sequence[str]]
    """Of the parts of either."""
    places: list[Place]
    """Which parts of both are one place."""

    @property
    def titles(self) -> tuple[str, ...]:
        return tuple(
            _both(
                None if one is None else self.names[0][one],
                None if two is None else self.names[1][two],
            )
            for one, two in self.places
        )


def _axis(
    first: Sequence[str],
    second: Sequence[str],
    *,
    rows_of: tuple[AttentionRecord, AttentionRecord] | None = None,
) -> _Axis:
    """Return the common axis of two lists of tokens; `rows_of`: the records whose rows they are."""
    every = list(range(len(first))), list(range(len(second)))
    if "".join(map(plain_token, first)) == "".join(map(plain_token, second)):
        one, two, parts = common_parts(first, second)
        return _Axis((one, two), (parts, parts), [(n, n) for n in range(len(parts))])
    if rows_of is not None and len(first) == len(second):
        # Rows that are named by predictions, which may differ.
        return _Axis(every, (first, second), [(n, n) for n in range(len(first))])
    words = (first, second) if rows_of is None else tuple(map(_words_of_rows, rows_of))
    plain = [[plain_token(token) or token for token in tokens] for tokens in words]
    places = aligned_places(*plain)
    if not any(None not in place for place in places):
        raise OptionError(
            f"the two read texts without a common token, {' '.join(first)[:60]!r} and {' '.join(second)[:60]!r}; "
            "compare texts that differ in some words"
        )
    return _Axis(every, (first, second), places)


def _words_of_rows(record: AttentionRecord) -> Sequence[str]:
    """Return the tokens of the rows, without the label that a tagger has predicted for each."""
    rows, keys = record.query_tokens, record.key_tokens
    are_labelled = len(rows) == len(keys) and all(map(str.startswith, rows, keys))
    return keys if are_labelled else rows


def _both(one: str | None, two: str | None) -> str:
    """Return the title of a place: both names if they differ, a sign of what the other lacks."""
    if one is None or two is None:
        return f"\N{MINUS SIGN}{one}" if two is None else f"+{two}"
    return one if one == two else f"{one}|{two}"


def _moved(record: AttentionRecord, queries: _Axis, keys: _Axis, side: int) -> AttentionRecord:
    """Return a record on the common axes; what it lacks is 0 and masked."""
    record = merge_words(
        record,
        queries=queries.parts[side],
        keys=keys.parts[side],
        query_words=queries.names[side],
        key_words=keys.names[side],
    )
    shape = (len(queries.places), len(keys.places))
    weights = np.zeros((record.heads, *shape), np.float32)
    allowed = np.zeros(weights.shape, np.bool_)
    rows = [
        (at, each)
        for at, place in enumerate(queries.places)
        if None not in place and (each := place[side]) is not None
    ]
    columns = [
        (at, each) for at, place in enumerate(keys.places) if (each := place[side]) is not None
    ]
    to = np.ix_([at for at, _ in rows], [at for at, _ in columns])
    source = np.ix_([each for _, each in rows], [each for _, each in columns])
    for head in range(record.heads):
        weights[head][to] = record.weights[head][source]
        allowed[head][to] = record.allowed[head][source]
    return replace(
        record,
        query_tokens=queries.titles,
        key_tokens=keys.titles,
        weights=weights,
        mask=allowed,
    )


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
