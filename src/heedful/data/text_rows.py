"""One row of a table as a text with its answers: one label, several labels, or numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from heedful.data.decoding import UTF8
from heedful.data.indicator_columns import KnownLabels, labels_of_columns, unknown_labels
from heedful.data.number import parse_number
from heedful.data.opening import MAX_LINE
from heedful.data.table_rows import TableRow, check_columns
from heedful.data.tables import Table, table_format
from heedful.data.words import canonical, check_characters
from heedful.errors import DataError, shown


@dataclass(frozen=True, slots=True)
class Text:
    """A text as it was read, its answers as strings, and its row in the file."""

    text: str
    answers: tuple[str, ...] = ()
    """Empty if the file has none. Labels are in their canonical form; of several numbers those that are missing are
    empty."""
    raw: str = ""
    path: Path | None = None
    line: int | None = None
    row: int = 0
    """Its number among the rows of the data, from 0, counting those that were left out."""
    part: str = ""
    """What the column `TextColumns.part` says."""

    def error(self, message: str) -> DataError:
        """Return an error about this text, with its file and line."""
        return DataError(message, path=self.path, line=self.line)


class IncompleteRowError(DataError):
    """A row without a text, or without an answer that can be learned from."""


@dataclass(frozen=True)
class TextColumns:
    """Column names of a table; one-based numbers if it has no header."""

    text: str = "text"
    answer: str = "label"
    separator: str = ""
    """Separator of several answers in one field; empty: a field is one answer."""
    answer_is_label: bool = True
    """Whether a validation split is stratified by label; false for numbers, of which `answer` may name several columns,
    separated by commas."""
    encoding: str = UTF8
    """Of the files."""
    max_line: int = MAX_LINE
    """Maximum bytes of a line."""
    skip_bad: bool = False
    """Whether rows without a text or an answer are left out, and listed."""
    part: str = ""
    """Column that says to which part of the data a row belongs; empty: there is none."""
    label_columns: tuple[str, ...] = ()
    """0/1 columns, one per label, that stand in for `answer`."""
    blanks: bool = False
    """Whether a row may lack some of them."""
    check: Callable[[str, Callable[[str], DataError]], object] | None = None
    """(text, maker of errors): raises such an error for a text that is not of the expected form."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The columns of the answers.

        >>> TextColumns(answer="a, b", answer_is_label=False).answers
        ('a', 'b')
        """
        if self.answer_is_label:
            return self.label_columns or (self.answer,)
        return split_names(self.answer)

    def table(self, path: str | Path) -> Table:
        """Return the reader and writer for a file."""
        return table_format(Path(path), self.separator)


def split_names(names: str) -> tuple[str, ...]:
    """Return the names in a text that separates them by commas."""
    return tuple(name.strip() for name in names.split(","))


def read_text(row: TableRow, columns: TextColumns) -> Text:
    """Return the text of a row, without its answers."""
    text = _text(row, columns)
    if columns.check is not None:
        columns.check(text.text, row.error)
    return text


def _text(row: TableRow, columns: TextColumns) -> Text:
    value = row.text(columns.text)
    check_characters(value, row.error)
    return Text(value, (), row.raw, row.path, row.line)


def read_answered(row: TableRow, columns: TextColumns) -> Text:
    """Return the text of a row with its answers.

    Raises: IncompleteRowError for a row without a text or an answer, or with a text that `columns.check` refuses.
    """
    text = _text(row, columns)
    incomplete = partial(IncompleteRowError, path=row.path, line=row.line)
    if not text.text.strip():
        raise incomplete(f"column {shown(columns.text)} is empty; fill it in or remove the row.")
    if columns.check is not None:
        columns.check(text.text, incomplete)
    if columns.part:
        text = replace(text, part=_field(row, columns.part).strip())
    if columns.answer_is_label:
        return replace(text, answers=_labels(row, columns))
    targets = [_field(row, column).strip() for column in columns.answers]
    for column, target in zip(columns.answers, targets, strict=True):
        if target:
            parse_number(target, incomplete)
        elif not any(targets):
            raise incomplete(f"column {shown(column)} is empty; fill it in or remove the row.")
    return replace(text, answers=tuple(targets))


def _labels(row: TableRow, columns: TextColumns) -> tuple[str, ...]:
    """Parse the labels of 0/1 columns, or of one field: exactly one without a separator, any number with one."""
    incomplete = partial(IncompleteRowError, path=row.path, line=row.line)
    if columns.label_columns:
        names = columns.label_columns
        fields = {
            each: "" if columns.blanks and row.fields.get(each, "") is None else _field(row, each)
            for each in names
        }
        labels = labels_of_columns(fields, names, incomplete, blanks=columns.blanks)
        found = map(canonical, labels)
        unknown = unknown_labels(labels)
        return KnownLabels(found, map(canonical, unknown)) if unknown else tuple(found)
    value = row.fields.get(columns.answer)
    if isinstance(value, list) and columns.separator:
        parts = [field_text(row, each, columns.answer) for each in value]
    else:
        field = _field(row, columns.answer)
        parts = field.split(columns.separator) if columns.separator else [field]
    answers = [canonical(" ".join(part.split())) for part in parts]
    if columns.separator:
        return tuple(dict.fromkeys(answer for answer in answers if answer))
    if not answers[0]:
        raise incomplete(f"column {shown(columns.answer)} is empty; fill it in or remove the row.")
    return tuple(answers)


def _field(row: TableRow, column: str) -> str:
    """Return the field of an answer as text; a row of JSON may lack it, or hold null."""
    if column not in row.fields:
        try:
            check_columns(row.path, list(row.fields), [column], row.line)
        except DataError as error:
            raise IncompleteRowError(str(error)) from None
    return field_text(row, row.fields[column], column)


def field_text(row: TableRow, value: object, column: str) -> str:
    """Return a value of a row as text; empty for a missing value of a data frame.

    Raises: IncompleteRowError for null; DataError for a list or an object.
    """
    if isinstance(value, str):
        check_characters(value, row.error)
        return value
    if hasattr(value, "item"):  # a number of NumPy
        value = value.item()
    if isinstance(value, float) and math.isnan(value):  # a missing value of a data frame
        return ""
    if value is None or isinstance(value, list | dict):
        kind = IncompleteRowError if value is None else DataError
        raise kind(
            f"column {shown(column)} holds {json.dumps(value)[:40]}; expected a string or a number.",
            path=row.path,
            line=row.line,
        )
    return json.dumps(value)
