"""docs/design.md names files that are there, and every part of the package and of ops."""

from __future__ import annotations

import re

import pytest

from tests.architecture.sources import PACKAGE
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
PATHS = sorted({*re.findall(r"`((?:[\w.]+/)*[\w.]+(?:\.py|/))`", PAGE)})


def is_there(path: str) -> bool:
    return (PACKAGE / path).exists() or (ROOT / path).exists()


@pytest.mark.parametrize("path", PATHS)
def test_named_files_exist(path: str) -> None:
    assert is_there(path)


def test_a_file_that_is_gone_would_be_found() -> None:
    assert len(PATHS) > 40
    assert not is_there("ops/quick.py")


def folders(place: str) -> set[str]:
    found = (PACKAGE / place).iterdir()
    return {f"{place}{path.name}/" for path in found if path.is_dir() and any(path.glob("*.py"))}


@pytest.mark.parametrize("place", ["", "ops/", "ops/backends/"])
def test_every_folder_is_described(place: str) -> None:
    assert folders(place)
    assert folders(place) - {*PATHS} == set()
