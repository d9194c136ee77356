"""Records of decisions have one form, and the index lists them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

FOLDER = ROOT / "docs" / "decisions"
INDEX = (FOLDER / "index.md").read_text(encoding="utf-8")
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
HEAD = re.compile(r"# (\d+)\. (.+)\n\n(\d{4}-\d\d-\d\d) · (accepted|replaced by \[\d+\]\(.+\))\n")


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_its_parts_and_its_line(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    head = HEAD.match(text)
    assert head is not None, "wanted: # NUMBER. TITLE, an empty line, DATE · accepted"
    assert path.name.startswith(f"{int(head[1]):04}-")
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    wanted = ["Context", "Decision", "Consequences"]
    assert [name for name in sections if name in wanted] == wanted
    line = f"| {head[1]} | [{head[2]}]({path.name}) | {head[3]} |"
    assert line in INDEX.splitlines(), f"add to docs/decisions/index.md: {line}"


def test_numbers_are_given_once_and_listed_in_order() -> None:
    numbers = [path.name[:4] for path in RECORDS]
    assert len(set(numbers)) == len(numbers) > 10
    assert re.findall(r"\]\((\d{4})-", INDEX) == numbers
