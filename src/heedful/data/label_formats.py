"""JSON Lines of labelled tokens, and the table of all label formats."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from heedful.data.conllu import COLUMNS, ConllU
from heedful.data.json_lines import parse_object
from heedful.data.label_base import LabelFormat, Layout, Sentence
from heedful.data.label_columns import DOCUMENT, Columns
from heedful.errors import DataError, listed, nearest, shown
from heedful.strict_json import to_strict_json


class JsonLines(LabelFormat):
    """One JSON object per line: {"tokens": ["a", "saw"], "tags": ["DET", "NOUN"]}; other keys are kept.

    An object whose only token is -DOCSTART- is a document boundary and is written back unchanged.
    """

    name = "jsonl"
    terminator = ""

    def parse(self, path: Path, lines: Iterator[str]) -> Iterator[Sentence]:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            row = parse_object(path, number, line)
            tokens = _string_list(path, number, row, self._tokens)
            if tokens == (DOCUMENT,):
                yield Sentence((), (), (line,), (), path, number)
                continue
            labels: tuple[str, ...] = ()
            if self._key in row:
                labels = _string_list(path, number, row, self._key)
                if len(labels) != len(tokens):
                    raise DataError(
                        f"got {len(tokens)} {shown(self._tokens)} and {len(labels)} {shown(self._key)}; each token "
                        "needs one label.",
                        path=path,
                        line=number,
                    )
            yield Sentence(tokens, labels, (line,), (0,) * len(tokens), path, number)

    def lines(self, sentence: Sentence, labels: Sequence[str]) -> list[str]:
        row = json.loads(sentence.lines[0])
        if row[self._tokens] == [DOCUMENT]:
            return list(sentence.lines)
        return [to_strict_json({**row, self._key: list(labels)}, ensure_ascii=False)]

    def check_labels(self, path: Path, sentences: Sequence[Sentence]) -> None:
        for sentence in sentences:
            if not sentence.labels:
                row = json.loads(sentence.lines[0])
                raise sentence.error(0, _missing_key(self._key, row))
        super().check_labels(path, sentences)

    def layout(self) -> Layout:
        return Layout(format=self.name, tokens=self._tokens, labels=self._key)

    @property
    def _tokens(self) -> str:
        return self.tokens or "tokens"

    @property
    def _key(self) -> str:
        return self.column or "tags"


def _string_list(path: Path, number: int, row: dict[str, Any], name: str) -> tuple[str, ...]:
    if name not in row:
        raise DataError(_missing_key(name, row), path=path, line=number)
    value = row[name]
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise DataError(
            f"{shown(name)} holds {json.dumps(value)[:40]}; expected a list of strings.",
            path=path,
            line=number,
        )
    return tuple(value)


def _missing_key(name: str, row: dict[str, Any]) -> str:
    near = nearest(name, row)
    hint = f"; did you mean {shown(near)}?" if near else "."
    return f"there is no key {shown(name)}{hint} The keys are: {listed(row)}."


FORMATS: dict[str, type[LabelFormat]] = {
    "conllu": ConllU,
    "columns": Columns,
    "jsonl": JsonLines,
}
"""Name -> format, `FORMATS[name](column, tokens, learned)`."""

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
            f"unknown format {shown(name.suffix)}; the file name must end in one of {', '.join(SUFFIXES)} (.gz may "
            f"follow), or set data.format to {' or '.join(FORMATS)}.",
            path=path,
        )
    return SUFFIXES[name.suffix.lower()]


_FIRST_ID = re.compile(r"1(-\d+)?|0\.1")
_HEAD = re.compile(r"\d+|_")


def is_conllu(lines: Sequence[str]) -> bool:
    r"""Return whether the first lines of a file are CoNLL-U: ten tab-separated fields, with an id and a head.

    >>> is_conllu(["1\tdogs\tdog\tNOUN\tNNS\t_\t0\troot\t_\t_"]), is_conllu(["dogs\tNOUN"])
    (True, False)
    """
    for line in lines:
        if line.strip() and not line.startswith("#"):
            fields = line.split("\t")
            return len(fields) == len(COLUMNS) and bool(
                _FIRST_ID.fullmatch(fields[0]) and _HEAD.fullmatch(fields[COLUMNS.index("head")])
            )
    return False
