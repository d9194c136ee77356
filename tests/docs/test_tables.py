"""The tables of docs/attention.md list what the package has: no more, no less."""

from __future__ import annotations

import re

from heedful import masks, normalizers, positions, scores
from heedful.models.encoders import ENCODERS
from heedful.ops.backends import BACKENDS
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "attention.md").read_text(encoding="utf-8")
TAGGING = (ROOT / "docs" / "tagging.md").read_text(encoding="utf-8")


def section(heading: str, page: str = PAGE) -> str:
    return next(
        part for part in re.split(r"^## ", page, flags=re.MULTILINE) if part.startswith(heading)
    )


def first_column(heading: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", section(heading), flags=re.MULTILINE)


def class_names(table: dict[str, type]) -> list[str]:
    return [entry.__name__ for entry in table.values()]


def test_scores() -> None:
    assert first_column("Scores") == class_names(scores.SCORES)


def test_masks() -> None:
    assert first_column("Masks") == class_names(masks.MASKS)


def test_normalizers() -> None:
    assert first_column("Normalizers") == class_names(normalizers.NORMALIZERS)


def test_backends() -> None:
    assert sorted(first_column("Backends")) == sorted(BACKENDS)


def test_positions() -> None:
    named = set(re.findall(r"positions\.(\w+)", section("Positions")))
    abstract = {"PositionBias"}
    assert named == set(positions.__all__) - abstract


def test_encoders() -> None:
    table = section("What a token knows of its context", TAGGING)
    rows = re.findall(r"^\| (`[^|]+`) \|", table, flags=re.MULTILINE)
    assert sorted(re.findall(r"`([^`]+)`", " ".join(rows))) == sorted(ENCODERS)
