"""The package page shows README.md, so its links are absolute; each leads to a file of the repository."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, label, pages

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
RAW = REPOSITORY.replace("github.com", "raw.githubusercontent.com") + "/main/"
PAGES = REPOSITORY + "/blob/main/"
TARGET = re.compile(r"\]\(([^)\s]+)\)")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def of_repository(text: str) -> list[str]:
    """The paths that a text links by the repository's address."""
    found = (
        TARGET.findall(text)
        + PROJECT["urls"]["Documentation"].split()
        + [PROJECT["urls"]["Changelog"]]
    )
    return [
        target.removeprefix(RAW).removeprefix(PAGES).partition("#")[0]
        for target in found
        if target.startswith((RAW, PAGES))
    ]


def test_links_of_the_readme_are_absolute() -> None:
    assert [target for target in TARGET.findall(README) if "://" not in target] == []


def test_absolute_links_lead_to_files() -> None:
    paths = of_repository(README)
    assert len(paths) > 8
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_pictures_are_raw_files() -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    pictures += re.findall(r'(?:src|srcset)="([^"]+)"', README)
    assert pictures
    assert all(picture.startswith(RAW) for picture in pictures)
    assert [p for p in pictures if not (ROOT / p.removeprefix(RAW)).is_file()] == []


@pytest.mark.parametrize("page", [page for page in pages() if page.name != "README.md"], ids=label)
def test_other_pages_do_not_repeat_the_address(page: Path) -> None:
    assert REPOSITORY not in page.read_text(encoding="utf-8")
