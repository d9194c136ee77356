"""A sentence of labelled tokens, and the base class of the file formats that hold them."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from heedful.errors import DataError


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

    def error(self, token: int, message: str) -> DataError:
        """Return an error about one token, with its file and line."""
        line = self.first_line + self.rows[token] if self.rows else None
        return DataError(message, path=self.path, line=line)


class LabelFormat(abc.ABC):
    """A file format; `column` holds the labels, `tokens` is the JSON key of the tokens."""

    terminator: str = "\n"
    """Text that ends a sentence after its last line."""

    def __init__(self, column: str, tokens: str):
        self.column = column
        self.tokens = tokens

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
        return "".join(f"{line}\n" for line in self.lines(sentence, labels)) + self.terminator

    def check_labels(self, path: Path, sentences: Sequence[Sentence]) -> None:
        """Raise DataError for missing or empty labels."""
        for sentence in sentences:
            if len(sentence.labels) != len(sentence.tokens):
                raise sentence.error(0, "the tokens have no labels; add a column of labels.")
            if "" in sentence.labels:
                raise sentence.error(sentence.labels.index(""), "the label is empty; fill it in.")


def blocks(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Lazily split lines at blank ones; yield (first line number, lines) of each block."""
    block: list[str] = []
    number = 0
    for number, line in enumerate(lines, start=1):
        if line.strip(" \t\r"):
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []
    if block:
        yield number - len(block) + 1, block
