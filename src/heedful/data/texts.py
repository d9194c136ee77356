"""Texts with an answer each (a label, several labels, a number), read from tables."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from heedful.data.dataset import Dataset, parse_number, preferred, repeated
from heedful.data.files import check_file, iterate_lines
from heedful.data.text_tables import TextTable, text_table
from heedful.errors import DataError, OptionError, nearest

__all__ = ["Text", "TextColumns", "Texts", "cut_validation", "iterate_texts", "read_texts"]


@dataclass(frozen=True, slots=True)
class Text:
    """A text, its answers as they are written, and the row that it came from."""

    text: str
    answers: tuple[str, ...] = ()
    """Empty where the file has none."""
    raw: str = ""
    path: Path | None = None
    line: int | None = None

    def error(self, message: str) -> DataError:
        """Return the error of this text, with its file and line."""
        return DataError(message, path=self.path, line=self.line)

    def number(self) -> float:
        """Return the answer as a number.

        Raises: DataError for an answer that is none, not finite, or too large to be squared.

        >>> Text("a", ("2.5",)).number()
        2.5
        """
        [written] = self.answers
        return parse_number(written, self.error)


@dataclass(frozen=True)
class TextColumns:
    """Which columns of a table hold what; numbers, counted from 1, where it has no header."""

    text: str = "text"
    answer: str = "label"
    separator: str = ""
    """Parts several answers in one field; empty: a field is one answer."""
    answer_is_label: bool = True
    """Whether a validation set is cut off label by label; not of numbers."""

    def table(self, path: str | Path) -> TextTable:
        """Return the reader and writer for a file."""
        return text_table(Path(path), self.separator)


SHOWN_CHARACTERS = range(15, 80)
"""Lengths of texts that make readable pictures."""


@dataclass(frozen=True)
class Texts(Dataset):
    """Texts of one or several files, in order.

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
        return [each.text for each in self.rows]

    @property
    def answers(self) -> list[tuple[str, ...]]:
        """The answers of each text, as they are written."""
        return [each.answers for each in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Sequence[int]) -> Texts:
        return Texts([self.rows[row] for row in rows], self.name)

    def texts(self) -> Sequence[Sequence[str]]:
        return self.inputs, ["\n".join(answers) for answers in self.answers]

    def stretched(self, length: int) -> str:
        return " ".join(repeated([word for text in self.inputs for word in text.split()], length))

    def labels(self) -> list[tuple[str, ...]]:
        return self.answers

    def showcase(self, count: int) -> list[str]:
        distinct = list(dict.fromkeys(self.inputs))
        return preferred(distinct, [len(each) in SHOWN_CHARACTERS for each in distinct], count)

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
    """Yield the texts of one file as they are read, without their answers unless `answers`.

    Raises: DataError naming file and line, see `read_texts`; also for a column of the name of one that is to
        be `added`.
    """
    wanted = (columns.text, columns.answer) if answers else (columns.text,)
    for row in table.rows(path, lines, wanted, added):
        found = row.fields[columns.text]
        if not isinstance(found, str):
            raise DataError(
                f"column {columns.text!r} holds {json.dumps(found)[:40]}; a string is wanted.",
                path=path,
                line=row.line,
            )
        text = Text(" ".join(found.split()), (), row.raw, path, row.line)
        if answers:
            given = _answers(text, row.fields[columns.answer], columns)
            text = Text(text.text, given, text.raw, path, row.line)
        yield text


def read_texts(paths: Sequence[str | Path], columns: TextColumns) -> Texts:
    """Read the texts and answers of one or several tables, plain or gzipped.

    Raises: DataError for a file that is missing, empty, not UTF-8 or no such table, a column that is not
        there (the nearest name is given), an empty text or answer; file and line are named.
    """
    texts: list[Text] = []
    for path in paths:
        check_file(path)
        table = columns.table(path)
        found = list(iterate_texts(table, Path(path), iterate_lines(path), columns, answers=True))
        if not found:
            raise DataError("the file holds no rows.", path=path)
        for each in found:
            if not each.text:
                raise each.error(f"column {columns.text!r} is empty; fill it in or remove the row.")
        texts += found
    return Texts(texts, " + ".join(str(path) for path in paths))


