"""Batches of pairs of about the same length, bounded by their padded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from heedful.errors import OptionError


def token_batches(
    lengths: Sequence[tuple[int, int]], *, max_tokens: int, seed: int, epoch: int
) -> list[list[int]]:
    """Group pairs into batches of rows × max(longest source, longest target) ≤ max_tokens.

    Pairs of about the same lengths come together, in an order that is shuffled by (seed, epoch) and
    by nothing else; each pair comes once. A pair that is longer than max_tokens makes a batch alone.

    Args:
        lengths: the source and the target length of each pair.
        max_tokens: the most tokens, padding included, on either side of a batch.
        seed: of the shuffling.
        epoch: counted from 0; each epoch has its own order.

    Returns:
        For each batch, the indices of its pairs.

    Raises:
        OptionError: max_tokens below 1, a negative seed or epoch.

    Example:
        >>> sorted(sorted(batch) for batch in token_batches([(2, 2), (9, 9), (2, 3)], max_tokens=9, seed=0, epoch=0))
        [[0, 2], [1]]
    """
    for name, got, least in (("max_tokens", max_tokens, 1), ("seed", seed, 0), ("epoch", epoch, 0)):
        if got < least:
            raise OptionError(f"{name} is {got}; {least} or more is wanted.")
    random = np.random.default_rng([seed, epoch])
    table = np.asarray(lengths, dtype=np.int64).reshape(-1, 2)
    order = random.permutation(len(table))
    # The sort is stable, so pairs of equal lengths stay in their shuffled order.
    order = order[np.lexsort((table[order, 0], table[order, 1]))]
    widest = table.max(axis=1, initial=1)
    batches: list[list[int]] = []
    longest = 0
    for index in order.tolist():
        longest = max(longest, int(widest[index]))
        if batches and (len(batches[-1]) + 1) * longest <= max_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
            longest = int(widest[index])
    return [batches[index] for index in random.permutation(len(batches)).tolist()]


def pad_ids(sequences: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Pad id sequences on the right: (batch, longest) ids and (batch,) lengths, both long.

    >>> pad_ids([[1, 2], [3]], pad=0)[1].tolist()
    [2, 1]
    """
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    padded = np.full((len(lengths), int(lengths.max(initial=0))), pad, dtype=np.int64)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(padded), torch.from_numpy(lengths)


def groups_within(
    order: Iterable[int], lengths: Sequence[int], most_tokens: int
) -> Iterator[list[int]]:
    """Cut numbers, sorted by their lengths, into groups of at most so many tokens, padding counted.

    A single longer one is a group of its own.

    >>> list(groups_within([0, 2, 1], [1, 5, 2], 4))
    [[0, 2], [1]]
    """
    group: list[int] = []
    for number in order:
        if group and (len(group) + 1) * lengths[number] > most_tokens:
            yield group
            group = []
        group.append(number)
    if group:
        yield group
