"""A sentence of labelled tokens, and what every format of such sentences offers."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from heedful.errors import DataError


@dataclass(frozen=True, slots=True)
class Sentence:
    """Tokens, their labels, and the lines that they came from."""

    tokens: tuple[str, ...]
    labels: tuple[str, ...]
    """Empty where a file to be labelled has none."""
    lines: tuple[str, ...] = ()
    """The lines of the file, without the empty one that ends the sentence."""
    rows: tuple[int, ...] = ()
    """Which of `lines` each token stands on."""
    path: Path | None = None
    first_line: int = 1
    """The line of the file that `lines` begin at."""

    def error(self, token: int, message: str) -> DataError:
        """Return the error of one token, with its file and line."""
        line = self.first_line + self.rows[token] if self.rows else None
        return DataError(message, path=self.path, line=line)


class LabelFormat(abc.ABC):
    """One format, and which column of it holds the labels."""

    ending: str = "\n"
    """What ends a sentence after its last line."""

    def __init__(self, column: str, tokens: str):
        self.column = column
        self.tokens = tokens

    def read(self, path: Path, lines: Iterator[str]) -> Iterator[Sentence]:
        """Yield sentences; one without tokens carries lines that are to be written back.

        Raises: DataError naming file and line.
        """
        for sentence in self.parse(path, lines):
            if "" in sentence.tokens:
                raise sentence.error(sentence.tokens.index(""), "the token is empty.")
            yield sentence

    @abc.abstractmethod
    def parse(self, path: Path, lines: Iterator[str]) -> Iterator[Sentence]:
        """Do what `read` does, whatever the tokens are."""

    @abc.abstractmethod
    def lines(self, sentence: Sentence, labels: Sequence[str]) -> list[str]:
        """Return the sentence's lines with these labels, everything else as it was read."""

    def write(self, sentence: Sentence, labels: Sequence[str]) -> str:
        """Return the text of a sentence with these labels, line ends included."""
        return "".join(f"{line}\n" for line in self.lines(sentence, labels)) + self.ending

    def check_labels(self, path: Path, sentences: Sequence[Sentence]) -> None:
        """Raise DataError where training or testing on these sentences makes no sense."""
        for sentence in sentences:
            if len(sentence.labels) != len(sentence.tokens):
                raise sentence.error(0, "the tokens have no labels.")
            if "" in sentence.labels:
                raise sentence.error(sentence.labels.index(""), "the label is empty.")


def blocks(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the runs of lines between empty ones, and the line that each begins at."""
    block: list[str] = []
    number = 0
    for number, line in enumerate(lines, start=1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []
    if block:
        yield number - len(block) + 1, block
