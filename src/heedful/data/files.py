"""Readers of lines, line-aligned pairs and two-column tables in text files, plain or gzipped."""

from __future__ import annotations

import gzip
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from heedful.data.dataset import Dataset, repeat_to_length
from heedful.data.decoding import UTF8, decode_lines
from heedful.data.packed_texts import PackedTexts, PackedTextsWriter, take_texts
from heedful.data.preparation import report_items
from heedful.data.tables import table_format
from heedful.errors import DataError, nearest

_GZIP_MAGIC = b"\x1f\x8b"
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
    example: ClassVar[str] = "pair"

    def __post_init__(self) -> None:
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
        return Pairs(take_texts(self.source, rows), take_texts(self.target, rows), self.name)

    def texts(self) -> Sequence[Sequence[str]]:
        return self.source, self.target

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
    path: str | Path, encoding: str = UTF8, *, advice: str = "--encoding"
) -> Iterator[str]:
    """Lazily yield the lines of a text file, plain or gzipped.

    Gzip is detected by the first bytes, not by the file name. `encoding` and `advice` are those of `decode_lines`.

    Raises:
        DataError: the file is missing (the nearest file name is suggested), is a folder, cannot be opened,
            is in another encoding, or is damaged or truncated gzip data.
        OptionError: an unknown encoding.
    """
    path = Path(path)
    number = 0
    try:
        with _open_bytes(path) as stream:
            for line in decode_lines(stream, path, encoding, advice=advice):
                number += 1
                yield line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"the gzip data is damaged or truncated ({error}); copy or compress the file again.",
            path=path,
            line=number + 1,
        ) from None


@contextmanager
def _open_bytes(path: Path) -> Iterator[Iterable[bytes]]:
    check_file(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}.", path=path) from None
    with file:
        # Peek instead of reopening: a pipe can be read only once.
        start = file.peek(len(_GZIP_MAGIC))
        if start.startswith(_GZIP_MAGIC):
            with gzip.open(file) as decompressed:
                yield decompressed
        elif start and path.suffix == ".gz":
            raise DataError(
                "the name ends in .gz but the file is not gzip data; rename or compress it.",
                path=path,
            )
        else:
            yield file


def check_file(path: str | Path) -> None:
    """Check that a path is a file, without opening it.

    Raises:
        DataError: the file is missing (the nearest file name is suggested), or is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError("this is a folder; expected a file.", path=path)
    if not path.exists():
        raise _missing_file(path)


def read_lines(path: str | Path, encoding: str = UTF8) -> list[str]:
    """Read the lines of a text file, plain or gzipped, including empty ones.

    Raises:
        DataError: as `iterate_lines`, or the file is empty.
    """
    lines = list(iterate_lines(path, encoding))
    if not lines:
        raise _no_lines(path)
    return lines


def read_pairs(source_path: str | Path, target_path: str | Path, encoding: str = UTF8) -> Pairs:
    """Read two line-aligned files: line i of the target belongs to line i of the source.

    Raises:
        DataError: a file is missing, empty or not UTF-8; the files differ in length (names the shorter one
            and its last line); a line is empty.
    """
    (source, empty_source), (target, empty_target) = (
        _pack_lines(path, encoding) for path in (source_path, target_path)
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


def read_table(path: str | Path, columns: tuple[str, str], encoding: str = UTF8) -> Pairs:
    """Read two columns of a TSV, CSV or JSON Lines file, plain or gzipped.

    The file extension selects the format: .tsv or .tab, .csv, .jsonl or .ndjson, optionally followed by .gz.
    TSV and CSV begin with a header; in a file without one, columns are addressed by one-based numbers
    ("1", "2"). A line break inside a quoted CSV field or a JSON string becomes a space.

    Args:
        path: the file.
        columns: the names (or numbers) of the source and the target column.
        encoding: of the file.

    Raises:
        DataError: as `read_lines`; an unknown format; a missing column (the nearest name is suggested); a row
            with a wrong number of fields, malformed quoting or an empty text; a line that is not a JSON
            object, or whose value is not a string.
    """
    check_file(path)
    table = table_format(Path(path), advice=", or give two line-aligned files")
    source, target = PackedTextsWriter(), PackedTextsWriter()
    rows = table.rows(Path(path), iterate_lines(path, encoding), columns)
    for row in report_items(rows, f"reading {path}", "rows"):
        for texts, column in zip((source, target), columns, strict=True):
            line = _LINE_BREAK.sub(" ", row.text(column))
            if _is_empty(line):
                raise _empty(f"column {column!r}", path, row.line)
            texts.append(line)
    if not len(source):
        raise DataError("the file holds no rows.", path=path)
    return Pairs(source.finish(), target.finish(), name=Path(path).name)


def _pack_lines(path: str | Path, encoding: str) -> tuple[PackedTexts, int]:
    """Read the lines of a file; return them and the number of the first empty one, 0 if there is none.

    Raises: DataError as `read_lines`.
    """
    texts, empty = PackedTextsWriter(), 0
    for line in report_items(iterate_lines(path, encoding), f"reading {path}", "lines"):
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


def _missing_file(path: Path) -> DataError:
    folder = path.parent
    if not folder.is_dir():
        return DataError(f"no such file, and no folder {str(folder)!r}.", path=path)
    try:
        near = nearest(path.name, sorted(entry.name for entry in folder.iterdir()))
    except OSError:
        near = None
    hint = f" did you mean {str(folder / near)!r}?" if near else ""
    return DataError(f"no such file{';' if hint else '.'}{hint}", path=path)
