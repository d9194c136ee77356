"""Small calls have several blocks: chunked takes two rows at a time in these tests."""

from __future__ import annotations

import pytest

from heedful.ops.backends import chunked
from tests.ops.examples import two_rows


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "block_rows", two_rows)
