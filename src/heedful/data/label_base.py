"""A sentence of labelled tokens, and the base class of the file formats that hold them."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from heedful.data.opening import MAX_ROW
from heedful.errors import DataError, RunError, listed


@dataclass(frozen=True, slots=True)
class Sentence:
    """Tokens, their labels, and the lines of the file that they come from."""

    tokens: tuple[str, ...]
    labels: tuple[str, ...]
    """Empty if the file has no labels yet."""
    lines: tuple[str, ...] = ()
    """The lines of the sentence, without the empty line that ends it."""
    rows: tuple[int, ...] = ()
    """For each token, the index of its line in `lines`."""
    path: Path | None = None
    first_line: int = 1
    """The line number in the file of the first of `lines`."""
    blank_after: bool = True
    """Whether an empty line is written after `lines`."""
    offsets: tuple[tuple[int, int], ...] = ()
    """In plain text, (start, end) of each token in its line, in characters."""

    def error(self, token: int, message: str) -> DataError:
        """Return an error about one token, with its file and line."""
        line = self.first_line + self.rows[token] if self.rows else None
        return DataError(message, path=self.path, line=line)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Format and columns of files; a run stores those of its training files."""

    format: str
    """A key of `label_formats.FORMATS`; empty for data that are not files."""
    tokens: str = ""
    """Token column: a number, a name or a key, depending on the format."""
    labels: str = ""
    """Label column."""
    width: int = 0
    """Number of columns; 0 for formats without columns."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the layout that a run stores as JSON.

        Raises: RunError for unknown keys, or values of a wrong type.
        """
        known = {name: str(field.type) for name, field in cls.__dataclass_fields__.items()}
        right = all(type(value).__name__ == known.get(name) for name, value in values.items())
        if not right or "format" not in values or values.get("width", 0) < 0:
            raise RunError(
                f"the run's layout of files is damaged: expected {listed(known)}; copy the run folder again"
            )
        return cls(**values)

    def __str__(self) -> str:
        """Describe the columns in an error message."""
        total = f" of {self.width}" if self.width else ""
        return f"the labels in column {self.labels or 'none'}{total} and the tokens in column {self.tokens}"


class LabelFormat(abc.ABC):
    """A file format; `column` holds the labels and `tokens` the tokens; empty: the format's defaults.

    `learned` is the layout of the training files when files to predict are read.
    """

    name: ClassVar[str]
    """The key of `label_formats.FORMATS`."""
    terminator: str = "\n"
    """Text that ends a sentence after its last line."""

    def __init__(self, column: str = "", tokens: str = "", learned: Layout | None = None):
        self.column = column
        self.tokens = tokens
        self.learned = learned

    @abc.abstractmethod
    def layout(self) -> Layout:
        """Return the layout of the lines read so far."""

    def read(self, path: Path, lines: Iterator[str]) -> Iterator[Sentence]:
        """Lazily yield sentences; one without tokens carries lines that are written back unchanged.

        Raises: DataError naming file and line.
        """
        for sentence in self.parse(path, lines):
            if "" in sentence.tokens:
                raise sentence.error(sentence.tokens.index(""), "the token is empty; fill it in.")
            yield sentence

    @abc.abstractmethod
    def parse(self, path: Path, lines: Iterator[str]) -> Iterator[Sentence]:
        """Parse sentences; `read` then checks their tokens."""

    @abc.abstractmethod
    def lines(self, sentence: Sentence, labels: Sequence[str]) -> list[str]:
        """Return the lines of a sentence with its labels replaced and everything else unchanged."""

    def write(self, sentence: Sentence, labels: Sequence[str]) -> str:
        """Return the text of a sentence with its labels replaced, including line endings."""
        lines = "".join(f"{line}\n" for line in self.lines(sentence, labels))
        return f"{lines}{self.terminator}" if sentence.blank_after else lines

    def check_labels(self, path: Path, sentences: Sequence[Sentence]) -> None:
        """Raise DataError for missing or empty labels."""
        for sentence in sentences:
            if len(sentence.labels) != len(sentence.tokens):
                raise sentence.error(0, "the tokens have no labels; add a column of labels.")
            if "" in sentence.labels:
                raise sentence.error(sentence.labels.index(""), "the label is empty; fill it in.")


class Block(NamedTuple):
    """Consecutive non-blank lines."""

    start: int
    """One-based number of the first line."""
    lines: list[str]
    blank_after: bool


def blocks(
    path: Path, lines: Iterator[str], is_boundary: Callable[[str], bool] = lambda line: False
) -> Iterator[Block]:
    """Lazily split lines at blank ones; a document boundary is a block by itself, even without blank lines.

    Raises: DataError for a block of more than `MAX_ROW` characters.

    >>> lines = iter(["a", "b", "", "# doc", "c"])
    >>> [block.lines for block in blocks(Path("example"), lines, lambda line: line[0] == "#")]
    [['a', 'b'], ['# doc'], ['c']]
    """
    block: list[str] = []
    number = length = 0
    for number, line in enumerate(lines, start=1):
        blank = not line.strip(" \t\r")
        if block and (blank or is_boundary(line) or is_boundary(block[0])):
            yield Block(number - len(block), block, blank)
            block, length = [], 0
        if not blank:
            block.append(line)
            length += len(line)
        if length > MAX_ROW and len(block) > 1:
            raise DataError(
                f"the sentence is longer than {MAX_ROW:,} characters; separate sentences by empty lines.",
                path=path,
                line=number - len(block) + 1,
            )
    if block:
        yield Block(number - len(block) + 1, block, True)
