"""Texts with an answer each (one label, several labels or a number), read from tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from heedful.data.dataset import Dataset, parse_number, preferred, repeat_to_length
from heedful.data.files import check_file, iterate_lines
from heedful.data.label_columns import labels_of_columns
from heedful.data.label_diagnosis import diagnose_labels
from heedful.data.stratify import stratified_rows
from heedful.data.text_tables import TextTable, text_table
from heedful.errors import DataError, OptionError, nearest

__all__ = ["Text", "TextColumns", "Texts", "iterate_texts", "read_texts", "split_validation"]


@dataclass(frozen=True, slots=True)
class Text:
    """A text, its answers as strings, and its row in the file."""

    text: str
    answers: tuple[str, ...] = ()
    """Empty if the file has none."""
    raw: str = ""
    path: Path | None = None
    line: int | None = None

    def error(self, message: str) -> DataError:
        """Return an error about this text, with its file and line."""
        return DataError(message, path=self.path, line=self.line)

    def number(self) -> float:
        """Return the answer as a number.

        Raises: DataError, see `parse_number`.

        >>> Text("a", ("2.5",)).number()
        2.5
        """
        [answer] = self.answers
        return parse_number(answer, self.error)


@dataclass(frozen=True)
class TextColumns:
    """Column names of a table; one-based numbers if it has no header."""

    text: str = "text"
    answer: str = "label"
    separator: str = ""
    """Separator of several answers in one field; empty: a field is one answer."""
    answer_is_label: bool = True
    """Whether a validation split is stratified by label; false for numbers."""
    label_columns: tuple[str, ...] = ()
    """0/1 columns, one per label, that stand in for `answer`."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The columns that hold the answers."""
        return self.label_columns or (self.answer,)

    def table(self, path: str | Path) -> TextTable:
        """Return the reader and writer for a file."""
        return text_table(Path(path), self.separator)


DISPLAY_CHARACTERS = range(15, 80)
"""Lengths of texts that are readable in a plot."""


@dataclass(frozen=True)
class Texts(Dataset):
    """The texts of one or several files, in order.

    >>> data = Texts([Text("Who is it?", ("HUM",))])
    >>> len(data), data.rows[0].answers
    (1, ('HUM',))
    """

    rows: Sequence[Text]
    name: str = "texts"
    example: ClassVar[str] = "text"

    @property
    def inputs(self) -> list[str]:
        """The texts."""
        return [row.text for row in self.rows]

    @property
    def answers(self) -> list[tuple[str, ...]]:
        """The answers of each text, as strings."""
        return [row.answers for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Sequence[int]) -> Texts:
        return Texts([self.rows[row] for row in rows], self.name)

    def texts(self) -> Sequence[Sequence[str]]:
        return self.inputs, ["\n".join(answers) for answers in self.answers]

    def input_of_length(self, length: int) -> str:
        words = [word for text in self.inputs for word in text.split()]
        return " ".join(repeat_to_length(words, length))

    def labels(self) -> list[tuple[str, ...]]:
        return self.answers

    def showcase(self, count: int) -> list[str]:
        distinct = list(dict.fromkeys(self.inputs))
        return preferred(distinct, [len(text) in DISPLAY_CHARACTERS for text in distinct], count)

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        return self.rows[row].error(message)


def iterate_texts(
    table: TextTable,
    path: Path,
    lines: Iterator[str],
    columns: TextColumns,
    *,
    answers: bool,
    added: Sequence[str] = (),
) -> Iterator[Text]:
    """Lazily yield the texts of one file.

    Args:
        table: the table format.
        path: the file, for errors.
        lines: its lines.
        columns: the columns to read.
        answers: whether to read the answers.
        added: columns to be written later, which the file must not have.

    Raises: DataError naming file and line, see `read_texts`; also for an existing `added` column.
    """
    required = (columns.text, *columns.answers) if answers else (columns.text,)
    for row in table.rows(path, lines, required, added):
        value = row.fields[columns.text]
        if not isinstance(value, str):
            raise DataError(
                f"column {columns.text!r} holds {json.dumps(value)[:40]}; expected a string.",
                path=path,
                line=row.line,
            )
        text = Text(" ".join(value.split()), (), row.raw, path, row.line)
        if answers:
            text = replace(text, answers=_answers(text, row.fields, columns))
        yield text


