"""What all tests of the benchmark share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def nothing_old_is_collected() -> Iterator[None]:
    """Every measurement collects garbage first: among what was imported by now there is none, and it takes long."""
    gc.freeze()
    yield
    gc.unfreeze()
