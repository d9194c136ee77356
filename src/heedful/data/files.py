"""Lines, line-aligned pairs and tables, read from plain or gzipped UTF-8 files."""

from __future__ import annotations

import codecs
import gzip
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from heedful.data.dataset import Dataset, repeated
from heedful.data.tables import table_rows
from heedful.errors import DataError, nearest

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Pairs(Dataset):
    """Source texts and the target text of each, in order.

    Raises:
        DataError: the two lists differ in length.

    Example:
        >>> pairs = Pairs(["Hello."], ["Hallo."], name="greeting")
        >>> len(pairs), list(pairs)
        (1, [('Hello.', 'Hallo.')])
    """

    source: list[str]
    target: list[str]
    name: str = "pairs"
    example: ClassVar[str] = "pair"

    def __post_init__(self) -> None:
        if len(self.source) != len(self.target):
            raise DataError(
                f"{self.name} has {len(self.source):,} source texts and {len(self.target):,} "
                "target texts; each source text needs one target text."
            )

    @property
    def inputs(self) -> list[str]:
        """The source texts."""
        return self.source

    @property
    def answers(self) -> list[str]:
        """The target texts."""
        return self.target

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return zip(self.source, self.target, strict=True)

    def take(self, rows: Sequence[int]) -> Pairs:
        return Pairs([self.source[r] for r in rows], [self.target[r] for r in rows], self.name)

    def texts(self) -> Sequence[Sequence[str]]:
        return self.source, self.target

    def stretched(self, length: int) -> str:
        return " ".join(repeated([word for text in self.source for word in text.split()], length))

    def showcase(self, count: int) -> list[str]:
        return [source for source, _ in varied(self, count)]


SHOWN_CHARACTERS = 60
"""Longest source of a pair that makes a readable picture."""


def varied(pairs: Pairs, count: int) -> list[tuple[str, str]]:
    """Choose short pairs that differ: other scripts first, then sources that share no word with the others.

    >>> varied(Pairs(["a dog", "a dog runs", "two cats", "犬"], ["A", "B", "C", "D"]), 3)
    [('a dog', 'A'), ('犬', 'D'), ('two cats', 'C')]
    """
    short = [pair for pair in pairs if len(pair[0]) <= SHOWN_CHARACTERS]
    chosen: list[tuple[str, str]] = []
    scripts: set[str] = set()
    words: set[str] = set()

    def take(pair: tuple[str, str]) -> None:
        chosen.append(pair)
        scripts.update(_scripts(pair[0]))
        words.update(_words(pair[0]))

    for pair in short:
        if not _scripts(pair[0]) <= scripts:
            take(pair)
    for pair in short:
        found = _words(pair[0])
        if found and not found & words:
            take(pair)
    chosen += (pair for pair in short if pair not in chosen)
    return chosen[:count]


def _words(text: str) -> set[str]:
    """The words that hold a letter."""
    return {word for word in text.lower().split() if any(map(str.isalpha, word))}


def _scripts(text: str) -> set[str]:
    """The scripts of the letters: the first word of a letter's Unicode name (LATIN, CJK, ...)."""
    return {unicodedata.name(letter, "?").split()[0] for letter in text if letter.isalpha()}


def decode_lines(stream: Iterable[bytes], name: str | Path) -> Iterator[str]:
    r"""Yield the lines of a byte stream as text, one at a time, without their line ends.

    Lines end in LF or CR LF and nothing else, so that line i here is line i for every other tool.
    A byte-order mark at the start is dropped.

    Args:
        stream: lines of bytes: an open binary file, or standard input's buffer.
        name: what to call the stream in an error.

    Raises:
        DataError: a line is not UTF-8 (file and line are named).

    Example:
        >>> list(decode_lines([b"Gr\xc3\xbc\xc3\x9fe\r\n", b"bye"], "example"))
        ['Grüße', 'bye']
    """
    for number, raw in enumerate(stream, start=1):
        if number == 1:
            if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise DataError(
                    "this is UTF-16, not UTF-8; save the file as UTF-8.", path=name, line=1
                )
            raw = raw.removeprefix(codecs.BOM_UTF8)
            if not raw:  # the mark was all there is
                return
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"byte {error.start + 1} of the line (0x{raw[error.start]:02x}) is not UTF-8; "
                "save the file as UTF-8.",
                path=name,
                line=number,
            ) from None
        yield line.removesuffix("\n").removesuffix("\r")


