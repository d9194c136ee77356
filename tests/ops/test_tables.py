"""Nothing joins a table without an example, and so without the contract tests."""

from __future__ import annotations

import pytest
import torch

from heedful.ops.backends import BACKENDS
from heedful.ops.masks import MASKS
from heedful.ops.normalizers import NORMALIZERS
from heedful.ops.scores import SCORES
from tests.ops.examples import (
    BACKEND_EXAMPLES,
    EQUAL_SIZES,
    MASK_EXAMPLES,
    NORMALIZER_EXAMPLES,
    SCORE_EXAMPLES,
    example,
)


@pytest.mark.parametrize(
    ("table", "examples"),
    [
        (SCORES, SCORE_EXAMPLES),
        (MASKS, MASK_EXAMPLES),
        (NORMALIZERS, NORMALIZER_EXAMPLES),
        (BACKENDS, BACKEND_EXAMPLES),
    ],
    ids=["scores", "masks", "normalizers", "backends"],
)
def test_every_entry_has_an_example(table: dict[str, object], examples: dict[str, object]) -> None:
    assert table.keys() == examples.keys()


def test_equal_sizes_names_scores() -> None:
    assert SCORES.keys() >= EQUAL_SIZES


@pytest.mark.parametrize("name", SCORES)
def test_score_examples_are_what_they_are_called(name: str) -> None:
    made = example(name).score
    assert type(made) is SCORES[name]
    assert made.name == name


@pytest.mark.parametrize("name", NORMALIZERS)
def test_normalizer_examples_are_what_they_are_called(name: str) -> None:
    made = NORMALIZER_EXAMPLES[name]((), torch.float64)
    assert type(made) is NORMALIZERS[name]
    assert made.name == name


@pytest.mark.parametrize("name", MASKS)
def test_mask_examples_leave_a_row_empty_and_hide_a_key(name: str) -> None:
    call = example("dot", name)
    assert type(call.mask) is MASKS[name]
    keep = call.keep()
    assert bool((~keep.any(-1)).any()), "no row is empty"
    assert bool(keep.any(-1).any()), "all rows are empty"
    assert not bool(keep.all(-2).all()), "no key is hidden from any row"


def test_backends_are_called_by_their_name() -> None:
    assert all(name == backend.name and backend.why for name, backend in BACKENDS.items())
