"""Answers in the order of what was asked, made in batches of about one length, while it is still read."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from heedful.data.batching import batch_by_token_budget

Asked = TypeVar("Asked")
Encoded = TypeVar("Encoded")
Answer = TypeVar("Answer")


def predict_in_order(
    asked: Iterable[Asked],
    *,
    encode: Callable[[list[Asked]], Sequence[Encoded]],
    length: Callable[[Encoded], int],
    answer: Callable[[list[Encoded]], Iterable[Answer]],
    nothing: Callable[[], Answer],
    chunk: int,
    batch_tokens: int,
) -> Iterator[Answer]:
    """Yield the answer to each of what is asked, in order.

    Args:
        asked: read a chunk at a time.
        encode: turns a chunk into what `answer` takes.
        length: tokens of what is encoded; what has none is never asked about.
        answer: of a batch.
        nothing: the answer to what has no tokens.
        chunk: how many are read, and sorted by length, before the first is answered.
        batch_tokens: most tokens in a batch, padding counted.

    >>> def shout(words):
    ...     print("batch:", *words)
    ...     return [word.upper() for word in words]
    >>> list(predict_in_order(["three", "one", "", "two"], encode=list, length=len, answer=shout,
    ...                       nothing=lambda: "-", chunk=10, batch_tokens=6))
    batch: one two
    batch: three
    ['THREE', 'ONE', '-', 'TWO']
    """
    waiting = iter(asked)
    while taken := list(itertools.islice(waiting, chunk)):
        encoded = encode(taken)
        lengths = list(map(length, encoded))
        results = [nothing() for _ in taken]
        filled = sorted((n for n, each in enumerate(lengths) if each), key=lengths.__getitem__)
        for group in batch_by_token_budget(filled, lengths, batch_tokens):
            found = answer([encoded[number] for number in group])
            for number, one in zip(group, found, strict=True):
                results[number] = one
        yield from results