def iterate_lines(path: str | Path) -> Iterator[str]:
    """Yield the lines of a text file, gzipped or not, without holding the file in memory.

    Whether it is gzipped is told by its first bytes, not by its name.

    Raises:
        DataError: the file is missing (the nearest name in its folder is given), is a folder, cannot
            be opened, is not UTF-8, or is gzip data that is damaged or cut short.
    """
    path = Path(path)
    number = 0
    try:
        with _open_bytes(path) as stream:
            for line in decode_lines(stream, path):
                number += 1
                yield line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"the gzip data is damaged or cut short ({error}); copy or compress the file again.",
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
        # Peeking instead of reading and opening again: a pipe can be read once only.
        start = file.peek(len(_GZIP_MAGIC))
        if start.startswith(_GZIP_MAGIC):
            with gzip.open(file) as unpacked:
                yield unpacked
        elif start and path.suffix == ".gz":
            raise DataError("the name ends in .gz but the file is not gzip data.", path=path)
        else:
            yield file


def check_file(path: str | Path) -> None:
    """Refuse what cannot be a file of data, without reading it.

    Raises:
        DataError: there is no such file (the nearest name in its folder is given), or it is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError("this is a folder; a file is wanted.", path=path)
    if not path.exists():
        raise _missing(path)


def read_lines(path: str | Path) -> list[str]:
    """Read a text file, gzipped or not, as a list of lines. Empty lines are kept.

    Raises:
        DataError: as `iterate_lines`, or the file is empty.
    """
    lines = list(iterate_lines(path))
    if not lines:
        raise DataError("the file is empty.", path=path)
    return lines


def read_pairs(source_path: str | Path, target_path: str | Path) -> Pairs:
    """Read two line-aligned files: line i of the target is the answer to line i of the source.

    Raises:
        DataError: a file is missing, empty or not UTF-8; the files differ in length (which one ends
            first, and at what line, is said); a line is empty.
    """
    source, target = read_lines(source_path), read_lines(target_path)
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
    for path, lines in ((source_path, source), (target_path, target)):
        for number, line in enumerate(lines, start=1):
            _refuse_empty(line, "the line", path, number)
    return Pairs(source, target, name=f"{Path(source_path).name} + {Path(target_path).name}")


def read_table(path: str | Path, columns: tuple[str, str]) -> Pairs:
    """Read two columns of a TSV, CSV or JSON-lines file, gzipped or not.

    The format is told by the name: .tsv or .tab, .csv, .jsonl or .ndjson, each with or without .gz.
    TSV and CSV begin with a line of column names; a file without one is read with column numbers
    ("1", "2", counted from 1) in place of names. A line break inside a quoted CSV field or a JSON
    string becomes a space.

    Args:
        path: the file.
        columns: the names (or numbers) of the source and the target column.

    Raises:
        DataError: as `read_lines`; an unknown format; a column that is not there (the nearest name is
            given); a row with too many or too few fields, quoted wrongly, or an empty text; a line
            that is not a JSON object, or whose value is not a string.
    """
    check_file(path)
    source: list[str] = []
    target: list[str] = []
    for number, row in table_rows(Path(path), iterate_lines(path), columns):
        for texts, text, column in zip((source, target), row, columns, strict=True):
            one_line = " ".join(text.splitlines()) if "\n" in text or "\r" in text else text
            _refuse_empty(one_line, f"column {column!r}", path, number)
            texts.append(one_line)
    if not source:
        raise DataError("the file holds no rows.", path=path)
    return Pairs(source, target, name=Path(path).name)


def _refuse_empty(text: str, what: str, path: str | Path, number: int) -> None:
    if not text or text.isspace():
        raise DataError(
            f"{what} is empty; remove the pair (from both files, where there are two) or fill it in.",
            path=path,
            line=number,
        )


def _missing(path: Path) -> DataError:
    folder = path.parent
    if not folder.is_dir():
        return DataError(f"no such file, and no folder {str(folder)!r}.", path=path)
    try:
        near = nearest(path.name, sorted(entry.name for entry in folder.iterdir()))
    except OSError:
        near = None
    hint = f" did you mean {str(folder / near)!r}?" if near else ""
    return DataError(f"no such file{';' if hint else '.'}{hint}", path=path)