def texts_of_rows(rows: Sequence[Mapping[str, object]], columns: TextColumns, name: str) -> Texts:
    """Make texts and answers of mappings, one a text.

    Raises: DataError naming the example, for a column that is missing, empty or holds something else.

    >>> texts_of_rows([{"text": "Who?", "label": "HUM"}], TextColumns(), "train").answers
    [('HUM',)]
    """
    texts = []
    for number, row in enumerate(rows, start=1):
        place = Path(f"example {number} of {name}")
        for column in (columns.text, columns.answer):
            if column not in row:
                near = nearest(column, list(row))
                hint = f"; did you mean {near!r}?" if near else "."
                raise DataError(
                    f"there is no column {column!r}{hint} The columns are: {', '.join(row)}.",
                    path=place,
                )
        found = row[columns.text]
        if not isinstance(found, str) or not found.strip():
            raise DataError(f"column {columns.text!r} is {found!r}; a text is wanted.", path=place)
        text = Text(" ".join(found.split()), (), "", place)
        texts.append(replace(text, answers=_answers(text, row[columns.answer], columns)))
    return Texts(texts, name)


def _answers(text: Text, value: object, columns: TextColumns) -> tuple[str, ...]:
    """Return the answers of one field; several, or none, only where there is a separator."""
    if isinstance(value, list) and columns.separator:
        parts = [_written(text, each, columns.answer) for each in value]
    else:
        written = _written(text, value, columns.answer)
        parts = written.split(columns.separator) if columns.separator else [written]
    found = [" ".join(part.split()) for part in parts]
    if columns.separator:
        return tuple(dict.fromkeys(part for part in found if part))
    if not found[0]:
        raise text.error(f"column {columns.answer!r} is empty; fill it in or remove the row.")
    return tuple(found)


def _written(text: Text, value: object, column: str) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, list | dict):
        raise text.error(
            f"column {column!r} holds {json.dumps(value)[:40]}; a string or a number is wanted."
        )
    return json.dumps(value)


def cut_validation(data: Texts, share: float, seed: int, *, by_answer: bool) -> tuple[Texts, Texts]:
    """Cut a share of texts off for validation: drawn by `seed`, the order of the file kept.

    With `by_answer` it is that share of the texts of each answer (rounded down, so that an answer that is
    seldom given stays in training).

    Raises: OptionError for a share outside (0, 1); DataError when nothing or everything would be cut off.

    >>> data = Texts([Text(str(n), ("ab"[n % 2],)) for n in range(8)])
    >>> train, valid = cut_validation(data, 0.25, 0, by_answer=True)
    >>> len(train), sorted(each.answers[0] for each in valid.rows)
    (6, ['a', 'b'])
    """
    if not 0 < share < 1:
        raise OptionError(
            f"the share for validation is {share}; more than 0 and less than 1 is wanted."
        )
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, each in enumerate(data.rows):
        groups.setdefault(each.answers if by_answer else (), []).append(place)
    chosen: set[int] = set()
    draw = random.Random(seed)
    for key in sorted(groups):
        group = groups[key]
        chosen.update(draw.sample(group, int(len(group) * share)))
    if not 0 < len(chosen) < len(data):
        raise DataError(
            f"{len(data)} texts are too few to cut a share of {share} off for validation; give more, or a "
            "file for validation."
        )
    kept = [each for place, each in enumerate(data.rows) if place not in chosen]
    cut = [each for place, each in enumerate(data.rows) if place in chosen]
    return Texts(kept, data.name), Texts(cut, f"{share:g} of {data.name}")
