"""Readers of lines, line-aligned pairs and two-column tables in text files, plain or gzipped."""

from __future__ import annotations

import gzip
import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from heedful.data.dataset import Dataset, repeat_to_length
from heedful.data.decoding import UTF8, decode_lines
from heedful.data.opening import MAX_LINE, check_file, open_lines
from heedful.data.packed_texts import PackedTexts, PackedTextsWriter, take_texts
from heedful.data.preparation import report_items
from heedful.data.tables import table_format
from heedful.errors import DataError, shown

_LINE_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Pairs(Dataset):
    """Source texts and their target texts, in order.

    Raises:
        DataError: the lists differ in length.

    Example:
        >>> pairs = Pairs(["Hello."], ["Hallo."], name="greeting")
        >>> len(pairs), list(pairs)
        (1, [('Hello.', 'Hallo.')])
    """

    source: Sequence[str]
    target: Sequence[str]
    name: str = "pairs"
    alignments: Sequence[str] | None = None
    """Word alignments of the pairs in Pharaoh format, if there are any."""
    example: ClassVar[str] = "pair"

    def __post_init__(self) -> None:
        if self.alignments is not None and len(self.alignments) != len(self.source):
            raise DataError(
                f"{self.name} has {len(self.source):,} pairs but {len(self.alignments):,} alignments; each pair needs "
                "one, which may be empty."
            )
        if len(self.source) != len(self.target):
            raise DataError(
                f"{self.name} has {len(self.source):,} source texts and {len(self.target):,} "
                "target texts; each source text needs one target text."
            )

    @property
    def inputs(self) -> Sequence[str]:
        """The source texts."""
        return self.source

    @property
    def answers(self) -> Sequence[str]:
        """The target texts."""
        return self.target

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return zip(self.source, self.target, strict=True)

    def take(self, rows: Sequence[int]) -> Pairs:
        links = None if self.alignments is None else [self.alignments[row] for row in rows]
        return Pairs(take_texts(self.source, rows), take_texts(self.target, rows), self.name, links)

    def texts(self) -> Sequence[Sequence[str]]:
        texts = self.source, self.target
        return texts if self.alignments is None else (*texts, self.alignments)

    def input_of_length(self, length: int) -> str:
        words = (word for text in self.source for word in text.split())
        return " ".join(repeat_to_length(words, length))

    def showcase(self, count: int) -> list[str]:
        return [source for source, _ in diverse_pairs(self, count)]


MAX_DISPLAY_CHARACTERS = 60
"""Maximum length of a source that is readable in a plot."""


def diverse_pairs(pairs: Pairs, count: int) -> list[tuple[str, str]]:
    """Choose up to `count` short, diverse pairs: first a new script each, then sources without common words.

    >>> diverse_pairs(Pairs(["a dog", "a dog runs", "two cats", "犬"], ["A", "B", "C", "D"]), 3)
    [('a dog', 'A'), ('犬', 'D'), ('two cats', 'C')]
    """
    short = [pair for pair in pairs if len(pair[0]) <= MAX_DISPLAY_CHARACTERS]
    chosen: list[tuple[str, str]] = []
    scripts: set[str] = set()
    words: set[str] = set()

    def choose(pair: tuple[str, str]) -> None:
        chosen.append(pair)
        scripts.update(_scripts(pair[0]))
        words.update(_words(pair[0]))

    for pair in short:
        if not _scripts(pair[0]) <= scripts:
            choose(pair)
    for pair in short:
        own_words = _words(pair[0])
        if own_words and not own_words & words:
            choose(pair)
    chosen += (pair for pair in short if pair not in chosen)
    return chosen[:count]


def _words(text: str) -> set[str]:
    """Return the lower-cased words that contain a letter."""
    return {word for word in text.lower().split() if any(map(str.isalpha, word))}


def _scripts(text: str) -> set[str]:
    """Return the scripts of the letters: the first word of a letter's Unicode name (LATIN, CJK, ...)."""
    return {unicodedata.name(letter, "?").split()[0] for letter in text if letter.isalpha()}


def iterate_lines(
    path: str | Path,
    encoding: str = UTF8,
    *,
    max_line: int = MAX_LINE,
    advice: str = "--encoding",
    may_be_pipe: bool = False,
) -> Iterator[str]:
    """Lazily yield the lines of a text file, plain or gzipped.

    Gzip is detected by the first bytes, not by the file name.

    Args:
        path: the file.
        encoding: as for `decode_lines`.
        max_line: the maximum bytes of a line.
        advice: as for `decode_lines`.
        may_be_pipe: whether the path may be a pipe, which can be read only once.

    Raises:
        DataError: the file is missing (the nearest file name is suggested), is a folder, a pipe or a device, cannot
            be opened, is in another encoding, holds a line that is too long, or is gzip data that are damaged,
            truncated, or expand beyond the limits of `open_lines`.
        OptionError: an unknown encoding.
    """
    path = Path(path)
    number = 0
    try:
        with open_lines(path, max_line, may_be_pipe=may_be_pipe) as stream:
            for line in decode_lines(stream, path, encoding, max_line=max_line, advice=advice):
                number += 1
                yield line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"the gzip data is damaged or truncated ({error}); copy or compress the file again.",
            path=path,
            line=number + 1,
        ) from None