def read_texts(paths: Sequence[str | Path], columns: TextColumns) -> Texts:
    """Read the texts and answers of one or several tables, plain or gzipped.

    Raises: DataError naming file and line, for a file that is missing, empty, not UTF-8 or malformed, a
        missing column (the nearest name is suggested), an empty text or answer.
    """
    texts: list[Text] = []
    for path in paths:
        check_file(path)
        table = columns.table(path)
        rows = list(iterate_texts(table, Path(path), iterate_lines(path), columns, answers=True))
        if not rows:
            raise DataError("the file holds no rows.", path=path)
        for row in rows:
            if not row.text:
                raise row.error(f"column {columns.text!r} is empty; fill it in or remove the row.")
        texts += rows
    return Texts(texts, " + ".join(str(path) for path in paths))


def texts_of_rows(rows: Sequence[Mapping[str, object]], columns: TextColumns, name: str) -> Texts:
    """Convert mappings, one per text, to a dataset.

    Raises: DataError naming the example, for a column that is missing, empty or of a wrong type.

    >>> texts_of_rows([{"text": "Who?", "label": "HUM"}], TextColumns(), "train").answers
    [('HUM',)]
    """
    texts = []
    for number, row in enumerate(rows, start=1):
        origin = Path(f"example {number} of {name}")
        for column in (columns.text, *columns.answers):
            if column not in row:
                near = nearest(column, list(row))
                hint = f"; did you mean {near!r}?" if near else "."
                raise DataError(
                    f"there is no column {column!r}{hint} The columns are: {', '.join(row)}.",
                    path=origin,
                )
        value = row[columns.text]
        if not isinstance(value, str) or not value.strip():
            raise DataError(
                f"column {columns.text!r} is {value!r}; expected a non-empty string.", path=origin
            )
        text = Text(" ".join(value.split()), (), "", origin)
        texts.append(replace(text, answers=_answers(text, row, columns)))
    return Texts(texts, name)


def _answers(text: Text, fields: Mapping[str, object], columns: TextColumns) -> tuple[str, ...]:
    """Parse the answers of one row: of 0/1 columns, or of a field: one without a separator, any number with one."""
    if columns.label_columns:
        return labels_of_columns(fields, columns.label_columns, text.error)
    value = fields[columns.answer]
    if isinstance(value, list) and columns.separator:
        parts = [_as_text(text, each, columns.answer) for each in value]
    else:
        field = _as_text(text, value, columns.answer)
        parts = field.split(columns.separator) if columns.separator else [field]
    answers = [" ".join(part.split()) for part in parts]
    if columns.separator:
        return tuple(dict.fromkeys(answer for answer in answers if answer))
    if not answers[0]:
        raise text.error(f"column {columns.answer!r} is empty; fill it in or remove the row.")
    return tuple(answers)


def _as_text(text: Text, value: object, column: str) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, list | dict):
        raise text.error(
            f"column {column!r} holds {json.dumps(value)[:40]}; expected a string or a number."
        )
    return json.dumps(value)


def split_validation(
    data: Texts, share: float, seed: int, *, by_answer: bool, column: str = ""
) -> tuple[Texts, Texts]:
    """Split texts into (training, validation) at random; both keep the order of the file.

    Args:
        data: the texts.
        share: the fraction for validation.
        seed: seed of the random choice.
        by_answer: whether to stratify by answer; counts are rounded down, so rare answers stay in training.
        column: the column of the answers, for errors.

    Raises: OptionError for a share outside (0, 1); DataError if either part would be empty.

    >>> data = Texts([Text(str(n), ("ab"[n % 2],)) for n in range(8)])
    >>> train, valid = split_validation(data, 0.25, 0, by_answer=True)
    >>> len(train), sorted(each.answers[0] for each in valid.rows)
    (6, ['a', 'b'])
    """
    if not 0 < share < 1:
        raise OptionError(f"the share for validation is {share}; it must be above 0 and below 1.")
    answers = data.answers if by_answer else [()] * len(data)
    chosen = stratified_rows(answers, share, seed)
    if not 0 < len(chosen) < len(data):
        if by_answer and (reason := diagnose_labels(answers, data.example, column)):
            raise DataError(f"{data.name}: {reason}")
        raise DataError(
            f"{len(data)} texts are too few to split off a share of {share} for validation; give more, or a "
            "validation file."
        )
    train = [row for index, row in enumerate(data.rows) if index not in chosen]
    valid = [row for index, row in enumerate(data.rows) if index in chosen]
    return Texts(train, data.name), Texts(valid, f"{share:g} of {data.name}")
