"""The contract of every reader: training and test data, inputs to predict, and files of predictions."""

from __future__ import annotations

import abc
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, NamedTuple

from heedful.data.dataset import Dataset
from heedful.errors import OptionError

BUILTIN: Final = "builtin:"
"""Prefix of the name of a built-in corpus."""

Part = Literal["train", "valid", "test"]
Rows = Sequence[Mapping[str, Any]]
"""Examples given in Python: a mapping an example, by column."""


class InputFile(NamedTuple):
    """An open file of inputs."""

    path: Path
    """For error messages."""
    name: str
    """Its extension tells the format."""
    lines: Iterator[str]
    own_name: bool = True
    """Whether `name` is its own: that of standard input is the name of the training data."""


class OutputFormat(NamedTuple):
    """How predictions are written."""

    columns: Sequence[str]
    """Names of the columns that are added to a table."""
    nbest: int = 1
    """Candidates of each input; more than 1 changes the format of lines."""
    text: bool | None = None
    """Whether the input is plain text; None: that is told by its name and its first lines."""
    layout: Mapping[str, Any] | None = None
    """What `Reader.layout` returned of the training data."""
    labels: Collection[str] = ()
    """The labels that the run predicts."""
    words: Collection[str] = ()
    """Words of the training data."""


class Stream(abc.ABC):
    """Reads the inputs of one file lazily, and formats each with its prediction."""

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
        """Return whether an item is an input; others (blank lines, comments) are written unchanged."""
        return True

    def header(self) -> str:
        """Return the header of the output, known once the first item is read."""
        return ""

    @abc.abstractmethod
    def format(
        self, item: Any, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        """Return the output text of an item with its prediction, line ends included.

        Args:
            item: what was read.
            number: of the input, from 1.
            values: the prediction as JSON values.
            cells: the prediction as the cells of the added columns.
        """

    @abc.abstractmethod
    def to_json(self, item: Any, number: int) -> dict[str, Any]:
        """Return the number and the input of an item as JSON values."""


class Reader(abc.ABC):
    """Reads one kind of data.

    The section `data` of a task's configuration names files and columns.
    """

    reads_lines: ClassVar[bool] = True
    """Whether `stream` consumes `InputFile.lines`, rather than opening `InputFile.path` itself."""
    reads_text: ClassVar[bool] = False
    """Whether `stream` reads plain text beside files with columns, and so obeys `OutputFormat.text`."""
    train_hint: ClassVar[str]
    """What to give with --train, for an error."""
    valid_hint: ClassVar[str] = ""
    """What to give with --valid, for an error."""
    test_hint: ClassVar[str] = "a file that was"
    """What --test names, for an error."""

    def read(self, values: Sequence[str], data: Any, part: Part) -> Dataset:
        """Read what `--train`, `--valid` or `--test` names: files, or `builtin:NAME`.

        Raises: OptionError for an ambiguous name; DataError for files that cannot be used.
        """
        if is_builtin(values):
            return self.builtin(values[0].removeprefix(BUILTIN), data, part)
        for value in values:
            if value.startswith(BUILTIN):
                raise OptionError(f"--{part}: {value} stands alone; got {' '.join(values)}")
        return self.read_files(values, data, part)

    def builtin(self, name: str, data: Any, part: Part) -> Dataset:
        """Return one part of a built-in corpus.

        Raises: OptionError for a name that is not in the table of corpora.
        """
        raise OptionError(f"there is no built-in corpus for this task; give {self.train_hint}")

    @abc.abstractmethod
    def read_files(self, paths: Sequence[str], data: Any, part: Part) -> Dataset:
        """Read files.

        Raises: OptionError for a wrong number or combination of files; DataError for malformed content.
        """

    def read_training(self, data: Any) -> tuple[Dataset, Dataset]:
        """Read training and validation data; a built-in corpus brings its own for validation.

        Raises: OptionError when one of them is missing; DataError for files that cannot be used.
        """
        if not data.train:
            raise OptionError(f"there is nothing to train on: give {self.train_hint}")
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
        """Make a dataset of mappings, by the columns that the configuration names.

        Raises: DataError naming the example for a column that is missing or holds something else.
        """

    def layout(self, data: Any) -> dict[str, Any]:
        """Return what a run remembers of the columns of its training files, as JSON values."""
        return {}

    def check_layout(self, data: Any, learned: Mapping[str, Any]) -> None:  # noqa: B027
        """Raise DataError for test data whose columns are not those of the training files."""

    def read_test(self, values: Sequence[str] | None, data: Any) -> Dataset:
        """Read what `--test` names; by default the test part of the built-in corpus of the training.

        Raises: OptionError when it is missing; DataError for files that cannot be used.
        """
        if not values and not is_builtin(data.train):
            raise OptionError(f"--test is missing: name {self.test_hint} not in the training")
        return self.read(values or data.train, data, "test")

    def parse(self, text: str, data: Any) -> Any:
        """Return the input that a command-line argument stands for; `data` is the section of the configuration."""
        return text

    def to_argument(self, example: Any) -> str:
        """Return the command-line argument that `parse` turns into this input."""
        return example if isinstance(example, str) else " ".join(example)

    @abc.abstractmethod
    def to_json(self, example: Any) -> dict[str, Any]:
        """Return an input as JSON values."""

    @abc.abstractmethod
    def stream(self, source: InputFile, data: Any, output: OutputFormat) -> Stream:
        """Open a file of inputs to predict.

        Raises: DataError for a name whose extension does not tell the format.
        """


def is_builtin(values: Sequence[str]) -> bool:
    """Return whether a built-in corpus is named."""
    return len(values) == 1 and values[0].startswith(BUILTIN)
