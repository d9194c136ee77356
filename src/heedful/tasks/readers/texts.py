"""Texts with an answer a row: tables of TSV, CSV or JSON lines."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from pydantic import Field

from heedful.data.label_recognition import is_text_file
from heedful.data.text_lines import PlainLines, is_plain
from heedful.data.text_tables import JsonLinesTable, TextTable
from heedful.data.texts import (
    Text,
    TextColumns,
    Texts,
    iterate_texts,
    read_texts,
    split_validation,
    texts_of_rows,
)
from heedful.errors import DataError
from heedful.models.config import Section
from heedful.tasks.readers.base import InputFile, OutputFormat, Part, Reader, Rows, Stream


class TextData(Section, abc.ABC):
    """Where the texts come from."""

    train: tuple[str, ...] = Field(
        (), description="Training tables: .tsv, .csv or .jsonl; .gz is read in place."
    )
    valid: tuple[str, ...] = Field((), description="Validation tables, given in the same way.")
    valid_share: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Without validation tables: the share of the training texts that is cut off for it. 0 cuts "
        "none off and validates on the training texts themselves, whose figures then say nothing of new ones: "
        "for a last training on everything, once all else is chosen.",
    )
    valid_seed: int = Field(0, ge=0, description="Which texts are cut off.")
    text: str = Field(
        "text", description="Column of the texts; a number, from 1, where there is no header."
    )
    max_length: int = Field(
        256, ge=2, description="Of a longer text, in tokens, the first and the last ones are read."
    )

    @abc.abstractmethod
    def columns(self) -> TextColumns:
        """Return how the tables are read."""


class TextReader(Reader):
    """Reads tables and writes them with columns added; all else stays as it was."""

    reads_text = True
    train_hint = "--train FILE.tsv"

    def read_files(self, paths: Sequence[str], data: TextData, part: Part) -> Texts:
        return read_texts(paths, data.columns())

    def check_split(self) -> None:
        """Validation texts are cut off, or, where `data.valid_share` is 0, the training texts serve as both."""

    def split(self, train: Texts, data: TextData) -> tuple[Texts, Texts]:
        """Cut validation texts off the training texts, as the configuration says."""
        if not data.valid_share:
            return train, train
        by_answer = data.columns().answer_is_label
        return split_validation(train, data.valid_share, data.valid_seed, by_answer=by_answer)

    def from_rows(self, rows: Rows, data: TextData, name: str) -> Texts:
        return texts_of_rows(rows, data.columns(), name)

    def to_json(self, example: str) -> dict[str, Any]:
        return {"text": example}

    def stream(self, source: InputFile, data: TextData, output: OutputFormat) -> Stream:
        columns = data.columns()
        named_text = source.own_name and is_text_file(source.name)
        if output.text or (output.text is None and named_text):
            plain = PlainLines(columns.separator, tabs=bool(output.text))
            return _Table(plain, source, columns, output)
        return _Table(columns.table(source.name), source, columns, output)


class _Table(Stream):
    """Rows of a table, or plain lines, one text a line, of which empty ones stay empty lines."""

    unit = "texts"
    cells_in_json = True

    def __init__(
        self, table: TextTable, source: InputFile, columns: TextColumns, output: OutputFormat
    ):
        self.table, self.source, self.columns, self.output = table, source, columns, output

    def items(self) -> Iterator[Text]:
        lines = self.source.lines
        if not self.source.own_name and self.output.text is None:
            first = list(islice(lines, 1))
            lines = chain(first, lines)
            if any(is_plain(line, self.table, self.columns.text) for line in first):
                self.table = PlainLines(self.columns.separator)
            elif first and not self._may_be_head(first[0]):
                raise DataError(
                    f"there is no column {self.columns.text!r} in {first[0][:40]!r}; give a table like the training "
                    "data, or --text for plain lines, one text a line.",
                    path=self.source.path,
                    line=1,
                )
        return iterate_texts(
            self.table,
            self.source.path,
            lines,
            self.columns,
            answers=False,
            added=self.output.columns,
        )

    def _may_be_head(self, line: str) -> bool:
        name = self.columns.text
        return isinstance(self.table, JsonLinesTable) or name.isdecimal() or name in line

    def input(self, item: Text) -> str:
        return item.text

    def is_example(self, item: Text) -> bool:
        return bool(item.text) or not isinstance(self.table, PlainLines)

    def header(self) -> str:
        head = self.table.header(self.output.columns)
        return "" if head is None else f"{head}\n"

    def format(
        self, item: Text, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        if not self.is_example(item):
            return "\n"
        added = dict(zip(self.output.columns, cells, strict=True))
        return f"{self.table.extend(item.raw, added)}\n"

    def to_json(self, item: Text, number: int) -> dict[str, Any]:
        return {"line": item.line, "text": item.text}
