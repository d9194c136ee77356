"""Base classes of readers: datasets for training and evaluation, and streams of inputs to predict."""

from __future__ import annotations

import abc
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

from pydantic import AfterValidator, Field

from heedful.data.dataset import Dataset
from heedful.data.decoding import UTF8, canonical_name
from heedful.data.opening import MAX_LINE
from heedful.data.tables import Table
from heedful.data.words import check_characters
from heedful.errors import DataError, OptionError, listed, nearest, shown
from heedful.models.config import Section

BUILTIN: Final = "builtin:"
"""Prefix of built-in corpus names."""

Part = Literal["train", "valid", "test"]
Rows = Sequence[Mapping[str, Any]]
"""Examples as Python mappings from column to value."""


class TextFiles(Section):
    """What is said of files of text, whatever their format."""

    encoding: Annotated[str, AfterValidator(canonical_name)] = Field(
        UTF8,
        description="Encoding of the files, such as utf-16, cp1252 (Windows), gb18030 or shift_jis. What is written is "
        "always UTF-8.",
    )
    max_line: int = Field(
        MAX_LINE,
        ge=1,
        le=2**30,
        description="Maximum bytes of a line of a file of text; a longer one is an error.",
    )


class InputFile(NamedTuple):
    """An open file of inputs."""

    path: Path
    """For error messages."""
    name: str
    """Its extension determines the format."""
    lines: Iterator[str]
    own_name: bool = True
    """False for standard input, whose `name` is that of the training data."""


class OutputFormat(NamedTuple):
    """Options of the output of predictions."""

    columns: Sequence[str]
    """Names of the columns added to a table."""
    nbest: int = 1
    """Candidates per input; above 1, output lines hold input number, score and text."""
    text: bool | None = None
    """Whether the input is plain text; None: detect it by file name and first lines."""
    layout: Mapping[str, Any] | None = None
    """The value of `Reader.layout` for the training data."""
    labels: Collection[str] = ()
    """The label set of the run."""
    words: Collection[str] = ()
    """The vocabulary of the run."""


