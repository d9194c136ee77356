"""Padding, and batches of similar length bounded by their padded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from heedful.errors import OptionError


def token_batches(
    lengths: Sequence[tuple[int, int]], *, max_tokens: int, seed: int, epoch: int
) -> list[list[int]]:
    """Group pairs into batches with rows × max(source length, target length) ≤ max_tokens.

    Each pair occurs in one batch, with pairs of similar length. The shuffling depends on (seed, epoch)
    alone. A pair longer than max_tokens forms a batch by itself.

    Args:
        lengths: (source length, target length) of each pair.
        max_tokens: the maximum tokens, padding included, on either side of a batch.
        seed: seed of the shuffling.
        epoch: zero-based; each epoch has its own order.

    Returns:
        The indices of the pairs of each batch.

    Raises:
        OptionError: max_tokens is below 1, or seed or epoch is negative.

    Example:
        >>> sorted(sorted(batch) for batch in token_batches([(2, 2), (9, 9), (2, 3)], max_tokens=9, seed=0, epoch=0))
        [[0, 2], [1]]
    """
    for name, got, least in (("max_tokens", max_tokens, 1), ("seed", seed, 0), ("epoch", epoch, 0)):
        if got < least:
            raise OptionError(f"{name} is {got}; it must be {least} or more.")
    rng = np.random.default_rng([seed, epoch])
    table = np.asarray(lengths, dtype=np.int64).reshape(-1, 2)
    order = rng.permutation(len(table))
    # The sort is stable: pairs of equal lengths keep their shuffled order.
    order = order[np.lexsort((table[order, 0], table[order, 1]))]
    pair_lengths = table.max(axis=1, initial=1).tolist()
    batches: list[list[int]] = []
    padded_length = 0
    for index in order.tolist():
        padded_length = max(padded_length, pair_lengths[index])
        if batches and (len(batches[-1]) + 1) * padded_length <= max_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
            padded_length = pair_lengths[index]
    return [batches[index] for index in rng.permutation(len(batches)).tolist()]


def pad_ids(sequences: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Right-pad id sequences; return ids (batch, max length) and lengths (batch,), both int64.

    >>> pad_ids([[1, 2], [3]], pad=0)[1].tolist()
    [2, 1]
    """
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    padded = np.full((len(lengths), int(lengths.max(initial=0))), pad, dtype=np.int64)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(padded), torch.from_numpy(lengths)


def batch_by_token_budget(
    order: Iterable[int], lengths: Sequence[int], max_tokens: int
) -> Iterator[list[int]]:
    """Split indices into batches of at most `max_tokens` tokens, padding included.

    A sequence longer than `max_tokens` forms a batch by itself.

    Args:
        order: indices, by increasing length.
        lengths: the length of each sequence.
        max_tokens: the token budget of a batch.

    >>> list(batch_by_token_budget([0, 2, 1], [1, 5, 2], 4))
    [[0, 2], [1]]
    """
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * lengths[index] > max_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
