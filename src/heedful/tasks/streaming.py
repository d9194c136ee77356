"""Stream predictions in input order, batching inputs of similar length."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from heedful.data.batching import batch_by_token_budget
from heedful.errors import NonFiniteError

Input = TypeVar("Input")
Encoded = TypeVar("Encoded")
Prediction = TypeVar("Prediction")


def predict_in_order(
    inputs: Iterable[Input],
    *,
    encode: Callable[[list[Input]], Sequence[Encoded]],
    length: Callable[[Encoded], int],
    predict: Callable[[list[Encoded]], Iterable[Prediction]],
    empty: Callable[[], Prediction],
    chunk: int,
    batch_tokens: int,
) -> Iterator[Prediction]:
    """Lazily yield the prediction of each input, in order.

    Args:
        inputs: read one chunk at a time.
        encode: encodes a chunk.
        length: the number of tokens of an encoded input.
        predict: predicts a batch of encoded inputs.
        empty: returns the prediction of an input without tokens, which is never passed to `predict`.
        chunk: the number of inputs that are read and sorted by length before the first prediction.
        batch_tokens: the maximum tokens in a batch, padding included.

    Raises: NonFiniteError of `predict`, with the index of the input among all.

    >>> def shout(words):
    ...     print("batch:", *words)
    ...     return [word.upper() for word in words]
    >>> list(predict_in_order(["three", "one", "", "two"], encode=list, length=len, predict=shout,
    ...                       empty=lambda: "-", chunk=10, batch_tokens=6))
    batch: one two
    batch: three
    ['THREE', 'ONE', '-', 'TWO']
    """
    remaining, before = iter(inputs), 0
    while examples := list(itertools.islice(remaining, chunk)):
        encoded = encode(examples)
        lengths = list(map(length, encoded))
        predictions = [empty() for _ in examples]
        order = sorted((n for n, each in enumerate(lengths) if each), key=lengths.__getitem__)
        for batch in batch_by_token_budget(order, lengths, batch_tokens):
            try:
                predicted = predict([encoded[index] for index in batch])
            except NonFiniteError as error:
                raise NonFiniteError(before + batch[error.row]) from None
            for index, prediction in zip(batch, predicted, strict=True):
                predictions[index] = prediction
        before += len(examples)
        yield from predictions
