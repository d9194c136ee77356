"""Reader of tables (TSV, CSV, JSON Lines) with one text and its answer per row."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from pydantic import Field

from heedful.data.label_recognition import is_text_file
from heedful.data.tables import JsonLinesTable, Table
from heedful.data.text_lines import PlainLines, is_plain
from heedful.data.texts import (
    Text,
    TextColumns,
    Texts,
    iterate_texts,
    read_texts,
    split_validation,
    texts_of_rows,
)
from heedful.errors import DataError, shown
from heedful.tasks.readers.base import (
    InputFile,
    OutputFormat,
    Part,
    Reader,
    Rows,
    Stream,
    TableStream,
    TextFiles,
    text_of_row,
)


class TextData(TextFiles, abc.ABC):
    """Files and columns of the texts."""

    train: tuple[str, ...] = Field(
        (), description="Training tables: .tsv, .csv or .jsonl; also .gz."
    )
    valid: tuple[str, ...] = Field((), description="Validation tables, in the same formats.")
    valid_share: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Fraction of the training texts split off for validation if there are no validation tables. "
        "0: validate on the training texts, to train a final model on all data; its metrics do not measure "
        "generalization.",
    )
    valid_seed: int = Field(0, ge=0, description="Random seed of the split.")
    text: str = Field(
        "text", description="Text column; its number, from 1, in files without a header."
    )
    max_length: int = Field(256, ge=2, description="Maximum tokens; longer texts lose the middle.")

    skip_bad: bool = Field(
        False,
        description="Leave out rows without a text or an answer, which are an error otherwise; the run lists them in "
        "skipped.txt.",
    )

    @abc.abstractmethod
    def columns(self) -> TextColumns:
        """Return the columns of the tables."""


class TextReader(Reader):
    """Reads tables, and writes them with predicted columns appended and everything else unchanged."""

    reads_text = True
    train_hint = "--train FILE.tsv"

    def read_files(self, paths: Sequence[str], data: TextData, part: Part) -> Texts:
        return read_texts(paths, data.columns())

    def check_split(self) -> None:
        """Accept any configuration: a missing validation set is split off, or is the training set."""

    def split(self, train: Texts, data: TextData) -> tuple[Texts, Texts]:
        """Split off `data.valid_share` of the texts; if it is 0, both sets are the training texts."""
        if not data.valid_share:
            return train, train
        columns = data.columns()
        return split_validation(
            train,
            data.valid_share,
            data.valid_seed,
            by_answer=columns.answer_is_label,
            column=", ".join(columns.answers),
        )

    def from_rows(self, rows: Rows, data: TextData, name: str) -> Texts:
        return texts_of_rows(rows, data.columns(), name)

    def input_of_row(self, row: Mapping[str, Any], data: TextData, name: str) -> str:
        return text_of_row(row, data.columns().text, name)

    def to_json(self, example: str) -> dict[str, Any]:
        return {"text": example}

    def stream(self, source: InputFile, data: TextData, output: OutputFormat) -> Stream:
        columns = data.columns()
        return TextTable(table_of(source, columns, output), source, columns, output)


def table_of(source: InputFile, columns: TextColumns, output: OutputFormat) -> Table:
    """Return the format of a file of inputs: a table, or plain text with an input per line."""
    is_text = output.text
    if is_text is None:
        is_text = source.own_name and is_text_file(source.name)
    if is_text:
        return PlainLines(columns.separator, tabs=bool(output.text))
    return columns.table(source.name)


class TextTable(TableStream):
    """Rows of a table, or plain text with one text per line, whose empty lines stay empty."""

    unit = "texts"

    def __init__(self, table: Table, source: InputFile, columns: TextColumns, output: OutputFormat):
        self.table, self.source, self.columns, self.output = table, source, columns, output
        self.skipped: list[str] = []

    def items(self) -> Iterator[Text]:
        lines = self.source.lines
        if not self.source.own_name and self.output.text is None:
            first = list(islice(lines, 1))
            lines = chain(first, lines)
            if any(is_plain(line, self.table, self.columns.text) for line in first):
                self.table = PlainLines(self.columns.separator)
            elif first and not self._may_be_header(first[0]):
                raise DataError(
                    f"there is no column {shown(self.columns.text)} in {shown(first[0][:40])}; give a table like the "
                    "training data, or --text for plain text, one text per line.",
                    path=self.source.path,
                    line=1,
                )
        return iterate_texts(
            self.table,
            self.source.path,
            lines,
            self.columns,
            added=self.output.columns,
            # Texts can be anything; only what is checked can be wrong.
            skipped=self.skipped if self.columns.skip_bad and self.columns.check else None,
        )

    def _may_be_header(self, line: str) -> bool:
        name = self.columns.text
        return isinstance(self.table, JsonLinesTable) or name.isdecimal() or name in line

    def input(self, item: Text) -> str:
        return item.text

    def is_example(self, item: Text) -> bool:
        return bool(item.text) or not isinstance(self.table, PlainLines)

    def location(self, item: Text, number: int) -> str:
        return item.error("").where or super().location(item, number)

    def format(
        self, item: Text, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        if not self.is_example(item):
            return "\n"
        return self.extended(item.raw, cells)

    def to_json(self, item: Text, number: int) -> dict[str, Any]:
        return {"line": item.line, "text": item.text}
