"""The traps that tests/conftest.py sets are really set."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.conftest import ON_ONE_THREAD, ROOT, pytest_runtest_setup


def test_unset_memory_is_nan() -> None:
    assert torch.empty(3, 4).isnan().all()
    assert torch.empty_like(torch.zeros(5)).isnan().all()
    assert (torch.empty(3, dtype=torch.long) == torch.iinfo(torch.long).max).all()


@pytest.mark.parametrize("area", [*ON_ONE_THREAD, "tests/ops/", "src/heedful/training/"])
def test_threads_are_those_of_the_area_whatever_ran_before(area: str) -> None:
    assert (ROOT / area).is_dir()
    assert torch.get_num_threads() == int(os.environ["OMP_NUM_THREADS"])
    torch.set_num_threads(3)
    pytest_runtest_setup(SimpleNamespace(nodeid=f"{area}test_it.py::test_it"))
    wanted = 1 if area in ON_ONE_THREAD else int(os.environ["OMP_NUM_THREADS"])
    assert torch.get_num_threads() == wanted


def test_a_missing_corpus_skips_and_is_named(corpus_folder: Callable[[str], Path]) -> None:
    with pytest.raises(
        pytest.skip.Exception, match="the corpus no_such_corpus is not in the folder"
    ):
        corpus_folder("no_such_corpus")
