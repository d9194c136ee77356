"""Decoding of text files: lines of UTF-8 or another encoding, and which encoding it may be."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from heedful.data.opening import MAX_LINE, too_long
from heedful.errors import DataError, OptionError, shown

UTF8: Final = "utf-8"

_HIGH_BYTES: Final = re.compile(rb"[\x80-\xff]+")


def decode_lines(
    stream: Iterable[bytes],
    name: str | Path,
    encoding: str = UTF8,
    *,
    max_line: int = MAX_LINE,
    advice: str = "--encoding",
) -> Iterator[str]:
    r"""Lazily decode a byte stream into lines without their line endings.

    Only LF and CR LF end a line, so line numbers agree with other tools. A byte-order mark at the start is
    dropped.

    Args:
        stream: lines of bytes, as from `heedful.data.opening.bounded_lines`.
        name: the name of the stream in errors.
        encoding: a name that Python knows.
        max_line: the maximum characters of a line, where a line of the encoding may span several of `stream`.
        advice: the option that chooses another encoding, for errors; empty: there is none.

    Raises:
        DataError: a line is in another encoding; names file, line and the encoding that it may be.
        OptionError: an unknown encoding.

    Example:
        >>> list(decode_lines([b"Gr\xc3\xbc\xc3\x9fe\r\n", b"bye"], "example"))
        ['Grüße', 'bye']
        >>> list(decode_lines([b"Gr\xfc\xdfe\r\n", b"bye"], "example", "cp1252"))
        ['Grüße', 'bye']
    """
    if canonical_name(encoding) != UTF8:
        yield from _decode_other(stream, name, encoding, max_line)
        return
    for number, raw in enumerate(stream, start=1):
        if number == 1:
            if found := _wide_encoding(raw):
                message = f"this is {found.upper()}, not UTF-8; {_mend(found, advice)}"
                raise DataError(message, path=name, line=1)
            raw = raw.removeprefix(codecs.BOM_UTF8)
            if not raw:  # a file of nothing but the mark
                return
        try:
            line = raw.decode(UTF8)
        except UnicodeDecodeError as error:
            raise DataError(
                f"byte {error.start + 1} of the line (0x{raw[error.start]:02x}) is not UTF-8; "
                f"{_mend(likely_encoding(raw), advice)}",
                path=name,
                line=number,
            ) from None
        yield line.removesuffix("\n").removesuffix("\r")


def canonical_name(encoding: str) -> str:
    """Return the usual name of an encoding of text.

    Raises: OptionError for a name that Python does not know.

    >>> canonical_name("Windows-1252"), canonical_name("utf8")
    ('cp1252', 'utf-8')
    """
    try:
        found = codecs.lookup(encoding)
        "".encode(encoding)
    except (LookupError, ValueError):
        raise OptionError(
            f"unknown encoding {shown(encoding)}; give one such as utf-8, utf-16, cp1252, gb18030 or shift_jis"
        ) from None
    return UTF8 if found.name == "utf-8-sig" else found.name


def likely_encoding(line: bytes) -> str:
    r"""Guess the encoding of a line that is not UTF-8, by the lengths of its runs of bytes above 127.

    >>> likely_encoding("café".encode("cp1252")), likely_encoding("早上好".encode("gb18030"))
    ('cp1252', 'gb18030')
    """
    runs = [len(run) for run in _HIGH_BYTES.findall(line)]
    if all(length % 2 == 0 for length in runs):
        return "gb18030"
    return "cp1251" if sum(runs) > 2 * len(runs) else "cp1252"


def _wide_encoding(start: bytes) -> str:
    """Return the encoding of two bytes a character that the first line is in; empty: none."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if 3 * start.count(0) <= len(start):
        return ""
    return "utf-16-be" if start[0] == 0 else "utf-16-le"


def _mend(encoding: str, advice: str) -> str:
    other = f", or read it with {advice} {encoding}, which it may be" if advice else ""
    return f"save the file as UTF-8{other}."


def _decode_other(
    stream: Iterable[bytes], name: str | Path, encoding: str, max_line: int
) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    number, length, last = 1, 0, False
    begun: list[str] = []  # the parts of the line that is being read
    parts = iter(stream)
    while not last:
        raw = next(parts, None)
        last = raw is None
        try:
            first, *others = decoder.decode(raw or b"", last).split("\n")
        except UnicodeError as error:
            raise DataError(
                f"not {encoding} ({error}); name the encoding of the file with --encoding.",
                path=name,
                line=number,
            ) from None
        begun.append(first)
        length += len(first)
        if length > max_line:
            raise too_long(name, number, max_line)
        if not others and not last:
            continue
        *lines, rest = ["".join(begun), *others]
        begun, length = [rest], len(rest)
        for line in [*lines, *([rest] if last and rest else [])]:
            yield (line.removeprefix("\ufeff") if number == 1 else line).removesuffix("\r")
            number += 1
