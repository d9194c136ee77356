"""Files of labelled tokens beside CoNLL-U (columns, JSON lines), and the table of all formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from heedful.data.conllu import ConllU
from heedful.data.label_base import LabelFormat, Sentence, blocks
from heedful.errors import DataError, count, nearest


class Columns(LabelFormat):
    """One token a line, columns parted by tabs or else by spaces, sentences by empty lines (CoNLL 2003).

    The token comes first. `column` counts from 1; "last", the default, is the last one. Lines that begin
    with -DOCSTART- are no sentences.
    """

    def parse(self, path: Path, lines: Iterator[str]) -> Iterator[Sentence]:
        wanted = self._wanted(path)
        width = 0
        for start, block in blocks(lines):
            if block[0].startswith("-DOCSTART-"):
                yield Sentence((), (), tuple(block), (), path, start)
                continue
            rows = [_fields(line) for line in block]
            width = width or len(rows[0])
            for row, fields in enumerate(rows):
                if len(fields) != width:
                    raise DataError(
                        f"the line has {count(len(fields), 'column')} and the lines before have {width}.",
                        path=path,
                        line=start + row,
                    )
            place = width if wanted is None else wanted
            if wanted is not None and wanted > width:
                raise DataError(
                    f"there is no column {wanted}: the line has {width}.", path=path, line=start
                )
            labels = tuple(fields[place - 1] for fields in rows) if place > 1 else ()
            tokens = tuple(fields[0] for fields in rows)
            yield Sentence(tokens, labels, tuple(block), tuple(range(len(block))), path, start)

    def lines(self, sentence: Sentence, labels: Sequence[str]) -> list[str]:
        lines = list(sentence.lines)
        wanted = self._wanted(sentence.path)
        for row, label in zip(sentence.rows, labels, strict=True):
            fields = _fields(lines[row])
            # a file of tokens alone gets a second column
            place = max(2, len(fields)) if wanted is None else wanted
            parts = [*fields[: place - 1], label, *fields[place:]]
            lines[row] = (" " if "\t" not in lines[row] and len(fields) > 1 else "\t").join(parts)
        return lines

    def _wanted(self, path: Path | None) -> int | None:
        if self.column in ("", "last"):
            return None
        if not self.column.isdecimal() or int(self.column) < 2:
            raise DataError(
                f"there is no column {self.column!r}; columns are counted from 1, the first holds the "
                'tokens, and "last" is the last one.',
                path=path,
            )
        return int(self.column)


def _fields(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else line.split()


class JsonLines(LabelFormat):
    """One JSON object a line: {"tokens": ["a", "saw"], "tags": ["DET", "NOUN"]}; other keys are kept."""

    ending = ""

    def parse(self, path: Path, lines: Iterator[str]) -> Iterator[Sentence]:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            row = _object(path, number, line)
            tokens = _strings(path, number, row, self.tokens)
            labels: tuple[str, ...] = ()
            if self._key in row:
                labels = _strings(path, number, row, self._key)
                if len(labels) != len(tokens):
                    raise DataError(
                        f"{len(tokens)} {self.tokens!r} and {len(labels)} {self._key!r}; as many are "
                        "wanted.",
                        path=path,
                        line=number,
                    )
            yield Sentence(tokens, labels, (line,), (0,) * len(tokens), path, number)

    def lines(self, sentence: Sentence, labels: Sequence[str]) -> list[str]:
        row = json.loads(sentence.lines[0])
        return [json.dumps({**row, self._key: list(labels)}, ensure_ascii=False)]

    def check_labels(self, path: Path, sentences: Sequence[Sentence]) -> None:
        for sentence in sentences:
            if not sentence.labels:
                row = json.loads(sentence.lines[0])
                raise sentence.error(0, _no_key(self._key, row))
        super().check_labels(path, sentences)

    @property
    def _key(self) -> str:
        return self.column or "tags"


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"not JSON ({error}); each line must be one JSON object.", path=path, line=number
        ) from None
    if not isinstance(row, dict):
        raise DataError(
            f"a JSON {type(row).__name__}; each line must be one JSON object.",
            path=path,
            line=number,
        )
    return row


def _strings(path: Path, number: int, row: dict[str, Any], name: str) -> tuple[str, ...]:
    if name not in row:
        raise DataError(_no_key(name, row), path=path, line=number)
    found = row[name]
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise DataError(
            f"{name!r} holds {json.dumps(found)[:40]}; a list of strings is wanted.",
            path=path,
            line=number,
        )
    return tuple(found)


def _no_key(name: str, row: dict[str, Any]) -> str:
    near = nearest(name, row)
    hint = f"; did you mean {near!r}?" if near else "."
    return f"there is no {name!r}{hint} The line has: {', '.join(row)}."


FORMATS: dict[str, Callable[[str, str], LabelFormat]] = {
    "conllu": ConllU,
    "columns": Columns,
    "jsonl": JsonLines,
}
"""Name -> reader and writer, `FORMATS[name](column, tokens)`."""

SUFFIXES = {
    ".conllu": "conllu",
    ".conll": "columns",
    ".bio": "columns",
    ".iob": "columns",
    ".tsv": "columns",
    ".txt": "columns",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


def format_of(path: Path) -> str:
    """Tell a file's format by its name; .gz may follow.

    Raises: DataError for another name.

    >>> format_of(Path("en-ud-dev.conllu.gz"))
    'conllu'
    """
    name = path.with_suffix("") if path.suffix == ".gz" else path
    if name.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"the name does not tell the format; name it one of {', '.join(SUFFIXES)} (.gz may follow), "
            f"or say which it is: data.format = {' or '.join(FORMATS)}.",
            path=path,
        )
    return SUFFIXES[name.suffix.lower()]
