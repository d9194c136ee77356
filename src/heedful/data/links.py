"""Word alignments in Pharaoh format: links between the words of a sentence and those of its translation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heedful.data.files import iterate_lines
from heedful.data.words import words
from heedful.errors import DataError, shown

Link = tuple[int, int]
"""(source word, target word), from 0."""
_LINK: Final = re.compile(r"(\d{1,7})([-p?])(\d{1,7})")


@dataclass(frozen=True)
class Links:
    """The links of one pair; a gold alignment divides them into sure and possible ones."""

    sure: frozenset[Link]
    possible: frozenset[Link]
    """All links, the sure ones among them."""


def parse_links(text: str, *, first: int = 0) -> Links:
    """Parse a line such as `0-0 1-2 1p3`: `-` joins a sure link, `p` or `?` a possible one.

    Args:
        text: links separated by spaces; may be empty.
        first: the number of the first word, 0 or 1.

    Raises: DataError for what is no link.

    >>> links = parse_links("1-1 2p3", first=1)
    >>> sorted(links.sure), sorted(links.possible)
    ([(0, 0)], [(0, 0), (1, 2)])
    """
    sure, possible = set(), set()
    for part in text.split():
        match = _LINK.fullmatch(part)
        if match is None:
            raise DataError(f"{shown(part)} is no link; expected source-target, as in 0-0, or 0p0.")
        link = int(match[1]) - first, int(match[3]) - first
        if min(link) < 0:
            raise DataError(f"the link {part} is below the first word, which is {first}.")
        possible.add(link)
        if match[2] == "-":
            sure.add(link)
    return Links(frozenset(sure), frozenset(possible))


def read_links(
    path: str | Path, source: Sequence[str], target: Sequence[str], *, first: int = 0
) -> list[Links]:
    """Read a file of alignments, a line for each pair, between the words of `heedful.data.words.words`.

    Raises: DataError naming file and line for what is no link, a word that the text does not have, or another number
        of lines than pairs.
    """
    found = []
    for number, line in enumerate(iterate_lines(path, advice=""), start=1):
        if number > len(source):
            break
        try:
            links = parse_links(line, first=first)
        except DataError as error:
            raise DataError(str(error), path=Path(path), line=number) from None
        sizes = len(words(source[number - 1])), len(words(target[number - 1]))
        for link in links.possible:
            if link[0] >= sizes[0] or link[1] >= sizes[1]:
                shown_link = f"{link[0] + first}-{link[1] + first}"
                raise DataError(
                    f"the link {shown_link} is beyond the {sizes[0]} and {sizes[1]} words of the pair; words are "
                    f"numbered from {first}.",
                    path=Path(path),
                    line=number,
                )
        found.append(links)
    lines = sum(1 for _ in iterate_lines(path, advice=""))
    if lines != len(source):
        raise DataError(
            f"there are {lines:,} lines of alignments but {len(source):,} pairs; give one for each.",
            path=Path(path),
        )
    return found
