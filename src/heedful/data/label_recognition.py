"""Whether an input to label is plain text or columns, by its name and its first lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from heedful.data.label_formats import is_conllu
from heedful.errors import DataError

PEEKED: Final = 50
"""Most lines that are read ahead."""
_WIDTH: Final = 2
"""Columns of a column file where the training files do not tell."""
_MANY: Final = 3
"""Lines with as many words each that are no chance."""
_NO_LABEL: Final = frozenset({"", "_", "-", "?", "X", "O"})


def is_text_file(path: str | Path) -> bool:
    """Return whether the name of a file allows for plain text: .txt, .gz may follow.

    >>> is_text_file("new.txt.gz"), is_text_file("new.conll")
    (True, False)
    """
    path = Path(path)
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower() == ".txt"


def peek_block(lines: Iterator[str]) -> tuple[list[str], Iterator[str]]:
    """Return the first lines up to an empty one, and all lines.

    >>> peek_block(iter(["", "a", "b", "", "c"]))[0]
    ['a', 'b']
    """
    read: list[str] = []
    found = 0
    for line in lines:
        read.append(line)
        found += bool(line.strip())
        if found == PEEKED or (found and not line.strip()):
            break
    return [line for line in read if line.strip()], chain(read, lines)


def is_text(
    block: Sequence[str], form: str, width: int, labels: Collection[str], path: Path
) -> bool:
    """Return whether the first lines of an input are plain text rather than in a format of labelled tokens.

    Args:
        block: the lines, none of them empty.
        form: the format that they are in if they are not text.
        width: columns of the training files, the labels counted; 0: not known.
        labels: the labels that the run knows.
        path: the input, for errors.

    Raises: DataError for lines that may be either.
    """
    if not block or any("\t" in line for line in block):
        return False
    counts = [len(line.split()) for line in block]
    if form != "columns":
        if form == "jsonl" and block[0].lstrip().startswith(("{", "[")):
            return False
        spaced = ["\t".join(line.split()) for line in block if not line.startswith("#")]
        return not is_conllu(spaced) and (max(counts) > 1 or len(block) == 1)
    if max(counts) == 1:
        return False
    labelled = [line.split()[-1] in labels for line in block]
    if _may_be_columns(block, counts, width or _WIDTH, labels):
        return False
    [(_, most)] = Counter(counts).most_common(1)
    uneven = len(block) == 1 or most * 2 <= len(block)
    if uneven and max(counts) > (width or _WIDTH) and not any(labelled):
        return True
    raise DataError(
        f"{block[0][:40]!r} may be plain text or columns parted by spaces; say which with --text or --no-text.",
        path=path,
        line=1,
    )


def _may_be_columns(
    block: Sequence[str], counts: Sequence[int], width: int, labels: Collection[str]
) -> bool:
    """Return whether lines are columns beyond doubt."""
    if len(set(counts)) > 1 or counts[0] > width:
        return False
    last = [line.split()[-1] for line in block]
    if counts[0] == width and all(each in labels or each in _NO_LABEL for each in last):
        return True
    return len(block) >= _MANY
