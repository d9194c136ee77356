"""Detection of plain text among inputs to label, by file name and first lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from heedful.data.label_columns import split_fields
from heedful.data.label_formats import is_conllu
from heedful.data.tables import extension
from heedful.errors import DataError, shown

LOOKAHEAD: Final = 50
"""Maximum non-blank lines read ahead."""
_DEFAULT_WIDTH: Final = 2
"""Columns of a column file if those of the training files are unknown."""
_MIN_EQUAL: Final = 3
"""Minimum lines with equal numbers of words that are taken for columns."""
_PLACEHOLDERS: Final = frozenset({"", "_", "-", "?", "X", "O"})


def is_text_file(path: str | Path) -> bool:
    """Return whether a file may hold plain text by its extension: .txt, optionally followed by .gz.

    >>> is_text_file("new.txt.gz"), is_text_file("new.conll")
    (True, False)
    """
    return extension(Path(path)) == ".txt"


def peek_block(lines: Iterator[str]) -> tuple[list[str], Iterator[str]]:
    """Return the first block of non-blank lines, and all lines.

    >>> peek_block(iter(["", "a", "b", "", "c"]))[0]
    ['a', 'b']
    """
    read: list[str] = []
    block: list[str] = []
    for line in lines:
        read.append(line)
        if line.strip():
            block.append(line)
        if len(block) == LOOKAHEAD or (block and not line.strip()):
            break
    return block, chain(read, lines)


def is_text(
    block: Sequence[str], file_format: str, width: int, labels: Collection[str], path: Path
) -> bool:
    """Return whether the first lines of an input are plain text instead of labelled tokens.

    Args:
        block: the lines, without blank ones.
        file_format: the format of the lines if they are not text.
        width: columns of the training files, including the labels; 0 if unknown.
        labels: the label set of the run.
        path: the input, for errors.

    Raises: DataError for lines that may be either.
    """
    if not block or any("\t" in line for line in block):
        return False
    counts = [len(split_fields(line)) for line in block]
    if file_format != "columns":
        if file_format == "jsonl" and block[0].lstrip().startswith(("{", "[")):
            return False
        spaced = ["\t".join(line.split()) for line in block if not line.startswith("#")]
        return not is_conllu(spaced) and (max(counts) > 1 or len(block) == 1)
    if max(counts) == 1:
        return False
    width = width or _DEFAULT_WIDTH
    if _are_columns(block, counts, width, labels):
        return False
    [(_, most_common)] = Counter(counts).most_common(1)
    is_uneven = len(block) == 1 or most_common * 2 <= len(block)
    has_labels = any(split_fields(line)[-1] in labels for line in block)
    if is_uneven and max(counts) > width and not has_labels:
        return True
    raise DataError(
        f"{shown(block[0][:40])} may be plain text or columns separated by spaces; give --text or --no-text.",
        path=path,
        line=1,
    )


def _are_columns(
    block: Sequence[str], counts: Sequence[int], width: int, labels: Collection[str]
) -> bool:
    """Return whether lines are certainly columns."""
    if len(set(counts)) > 1 or counts[0] > width:
        return False
    last = [split_fields(line)[-1] for line in block]
    if counts[0] == width and all(each in labels or each in _PLACEHOLDERS for each in last):
        return True
    return len(block) >= _MIN_EQUAL