def read_lines(path: str | Path, encoding: str = UTF8, *, max_line: int = MAX_LINE) -> list[str]:
    """Read the lines of a text file, plain or gzipped, including empty ones.

    Raises:
        DataError: as `iterate_lines`, or the file is empty.
    """
    lines = list(iterate_lines(path, encoding, max_line=max_line))
    if not lines:
        raise _no_lines(path)
    return lines


def read_pairs(
    source_path: str | Path,
    target_path: str | Path,
    encoding: str = UTF8,
    *,
    max_line: int = MAX_LINE,
) -> Pairs:
    """Read two line-aligned files: line i of the target belongs to line i of the source.

    Raises:
        DataError: a file is missing, empty or not UTF-8; the files differ in length (names the shorter one
            and its last line); a line is empty.
    """
    (source, empty_source), (target, empty_target) = (
        _pack_lines(path, encoding, max_line) for path in (source_path, target_path)
    )
    if len(source) != len(target):
        (few, short), (many, long) = sorted(
            [(len(source), source_path), (len(target), target_path)], key=lambda item: item[0]
        )
        raise DataError(
            f"this file ends first: it has {few:,} lines and {long} has {many:,}; line i of one "
            "must go with line i of the other.",
            path=short,
            line=few,
        )
    for path, number in ((source_path, empty_source), (target_path, empty_target)):
        if number:
            raise _empty("the line", path, number)
    return Pairs(source, target, name=f"{Path(source_path).name} + {Path(target_path).name}")


def read_table(
    path: str | Path,
    columns: tuple[str, str],
    encoding: str = UTF8,
    *,
    max_line: int = MAX_LINE,
) -> Pairs:
    """Read two columns of a TSV, CSV or JSON Lines file, plain or gzipped.

    The file extension selects the format: .tsv or .tab, .csv, .jsonl or .ndjson, optionally followed by .gz.
    TSV and CSV begin with a header; in a file without one, columns are addressed by one-based numbers
    ("1", "2"). A line break inside a quoted CSV field or a JSON string becomes a space.

    Args:
        path: the file.
        columns: the names (or numbers) of the source and the target column.
        encoding: of the file.
        max_line: the maximum bytes of a line.

    Raises:
        DataError: as `read_lines`; an unknown format; a missing column (the nearest name is suggested); a row
            with a wrong number of fields, malformed quoting or an empty text; a line that is not a JSON
            object, or whose value is not a string.
    """
    check_file(path)
    table = table_format(Path(path), advice=", or give two line-aligned files")
    source, target = PackedTextsWriter(), PackedTextsWriter()
    rows = table.rows(Path(path), iterate_lines(path, encoding, max_line=max_line), columns)
    for row in report_items(rows, f"reading {path}", "rows"):
        for texts, column in zip((source, target), columns, strict=True):
            line = _LINE_BREAK.sub(" ", row.text(column))
            if _is_empty(line):
                raise _empty(f"column {shown(column)}", path, row.line)
            texts.append(line)
    if not len(source):
        raise DataError("the file holds no rows.", path=path)
    return Pairs(source.finish(), target.finish(), name=Path(path).name)


def _pack_lines(path: str | Path, encoding: str, max_line: int) -> tuple[PackedTexts, int]:
    """Read the lines of a file; return them and the number of the first empty one, 0 if there is none.

    Raises: DataError as `read_lines`.
    """
    texts, empty = PackedTextsWriter(), 0
    lines = iterate_lines(path, encoding, max_line=max_line)
    for line in report_items(lines, f"reading {path}", "lines"):
        texts.append(line)
        if not empty and _is_empty(line):
            empty = len(texts)
    if not len(texts):
        raise _no_lines(path)
    return texts.finish(), empty


def _is_empty(text: str) -> bool:
    return not text or text.isspace()


def _empty(what: str, path: str | Path, number: int | None) -> DataError:
    return DataError(
        f"{what} is empty; remove the pair (from both files, where there are two) or fill it in.",
        path=path,
        line=number,
    )


def _no_lines(path: str | Path) -> DataError:
    return DataError("the file is empty.", path=path)
