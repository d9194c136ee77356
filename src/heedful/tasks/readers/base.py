"""The contract of every reader: data to train and test on, inputs to predict, and files with predictions."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, NamedTuple

from heedful.data.dataset import Dataset
from heedful.errors import OptionError

BUILTIN: Final = "builtin:"
"""Before the name of a built-in corpus."""

Part = Literal["train", "valid", "test"]
Rows = Sequence[Mapping[str, Any]]
"""Examples given in Python: a mapping an example, by column."""


class Lines(NamedTuple):
    """An open file of inputs."""

    path: Path
    """For error messages."""
    name: str
    """Its ending tells the format."""
    lines: Iterator[str]


class Writing(NamedTuple):
    """How predictions are written."""

    columns: Sequence[str]
    """Names of the columns that are added to a table."""
    nbest: int = 1
    """Candidates of each input; more than 1 changes the format of lines."""


class Stream(abc.ABC):
    """Inputs of one file as they are read, and how each is written with its prediction."""

    unit: str
    """What an input is called: lines, sentences, texts."""
    cells_in_json: bool = False
    """Whether JSON lines hold the added columns, as a table does, rather than the values of the prediction."""

    @abc.abstractmethod
    def items(self) -> Iterator[Any]:
        """Yield what is read.

        Raises: DataError naming file and line.
        """

    @abc.abstractmethod
    def input(self, item: Any) -> Any:
        """Return the model's input."""

    def is_example(self, item: Any) -> bool:
        """Return whether an item is an input; others are written back as they are."""
        return True

    def header(self) -> str:
        """Return what is written before the first item, once it was read."""
        return ""

    @abc.abstractmethod
    def written(
        self, item: Any, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        """Return the text of an item with its prediction, line ends included.

        Args:
            item: what was read.
            number: of the input, from 1.
            values: the prediction as JSON values.
            cells: the prediction as the cells of the added columns.
        """

    @abc.abstractmethod
    def described(self, item: Any, number: int) -> dict[str, Any]:
        """Return what names an item in JSON lines: its number and its input."""


class Reader(abc.ABC):
    """Reads one kind of data.

    The section `data` of a task's configuration names files and columns.
    """

    reads_lines: ClassVar[bool] = True
    """Whether `stream` reads the lines that are handed to it, rather than the file of that path."""
    nothing_to_train_on: ClassVar[str]
    """What to give with --train, for an error."""
    test_data: ClassVar[str] = "a file that was"
    """What --test names, for an error."""

    @abc.abstractmethod
    def read(self, values: Sequence[str], data: Any, part: Part) -> Dataset:
        """Read what `--train`, `--valid` or `--test` names.

        Raises: OptionError when it is unclear what is meant; DataError for files that cannot be used.
        """

    valid_is_missing: ClassVar[str]
    """What to give with --valid, for an error."""

    def read_training(self, data: Any) -> tuple[Dataset, Dataset]:
        """Read training and validation data; a built-in corpus brings its own for validation.

        Raises: OptionError when one of them is not given; DataError for files that cannot be used.
        """
        if not data.train:
            raise OptionError(f"there is nothing to train on: give {self.nothing_to_train_on}")
        if not (data.valid or is_builtin(data.train)):
            self.check_cut()
            return self.cut(self.read(data.train, data, "train"), data)
        train = self.read(data.train, data, "train")
        return train, self.read(data.valid or data.train, data, "valid")

    def check_cut(self) -> None:
        """Raise OptionError unless validation data can be cut off the training data."""
        raise OptionError(f"--valid is missing: {self.valid_is_missing}")

    def cut(self, train: Any, data: Any) -> tuple[Dataset, Dataset]:
        """Cut validation data off the training data, where `check_cut` allows it."""
        self.check_cut()
        return train, train

    @abc.abstractmethod
    def from_rows(self, rows: Rows, data: Any, name: str) -> Dataset:
        """Make a dataset of mappings, by the columns that the configuration names.

        Raises: DataError naming the example for a column that is missing or holds something else.
        """

    def read_test(self, values: Sequence[str] | None, data: Any) -> Dataset:
        """Read what `--test` names; by default the test part of the built-in corpus of the training.

        Raises: OptionError when it is not given; DataError for files that cannot be used.
        """
        if not values and not is_builtin(data.train):
            raise OptionError(f"--test is missing: name {self.test_data} not in the training")
        return self.read(values or data.train, data, "test")

    def parsed(self, text: str, data: Any) -> Any:
        """Return the input that a person types as one text; `data` is the section of the configuration."""
        return text

    def typed(self, example: Any) -> str:
        """Return what a person types for an input, which `parsed` reads."""
        return example if isinstance(example, str) else " ".join(example)

    @abc.abstractmethod
    def described(self, example: Any) -> dict[str, Any]:
        """Return an input as JSON values."""

    @abc.abstractmethod
    def stream(self, source: Lines, data: Any, writing: Writing) -> Stream:
        """Read inputs to predict.

        Raises: DataError for a name that does not tell the format.
        """


def is_builtin(values: Sequence[str]) -> bool:
    """Return whether a built-in corpus is named."""
    return len(values) == 1 and values[0].startswith(BUILTIN)


def refuse_builtin_among_files(values: Sequence[str], part: Part) -> None:
    """Raise OptionError for a built-in corpus that is named together with files."""
    for value in values:
        if value.startswith(BUILTIN):
            raise OptionError(f"--{part}: {value} stands alone; got {' '.join(values)}")
