"""Padding, and batches of similar length bounded by their padded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from heedful.errors import OptionError

Rows = NDArray[np.int64]
"""Indices of examples."""


def token_batches(lengths: ArrayLike, *, max_tokens: int, seed: int, epoch: int) -> list[Rows]:
    """Group pairs into batches with rows × max(source length, target length) ≤ max_tokens.

    Each pair occurs in one batch, with pairs of similar length. The shuffling depends on (seed, epoch)
    alone. A pair longer than max_tokens forms a batch by itself.

    Args:
        lengths: (pairs, 2), the source length and the target length of each pair.
        max_tokens: the maximum tokens, padding included, on either side of a batch.
        seed: seed of the shuffling.
        epoch: zero-based; each epoch has its own order.

    Returns:
        The indices of the pairs of each batch.

    Raises:
        OptionError: max_tokens is below 1, or seed or epoch is negative.

    Example:
        >>> batches = token_batches([(2, 2), (9, 9), (2, 3)], max_tokens=9, seed=0, epoch=0)
        >>> sorted(sorted(batch.tolist()) for batch in batches)
        [[0, 2], [1]]
    """
    for name, got, least in (("max_tokens", max_tokens, 1), ("seed", seed, 0), ("epoch", epoch, 0)):
        if got < least:
            raise OptionError(f"{name} is {got}; it must be {least} or more.")
    rng = np.random.default_rng([seed, epoch])
    table = np.asarray(lengths).reshape(-1, 2).astype(np.int32, copy=False)
    order = rng.permutation(len(table))
    # The sort is stable: pairs of equal lengths keep their shuffled order.
    order = order[np.argsort(_sort_keys(table)[order], kind="stable")]
    starts = _batch_starts(table[order].max(axis=1, initial=1), max_tokens)
    batches = np.split(order, starts[1:]) if starts else []
    return [batches[index] for index in rng.permutation(len(batches)).tolist()]


def _sort_keys(table: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """Return a number for each pair that orders them by target length, then by source length."""
    source, target = table[:, 0], table[:, 1].astype(np.int64)
    keys = target * (int(source.max(initial=0)) + 1) + source
    # NumPy sorts integers of 16 bits in linear time.
    return keys.astype(np.min_scalar_type(int(keys.max(initial=0))))


def _batch_starts(lengths: NDArray[np.integer[Any]], max_tokens: int) -> list[int]:
    """Return where batches start in a sequence of pairs; a batch takes as many as its padded size allows.

    Pairs of equal length stand together and are taken at once, so that the time is that of the distinct lengths and
    the batches, not of the pairs.

    >>> _batch_starts(np.array([2, 2, 2, 3, 3]), 6)
    [0, 3]
    """
    changes = (np.flatnonzero(np.diff(lengths)) + 1).tolist()
    starts: list[int] = []
    rows = padded = 0
    for first, last in pairwise([0, *changes, len(lengths)]):
        at, length = first, int(lengths[first]) if last else 0
        padded = max(padded, length)
        while at < last:
            if starts and rows < max_tokens // padded:
                added = min(max_tokens // padded - rows, last - at)
            else:
                starts.append(at)
                rows, padded, added = 0, length, 1
            rows, at = rows + added, at + added
    return starts


def pad_ids(
    sequences: Sequence[Sequence[int] | NDArray[np.integer[Any]]], pad: int
) -> tuple[Tensor, Tensor]:
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
