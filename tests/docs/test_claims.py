"""docs/claims.md says what claims/results say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from claims import page

TEXT = page.PAGE.read_text(encoding="utf-8")


def test_every_table_is_that_of_the_results() -> None:
    assert page.filled(TEXT) == TEXT


def test_every_table_and_plot_has_its_place() -> None:
    assert {name for _, name in page.MARK.findall(TEXT)} == set(page.TABLES)
    shown = set(re.findall(r"\(images/(claims_\w+\.svg)\)", TEXT))
    assert shown <= set(page.PLOTS)
    assert {file.name for file in page.IMAGES.glob("claims_*")} == shown


def test_a_changed_number_would_be_found() -> None:
    place = TEXT.index("| none |")
    wrong = TEXT[:place] + "| nonn |" + TEXT[place + len("| none |") :]
    assert page.filled(wrong) == TEXT


@pytest.mark.parametrize("name", sorted(file.stem for file in page.RESULTS.glob("*.json")))
def test_results_are_small_and_used(name: str) -> None:
    assert (page.RESULTS / f"{name}.json").stat().st_size < 40_000
    assert f'"{name}"' in Path(page.__file__).read_text(encoding="utf-8")