class Stream(abc.ABC):
    """Lazily reads the inputs of one file and formats each with its prediction."""

    unit: str
    """Plural noun for inputs: lines, sentences, texts."""
    skipped: Sequence[str] = ()
    """What is wrong with each input that was left out, complete when all items are read."""
    cells_in_json: bool = False
    """Whether JSON output holds the added columns, as tables do, rather than the prediction's JSON values."""

    @abc.abstractmethod
    def items(self) -> Iterator[Any]:
        """Lazily yield the items of the file.

        Raises: DataError naming file and line.
        """

    @abc.abstractmethod
    def input(self, item: Any) -> Any:
        """Return the model input of an item."""

    def is_example(self, item: Any) -> bool:
        """Return whether an item is predicted; others, such as comments, are written unchanged."""
        return True

    def location(self, item: Any, number: int) -> str:
        """Return where an item, the `number`-th of `items`, is from: its file and line as far as they are known."""
        return f"input {number}"

    def header(self) -> str:
        """Return the output header; available after the first item is read."""
        return ""

    def footer(self) -> str:
        """Return what follows the output of the last item; default: nothing."""
        return ""

    @abc.abstractmethod
    def format(
        self, item: Any, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        """Return the output text of an item with its prediction, including line endings.

        Args:
            item: an item of `items`.
            number: one-based index of the input.
            values: the prediction as JSON.
            cells: the prediction as fields of the added columns.
        """

    @abc.abstractmethod
    def to_json(self, item: Any, number: int) -> dict[str, Any]:
        """Return the number and the input of an item as JSON."""


class TableStream(Stream):
    """The rows of a table, written in its own format with columns appended."""

    cells_in_json = True
    table: Table
    output: OutputFormat

    def header(self) -> str:
        head = self.table.header(self.output.columns)
        return "" if head is None else f"{head}\n"

    def extended(self, raw: str, cells: Sequence[Any]) -> str:
        """Return the text of a row with the cells of the added columns."""
        added = dict(zip(self.output.columns, cells, strict=True))
        return f"{self.table.extend(raw, added)}\n"


class Reader(abc.ABC):
    """Reads one kind of data; `data` is the configuration section that names files and columns."""

    reads_lines: ClassVar[bool] = True
    """Whether `stream` consumes `InputFile.lines` instead of opening `InputFile.path` itself."""
    reads_folders: ClassVar[bool] = False
    """Whether `stream` also takes a folder."""
    skips_inputs: ClassVar[bool] = False
    """Whether `stream` leaves inputs out that cannot be read, with the setting data.skip_bad."""
    takes_files: ClassVar[bool] = False
    """Whether a string that is given as an input is the name of a file, as of images."""
    reads_text: ClassVar[bool] = False
    """Whether `stream` also reads plain text, and therefore supports `OutputFormat.text`."""
    train_hint: ClassVar[str]
    """Arguments of --train suggested by errors."""
    valid_hint: ClassVar[str] = ""
    """Arguments of --valid suggested by errors."""
    test_hint: ClassVar[str] = "a file"
    """Arguments of --test suggested by errors."""
    input_hint: ClassVar[str] = "a text"
    """What an input is in Python, for errors."""

    def read(self, values: Sequence[str], data: Any, part: Part) -> Dataset:
        """Read the arguments of `--train`, `--valid` or `--test`: files, or `builtin:NAME`.

        Raises: OptionError for a built-in corpus mixed with files; DataError for invalid files.
        """
        if is_builtin(values):
            return self.builtin(values[0].removeprefix(BUILTIN), data, part)
        for value in values:
            if value.startswith(BUILTIN):
                raise OptionError(
                    f"--{part}: {value} cannot be combined with other names; got {' '.join(values)}"
                )
        return self.read_files(values, data, part)

    def builtin(self, name: str, data: Any, part: Part) -> Dataset:
        """Return one part of a built-in corpus.

        Raises: OptionError for an unknown name.
        """
        raise OptionError(f"this task has no built-in corpus; give {self.train_hint}")

    @abc.abstractmethod
    def read_files(self, paths: Sequence[str], data: Any, part: Part) -> Dataset:
        """Read files.

        Raises: OptionError for a wrong number or combination of files; DataError for malformed files.
        """

    def read_training(self, data: Any) -> tuple[Dataset, Dataset]:
        """Read training and validation data; built-in corpora have a validation part.

        Raises: OptionError if one of them is missing; DataError for invalid files.
        """
        if not data.train:
            raise OptionError(f"there is no training data; give {self.train_hint}")
        if not (data.valid or is_builtin(data.train)):
            self.check_split()
            return self.split(self.read(data.train, data, "train"), data)
        train = self.read(data.train, data, "train")
        return train, self.read(data.valid or data.train, data, "valid")

    def check_split(self) -> None:
        """Raise OptionError unless validation data can be split off the training data."""
        raise OptionError(f"--valid is missing (in Python valid=): {self.valid_hint}")

    def split(self, train: Any, data: Any) -> tuple[Dataset, Dataset]:
        """Split validation data off the training data, where `check_split` allows it."""
        self.check_split()
        return train, train

    @abc.abstractmethod
    def from_rows(self, rows: Rows, data: Any, name: str) -> Dataset:
        """Convert mappings to a dataset, using the configured columns.

        Raises: DataError naming the example, for a missing column or a wrong type.
        """

    def from_object(self, given: Any, data: Any, name: str) -> Dataset | None:
        """Convert an object of Python that is not rows, such as a graph, to a dataset; None: it is something else.

        Raises: DataError for an object whose parts do not fit each other.
        """
        return None

    def layout(self, data: Any) -> dict[str, Any]:
        """Return the layout of the training files that the run stores, as JSON."""
        return {}

    def check_layout(self, data: Any, learned: Mapping[str, Any]) -> None:  # noqa: B027
        """Raise DataError for test data in other columns than the training files."""

    def read_test(self, values: Sequence[str] | None, data: Any) -> Dataset:
        """Read the arguments of `--test`; default: the test part of the built-in corpus trained on.

        Raises: OptionError if there is neither; DataError for invalid files.
        """
        if not values and not is_builtin(data.train):
            raise OptionError(f"--test is missing; give {self.test_hint} not used in training")
        return self.read(values or data.train, data, "test")

    def to_input(self, given: Any, data: Any, name: str) -> Any:
        """Return the input that `predict` or `explain` is given in Python: a text, a row, or an input as it is.

        Args:
            given: what was given.
            data: the configuration section.
            name: what to call it in errors, such as "input 3".

        Raises: DataError naming the input, what was got and what was expected.
        """
        if isinstance(given, str):
            return self.parse(given, data)
        if isinstance(given, Mapping):
            return self.input_of_row(given, data, name)
        return self.check_input(given, name)

    def to_inputs(self, given: Iterable[Any], data: Any) -> list[Any]:
        """Return the inputs of a list that `predict` is given in Python, each by `to_input`."""
        return [self.to_input(each, data, f"input {n}") for n, each in enumerate(given, start=1)]

    def from_json(self, given: Any, data: Any, name: str) -> Any:
        """Return the input that a stranger gave as JSON; where `to_input` would open files, strings are refused.

        Raises: DataError naming the input, as `to_input`.
        """
        if self.takes_files and _holds_string(given):
            raise DataError(
                f"{name} holds a string, which would name a file of the server; upload the file, or give its content "
                "as numbers."
            )
        return self.to_input(given, data, name)

    @abc.abstractmethod
    def input_of_row(self, row: Mapping[str, Any], data: Any, name: str) -> Any:
        """Return the input of a mapping from column to value, which may lack the answer.

        Raises: DataError naming the input, for a missing column or a wrong type.
        """

    def check_input(self, given: Any, name: str) -> Any:
        """Return an input given in Python that is neither a string nor a mapping; by default there is none.

        Raises: DataError naming the input, for anything else.
        """
        raise self.wrong_input(given, name)

    def wrong_input(self, given: Any, name: str) -> DataError:
        """Return the error for an input of the wrong type."""
        shown = " ".join(repr(given).split())[:40]
        return DataError(
            f"{name} is {shown} ({type(given).__name__}); expected {self.input_hint}, or a row: a mapping of columns."
        )

    def parse(self, text: str, data: Any) -> Any:
        """Parse an input given as a string: an argument of `heedful explain`, or in Python."""
        return text

    def to_argument(self, example: Any) -> str:
        """Return the argument of `heedful explain` for an input; the inverse of `parse`."""
        return example if isinstance(example, str) else " ".join(example)

    @abc.abstractmethod
    def to_json(self, example: Any) -> dict[str, Any]:
        """Return an input as JSON."""

    @abc.abstractmethod
    def stream(self, source: InputFile, data: Any, output: OutputFormat) -> Stream:
        """Return the stream over a file of inputs to predict.

        Raises: DataError for an unknown file extension.
        """


def _holds_string(given: Any) -> bool:
    """Return whether there is a string among the values of JSON, at any depth."""
    waiting = [given]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            return True
        if isinstance(each, Mapping):
            waiting.extend(each.values())
        elif isinstance(each, list | tuple):
            waiting.extend(each)
    return False


def text_of_row(row: Mapping[str, Any], column: str, name: str) -> str:
    """Return the text in a column of a mapping.

    Raises: DataError that starts with `name`, for a column that is missing, not a string, or not made of characters.

    >>> text_of_row({"text": "a film"}, "text", "input 1")
    'a film'
    """
    if column not in row:
        near = nearest(column, list(row))
        hint = f"; did you mean {shown(near)}?" if near else "."
        raise DataError(
            f"{name}: there is no column {shown(column)}{hint} The columns are: {listed(row)}."
        )
    value = row[column]
    if not isinstance(value, str):
        raise DataError(f"{name}: column {shown(column)} is {value!r:.40}; expected a string.")
    check_characters(value, lambda message: DataError(f"{name}: {message}"))
    return value


def is_builtin(values: Sequence[str]) -> bool:
    """Return whether the names are that of one built-in corpus."""
    return len(values) == 1 and values[0].startswith(BUILTIN)
