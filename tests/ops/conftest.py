"""Small calls have several blocks: chunked, band and additive take two rows at a time, or one compiled block."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from heedful.ops.backends import chunked
from heedful.ops.backends.additive import visible as additive_visible
from heedful.ops.backends.band import bias as band_added
from heedful.ops.backends.band import blocks as band_blocks
from heedful.ops.plan import forget_routes
from tests.ops.examples import two_rows


@pytest.fixture(autouse=True)
def _no_routes_of_other_tests() -> Iterator[None]:
    """What a test changes, such as sizes of blocks, is not in the signature by which routes are remembered."""
    forget_routes()
    yield
    forget_routes()


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "block_rows", two_rows)
    monkeypatch.setattr(additive_visible, "FEWEST_ROWS", 2)
    monkeypatch.setattr(additive_visible, "PIECE_BYTES", 2)
    monkeypatch.setattr(band_blocks, "block_rows", two_rows)
    monkeypatch.setattr(band_added, "PIECE_BYTES", 2)
