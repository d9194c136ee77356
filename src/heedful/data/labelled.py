"""Sentences of tokens with a label each, and what a format needs to write other labels in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar

from heedful.data.dataset import Dataset, preferred, repeated
from heedful.data.files import check_file, iterate_lines
from heedful.data.label_base import LabelFormat, Sentence
from heedful.data.label_formats import FORMATS, format_of
from heedful.errors import DataError

__all__ = ["Labelled", "LabelledFile", "Sentence", "iterate_sentences", "read_labelled"]


@dataclass(frozen=True)
class LabelledFile:
    """How a file of labelled tokens is read.

    `column` names the labels: a CoNLL-U column (upos, xpos, feats, deprel, ...) or a feature such as
    Number; a column of a CoNLL file by its number, or "last"; a key of JSON lines. Empty: upos, last
    or tags. `tokens` is the key of the tokens in JSON lines. `format` "auto" goes by the file's name.
    """

    format: str = "auto"
    column: str = ""
    tokens: str = "tokens"

    def reader(self, path: str | Path) -> LabelFormat:
        """Return the reader and writer for a file.

        Raises: DataError when the name does not tell the format.
        """
        name = format_of(Path(path)) if self.format == "auto" else self.format
        return FORMATS[name](self.column, self.tokens)


SHOWN_TOKENS = range(4, 13)
"""Lengths of sentences that make readable pictures."""


@dataclass(frozen=True)
class Labelled(Dataset):
    """Sentences of one or several files, in order.

    >>> data = Labelled([Sentence(("a", "saw"), ("DET", "NOUN"))])
    >>> len(data), list(data.flat_labels())
    (1, ['DET', 'NOUN'])
    """

    sentences: Sequence[Sentence]
    name: str = "sentences"
    example: ClassVar[str] = "sentence"

    @property
    def inputs(self) -> list[tuple[str, ...]]:
        """The tokens of each sentence."""
        return [sentence.tokens for sentence in self.sentences]

    @property
    def answers(self) -> list[tuple[str, ...]]:
        """The labels of each sentence."""
        return [sentence.labels for sentence in self.sentences]

    def __len__(self) -> int:
        return len(self.sentences)

    def take(self, rows: Sequence[int]) -> Labelled:
        return Labelled([self.sentences[row] for row in rows], self.name)

    def texts(self) -> Sequence[Sequence[str]]:
        lengths = [str(len(sentence.tokens)) for sentence in self.sentences]
        return list(self.tokens()), list(self.flat_labels()), lengths

    def stretched(self, length: int) -> list[str]:
        return repeated(list(self.tokens()), length)

    def labels(self) -> list[tuple[str, ...]]:
        return self.answers

    def showcase(self, count: int) -> list[tuple[str, ...]]:
        good = [len(tokens) in SHOWN_TOKENS for tokens in self.inputs]
        return preferred(self.inputs, good, count)

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        return self.sentences[row].error(position, message)

    def tokens(self) -> Iterator[str]:
        """Yield every token."""
        return chain.from_iterable(sentence.tokens for sentence in self.sentences)

    def flat_labels(self) -> Iterator[str]:
        """Yield the label of every token."""
        return chain.from_iterable(sentence.labels for sentence in self.sentences)


def iterate_sentences(path: str | Path, options: LabelledFile) -> Iterator[Sentence]:
    """Yield the sentences of one file as they are read.

    Raises: DataError naming file and line, see the formats.
    """
    return options.reader(path).read(Path(path), iterate_lines(path))


def read_labelled(paths: Sequence[str | Path], options: LabelledFile) -> Labelled:
    """Read the labelled sentences of one or several files, plain or gzipped.

    Raises: DataError for a file that is missing, empty, not UTF-8, or against its format (file and line
        are named), and for a column that is not there, with the nearest name.
    """
    sentences: list[Sentence] = []
    for path in paths:
        check_file(path)
        reader = options.reader(path)
        found = [each for each in reader.read(Path(path), iterate_lines(path)) if each.tokens]
        if not found:
            raise DataError("the file is empty: it holds no token.", path=path)
        reader.check_labels(Path(path), found)
        sentences += found
    return Labelled(sentences, " + ".join(str(path) for path in paths))
