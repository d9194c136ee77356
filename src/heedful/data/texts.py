"""Datasets of texts with an answer each, read from tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

from heedful.data.dataset import Dataset, preferred, repeat_to_length
from heedful.data.files import iterate_lines
from heedful.data.indicator_columns import unknown_labels
from heedful.data.opening import check_file
from heedful.data.table_rows import TableRow
from heedful.data.tables import Table
from heedful.data.text_rows import IncompleteRowError, Text, TextColumns, read_answered, read_text
from heedful.data.validation_split import validation_rows
from heedful.errors import DataError, OptionError

__all__ = ["Text", "TextColumns", "Texts", "iterate_texts", "read_texts", "split_validation"]


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

    def take(self, rows: Sequence[int]) -> Self:
        return replace(self, rows=[self.rows[row] for row in rows], skipped=())

    def texts(self) -> Sequence[Sequence[str]]:
        return self.inputs, list(map(answer_text, self.answers))

    def input_of_length(self, length: int) -> str:
        words = (word for text in self.inputs for word in text.split())
        return " ".join(repeat_to_length(words, length))

    def labels(self) -> list[tuple[str, ...]]:
        return self.answers

    def showcase(self, count: int) -> list[str]:
        distinct = list(dict.fromkeys(" ".join(text.split()) for text in self.inputs))
        return preferred(distinct, [len(text) in DISPLAY_CHARACTERS for text in distinct], count)

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        return self.rows[row].error(message)


def answer_text(answers: Sequence[str]) -> str:
    r"""Return answers as one string, which also says what is not known.

    >>> answer_text(("a", "b"))
    'a\nb'
    """
    return "\n".join([*answers, *(f"\0{each}" for each in sorted(unknown_labels(answers)))])


def iterate_texts(
    table: Table,
    path: Path,
    lines: Iterator[str],
    columns: TextColumns,
    *,
    added: Sequence[str] = (),
    skipped: list[str] | None = None,
) -> Iterator[Text]:
    """Lazily yield the texts of one file, without answers.

    Args:
        table: the table format.
        path: the file, for errors.
        lines: its lines.
        columns: the columns to read.
        added: columns to be written later, which the file must not have.
        skipped: gets what is wrong with each text that cannot be read, which is left out; None: that is an error.

    Raises: DataError naming file and line, see `read_texts`; also for an existing `added` column.
    """
    for row in table.rows(path, lines, (columns.text,), added):
        try:
            text = read_text(row, columns)
        except DataError as error:
            if skipped is None:
                raise
            skipped.append(str(error))
        else:
            yield text


def read_texts(paths: Sequence[str | Path], columns: TextColumns) -> Texts:
    """Read the texts and answers of one or several tables, plain or gzipped.

    With `columns.skip_bad` rows without a text or an answer are left out, and listed in `Texts.skipped`.

    Raises: DataError naming file and line, for a file that is missing, empty, in another encoding or malformed, a
        missing column (the nearest name is suggested), an empty text or answer, a target that is not a number.
    """
    texts: list[Text] = []
    skipped: list[str] = []
    number = itertools.count()
    for path in map(Path, paths):
        check_file(path)
        before = len(texts)
        lines = iterate_lines(path, columns.encoding, max_line=columns.max_line)
        for row in columns.table(path).rows(path, lines, (columns.text, *columns.answers)):
            index = next(number)
            try:
                texts.append(replace(read_answered(row, columns), row=index))
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
            texts.append(replace(read_answered(row, columns), row=number - 1))
        except IncompleteRowError as error:
            if not columns.skip_bad:
                raise
            skipped.append(str(error))
    return Texts(texts, name, skipped)


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
    rest, chosen = validation_rows(
        data,
        share,
        seed,
        f"{len(data)} texts are too few to split off a share of {share} for validation; give more, or a validation "
        "file.",
        data.answers if by_answer else None,
        column,
    )
    train = [data.rows[row] for row in rest]
    valid = [data.rows[row] for row in chosen]
    return Texts(train, data.name, data.skipped), Texts(valid, f"{share:g} of {data.name}")
