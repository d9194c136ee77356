"""Column files and JSON Lines of labelled tokens, and the table of all label formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from heedful.data.conllu import ConllU
from heedful.data.json_lines import parse_object
from heedful.data.label_base import LabelFormat, Sentence, blocks
from heedful.errors import DataError, count, nearest


class Columns(LabelFormat):
    """CoNLL 2003: one token per line, columns separated by tabs or spaces, sentences by empty lines.

    The first column holds the tokens. `column` is a one-based number, or "last" (the default). Blocks that
    begin with -DOCSTART- are not sentences.
    """

    def parse(self, path: Path, lines: Iterator[str]) -> Iterator[Sentence]:
        column = self._column_number(path)
        width = 0
        for start, block in blocks(lines):
            if block[0].startswith("-DOCSTART-"):
                yield Sentence((), (), tuple(block), (), path, start)
                continue
            rows = [_split_fields(line) for line in block]
            width = width or len(rows[0])
            for row, fields in enumerate(rows):
                if len(fields) != width:
                    raise DataError(
                        f"the line has {count(len(fields), 'column')} and the lines before have {width}.",
                        path=path,
                        line=start + row,
                    )
            number = width if column is None else column
            if number > width:
                raise DataError(
                    f"there is no column {number}: the line has {count(width, 'column')}.",
                    path=path,
                    line=start,
                )
            labels = tuple(fields[number - 1] for fields in rows) if number > 1 else ()
            tokens = tuple(fields[0] for fields in rows)
            yield Sentence(tokens, labels, tuple(block), tuple(range(len(block))), path, start)

    def lines(self, sentence: Sentence, labels: Sequence[str]) -> list[str]:
        lines = list(sentence.lines)
        column = self._column_number(sentence.path)
        for row, label in zip(sentence.rows, labels, strict=True):
            fields = _split_fields(lines[row])
            # A file of tokens only gets a second column.
            number = max(2, len(fields)) if column is None else column
            delimiter = " " if "\t" not in lines[row] and len(fields) > 1 else "\t"
            lines[row] = delimiter.join([*fields[: number - 1], label, *fields[number:]])
        return lines

    def _column_number(self, path: Path | None) -> int | None:
        """Return the one-based label column; None for the last."""
        if self.column in ("", "last"):
            return None
        if not self.column.isdecimal() or int(self.column) < 2:
            raise DataError(
                f"there is no label column {self.column!r}; give a number from 2 (the first column holds "
                'the tokens) or "last".',
                path=path,
            )
        return int(self.column)


def _split_fields(line: str) -> list[str]:
    # other white space, such as a no-break space, is part of a token
    return line.split("\t") if "\t" in line else [field for field in line.split(" ") if field]


class JsonLines(LabelFormat):
    """One JSON object per line: {"tokens": ["a", "saw"], "tags": ["DET", "NOUN"]}; other keys are kept."""

    terminator = ""

    def parse(self, path: Path, lines: Iterator[str]) -> Iterator[Sentence]:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            row = parse_object(path, number, line)
            tokens = _string_list(path, number, row, self.tokens)
            labels: tuple[str, ...] = ()
            if self._key in row:
                labels = _string_list(path, number, row, self._key)
                if len(labels) != len(tokens):
                    raise DataError(
                        f"got {len(tokens)} {self.tokens!r} and {len(labels)} {self._key!r}; each token "
                        "needs one label.",
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
                raise sentence.error(0, _missing_key(self._key, row))
        super().check_labels(path, sentences)

    @property
    def _key(self) -> str:
        return self.column or "tags"


def _string_list(path: Path, number: int, row: dict[str, Any], name: str) -> tuple[str, ...]:
    if name not in row:
        raise DataError(_missing_key(name, row), path=path, line=number)
    value = row[name]
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise DataError(
            f"{name!r} holds {json.dumps(value)[:40]}; expected a list of strings.",
            path=path,
            line=number,
        )
    return tuple(value)


def _missing_key(name: str, row: dict[str, Any]) -> str:
    near = nearest(name, row)
    hint = f"; did you mean {near!r}?" if near else "."
    return f"there is no key {name!r}{hint} The keys are: {', '.join(row)}."


FORMATS: dict[str, Callable[[str, str], LabelFormat]] = {
    "conllu": ConllU,
    "columns": Columns,
    "jsonl": JsonLines,
}
"""Name -> format, `FORMATS[name](column, tokens)`."""

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
"""File extension -> name of its format."""


def detect_format(path: Path) -> str:
    """Return the format of a file by its extension; .gz may follow.

    Raises: DataError for an unknown extension.

    >>> detect_format(Path("en-ud-dev.conllu.gz"))
    'conllu'
    """
    name = path.with_suffix("") if path.suffix == ".gz" else path
    if name.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"unknown format {name.suffix!r}; the file name must end in one of {', '.join(SUFFIXES)} (.gz may "
            f"follow), or set data.format to {' or '.join(FORMATS)}.",
            path=path,
        )
    return SUFFIXES[name.suffix.lower()]
