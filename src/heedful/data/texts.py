"""Texts with an answer each (one label, several labels or a number), read from tables."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from heedful.data.dataset import Dataset, preferred, repeat_to_length
from heedful.data.decoding import UTF8
from heedful.data.files import check_file, iterate_lines
from heedful.data.number import parse_number
from heedful.data.tables import Table, TableRow, check_columns, table_format
from heedful.data.words import canonical, check_characters
from heedful.errors import DataError, OptionError

__all__ = ["Text", "TextColumns", "Texts", "iterate_texts", "read_texts", "split_validation"]


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
    skip_bad: bool = False
    """Whether rows without a text or an answer are left out, and listed."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The columns of the answers.

        >>> TextColumns(answer="a, b", answer_is_label=False).answers
        ('a', 'b')
        """
        return (self.answer,) if self.answer_is_label else split_names(self.answer)

    def table(self, path: str | Path) -> Table:
        """Return the reader and writer for a file."""
        return table_format(Path(path), self.separator)


def split_names(names: str) -> tuple[str, ...]:
    """Return the names in a text that separates them by commas."""
    return tuple(name.strip() for name in names.split(","))


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
    skipped: Sequence[str] = ()
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
        distinct = list(dict.fromkeys(" ".join(text.split()) for text in self.inputs))
        return preferred(distinct, [len(text) in DISPLAY_CHARACTERS for text in distinct], count)

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        return self.rows[row].error(message)


def iterate_texts(
    table: Table,
    path: Path,
    lines: Iterator[str],
    columns: TextColumns,
    *,
    added: Sequence[str] = (),
) -> Iterator[Text]:
    """Lazily yield the texts of one file, without answers.

    Args:
        table: the table format.
        path: the file, for errors.
        lines: its lines.
        columns: the columns to read.
        added: columns to be written later, which the file must not have.

    Raises: DataError naming file and line, see `read_texts`; also for an existing `added` column.
    """
    for row in table.rows(path, lines, (columns.text,), added):
        yield _text(row, columns)


def read_texts(paths: Sequence[str | Path], columns: TextColumns) -> Texts:
    """Read the texts and answers of one or several tables, plain or gzipped.

    With `columns.skip_bad` rows without a text or an answer are left out, and listed in `Texts.skipped`.

    Raises: DataError naming file and line, for a file that is missing, empty, in another encoding or malformed, a
        missing column (the nearest name is suggested), an empty text or answer, a target that is not a number.
    """
    texts: list[Text] = []
    skipped: list[str] = []
    for path in map(Path, paths):
        check_file(path)
        before = len(texts)
        lines = iterate_lines(path, columns.encoding)
        for row in columns.table(path).rows(path, lines, (columns.text, *columns.answers)):
            try:
                texts.append(_answered(row, columns))
            except IncompleteRowError as error:
                if not columns.skip_bad:
                    raise
                skipped.append(str(error))
        if len(texts) == before:
            left_out = " that can be used" if skipped else ""
            raise DataError(f"the file holds no rows{left_out}.", path=path)
    return Texts(texts, " + ".join(str(path) for path in paths), skipped)


def texts_of_rows(rows: Sequence[Mapping[str, object]], columns: TextColumns, name: str) -> Texts:
    """Convert mappings, one per text, to a dataset.

    Raises: DataError naming the example, for a column that is missing, empty or of a wrong type.

    >>> texts_of_rows([{"text": "Who?", "label": "HUM"}], TextColumns(), "train").answers
    [('HUM',)]
    """
    texts: list[Text] = []
    skipped: list[str] = []
    for number, fields in enumerate(rows, start=1):
        row = TableRow(Path(f"example {number} of {name}"), None, "", fields)
        try:
            texts.append(_answered(row, columns))
        except IncompleteRowError as error:
            if not columns.skip_bad:
                raise
            skipped.append(str(error))
    return Texts(texts, name, skipped)


def _text(row: TableRow, columns: TextColumns) -> Text:
    value = row.text(columns.text)
    check_characters(value, row.error)
    return Text(value, (), row.raw, row.path, row.line)


def _answered(row: TableRow, columns: TextColumns) -> Text:
    """Return the text of a row with its answers.

    Raises: IncompleteRowError for a row without a text or an answer.
    """
    text = _text(row, columns)
    incomplete = partial(IncompleteRowError, path=row.path, line=row.line)
    if not text.text.strip():
        raise incomplete(f"column {columns.text!r} is empty; fill it in or remove the row.")
    if columns.answer_is_label:
        return replace(text, answers=_labels(row, columns))
    targets = [_field(row, column).strip() for column in columns.answers]
    for column, target in zip(columns.answers, targets, strict=True):
        if target:
            parse_number(target, incomplete)
        elif not any(targets):
            raise incomplete(f"column {column!r} is empty; fill it in or remove the row.")
    return replace(text, answers=tuple(targets))


def _labels(row: TableRow, columns: TextColumns) -> tuple[str, ...]:
    """Parse the labels of one field: exactly one without a separator, any number with one."""
    value = row.fields.get(columns.answer)
    if isinstance(value, list) and columns.separator:
        parts = [_as_text(row, each, columns.answer) for each in value]
    else:
        field = _field(row, columns.answer)
        parts = field.split(columns.separator) if columns.separator else [field]
    answers = [canonical(" ".join(part.split())) for part in parts]
    if columns.separator:
        return tuple(dict.fromkeys(answer for answer in answers if answer))
    if not answers[0]:
        raise IncompleteRowError(
            f"column {columns.answer!r} is empty; fill it in or remove the row.",
            path=row.path,
            line=row.line,
        )
    return tuple(answers)


def _field(row: TableRow, column: str) -> str:
    """Return the field of an answer as text; a row of JSON may lack it, or hold null."""
    if column not in row.fields:
        try:
            check_columns(row.path, list(row.fields), [column], row.line)
        except DataError as error:
            raise IncompleteRowError(str(error)) from None
    return _as_text(row, row.fields[column], column)


def _as_text(row: TableRow, value: object, column: str) -> str:
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
            f"column {column!r} holds {json.dumps(value)[:40]}; expected a string or a number.",
            path=row.path,
            line=row.line,
        )
    return json.dumps(value)


def split_validation(
    data: Texts, share: float, seed: int, *, by_answer: bool
) -> tuple[Texts, Texts]:
    """Split texts into (training, validation) at random; both keep the order of the file.

    Args:
        data: the texts.
        share: the fraction for validation.
        seed: seed of the random choice.
        by_answer: whether to stratify by answer; counts are rounded down, so rare answers stay in training.

    Raises: OptionError for a share outside (0, 1); DataError if either part would be empty.

    >>> data = Texts([Text(str(n), ("ab"[n % 2],)) for n in range(8)])
    >>> train, valid = split_validation(data, 0.25, 0, by_answer=True)
    >>> len(train), sorted(each.answers[0] for each in valid.rows)
    (6, ['a', 'b'])
    """
    if not 0 < share < 1:
        raise OptionError(f"the share for validation is {share}; it must be above 0 and below 1.")
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, row in enumerate(data.rows):
        groups.setdefault(row.answers if by_answer else (), []).append(index)
    chosen: set[int] = set()
    rng = random.Random(seed)
    for key in sorted(groups):
        group = groups[key]
        chosen.update(rng.sample(group, int(len(group) * share)))
    if not 0 < len(chosen) < len(data):
        raise DataError(
            f"{len(data)} texts are too few to split off a share of {share} for validation; give more, or a "
            "validation file."
        )
    train = [row for index, row in enumerate(data.rows) if index not in chosen]
    valid = [row for index, row in enumerate(data.rows) if index in chosen]
    return Texts(train, data.name, data.skipped), Texts(valid, f"{share:g} of {data.name}")
