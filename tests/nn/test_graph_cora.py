"""The example on real citations, where the data is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples import load_example

ROOT = Path(__file__).resolve().parents[2]
CORA = ROOT.parent / "shared" / "data" / "cora"


@pytest.mark.long
@pytest.mark.skipif(not CORA.is_dir(), reason="the citations are not on this machine")
def test_papers_are_sorted_as_well_as_published() -> None:
    validation, _ = load_example("cora_gat").train(CORA, seed=0)
    assert validation > 0.76
