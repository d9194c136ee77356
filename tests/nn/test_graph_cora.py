"""The example on real citations, where the data is at hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORA = ROOT.parent / "shared" / "data" / "cora"


@pytest.mark.long
@pytest.mark.skipif(not CORA.is_dir(), reason="the citations are not on this machine")
def test_papers_are_sorted_as_well_as_published() -> None:
    spec = importlib.util.spec_from_file_location("cora_gat", ROOT / "examples" / "cora_gat.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    validation, _ = example.train(CORA, seed=0)
    assert validation > 0.76
