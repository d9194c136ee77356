"""The traps that tests/conftest.py sets are really set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch


def test_unset_memory_is_nan() -> None:
    assert torch.empty(3, 4).isnan().all()
    assert torch.empty_like(torch.zeros(5)).isnan().all()
    assert (torch.empty(3, dtype=torch.long) == torch.iinfo(torch.long).max).all()


def test_a_missing_corpus_skips_and_is_named(shared_data: Callable[[str], Path]) -> None:
    with pytest.raises(
        pytest.skip.Exception, match=r"\.\./shared/data/no_such_corpus is not there"
    ):
        shared_data("no_such_corpus")
