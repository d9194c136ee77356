from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from heedful.data.batching import pad_ids, token_batches
from heedful.errors import OptionError

LENGTHS = [(random.Random(0).randint(1, 40), random.Random(i).randint(1, 40)) for i in range(500)]


Lengths = list[tuple[int, int]]


def rows_of(lengths: Lengths, **options: int) -> list[list[int]]:
    return [batch.tolist() for batch in token_batches(lengths, **options)]


def one_pair_at_a_time(
    lengths: Lengths, *, max_tokens: int, seed: int, epoch: int
) -> list[list[int]]:
    """The definition of the batches: shuffle, sort, and fill one batch after the other."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths)).tolist()
    batches: list[list[int]] = []
    longest = 0
    for row in sorted(order, key=lambda row: (lengths[row][1], lengths[row][0])):
        length = max(1, *lengths[row])
        longest = max(longest, length)
        if batches and (len(batches[-1]) + 1) * longest <= max_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
            longest = length
    return [batches[index] for index in rng.permutation(len(batches)).tolist()]


@given(
    lengths=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60),
    max_tokens=st.integers(1, 100),
    seed=st.integers(0, 5),
)
def test_each_pair_comes_once_and_no_batch_is_too_large(
    lengths: list[tuple[int, int]], max_tokens: int, seed: int
) -> None:
    batches = rows_of(lengths, max_tokens=max_tokens, seed=seed, epoch=0)
    assert batches == one_pair_at_a_time(lengths, max_tokens=max_tokens, seed=seed, epoch=0)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        size = len(batch) * max(max(lengths[index]) for index in batch)
        assert batch
        assert size <= max_tokens or len(batch) == 1


def test_the_order_is_decided_by_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        return rows_of(LENGTHS, max_tokens=200, seed=seed, epoch=epoch)

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)
    assert order(1, 2) != order(2, 1)


def test_many_pairs_are_batched_as_one_at_a_time() -> None:
    rng = np.random.default_rng(0)
    lengths = [tuple(pair) for pair in rng.integers(1, 300, (3000, 2)).tolist()]
    for budget in (1, 250, 4096):
        options = {"max_tokens": budget, "seed": 1, "epoch": 2}
        assert rows_of(lengths, **options) == one_pair_at_a_time(lengths, **options)


def test_batches_hold_pairs_of_like_length() -> None:
    batches = token_batches(LENGTHS, max_tokens=200, seed=0, epoch=0)
    padded = sum(len(batch) * max(LENGTHS[index][1] for index in batch) for batch in batches)
    assert padded < 1.1 * sum(target for _, target in LENGTHS)


def test_batches_come_in_no_order_of_length() -> None:
    batches = token_batches(LENGTHS, max_tokens=200, seed=0, epoch=0)
    widths = [max(LENGTHS[index][1] for index in batch) for batch in batches]
    assert widths not in (sorted(widths), sorted(widths, reverse=True))


@pytest.mark.parametrize(
    ("name", "change"),
    [("max_tokens", {"max_tokens": 0}), ("seed", {"seed": -1}), ("epoch", {"epoch": -1})],
)
def test_impossible_options(name: str, change: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=rf"{name} is (0|-1); it must be [01] or more"):
        token_batches([(1, 1)], **{"max_tokens": 5, "seed": 0, "epoch": 0, **change})


def test_ids_are_padded_on_the_right() -> None:
    ids, lengths = pad_ids([[4, 5, 6], [8]], pad=0)
    assert ids.tolist() == [[4, 5, 6], [8, 0, 0]]
    assert lengths.tolist() == [3, 1]
    assert ids.dtype == lengths.dtype == torch.long


def test_padding_is_what_was_asked_for() -> None:
    assert pad_ids([[1], [2, 3]], pad=7)[0].tolist() == [[1, 7], [2, 3]]
    assert pad_ids([[], []], pad=7)[0].shape == (2, 0)
