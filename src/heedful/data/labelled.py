"""Datasets of sentences with a label for each token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar

from heedful.data.dataset import Dataset, preferred, repeat_to_length
from heedful.data.decoding import UTF8
from heedful.data.files import check_file, iterate_lines
from heedful.data.label_base import LabelFormat, Sentence
from heedful.data.label_formats import FORMATS, detect_format
from heedful.data.words import canonical
from heedful.errors import DataError

__all__ = ["Labelled", "LabelledFile", "Sentence", "iterate_sentences", "read_labelled"]


@dataclass(frozen=True)
class LabelledFile:
    """Options for reading files of labelled tokens.

    `column` is the column of the labels: in CoNLL-U a column name (upos, xpos, feats, deprel, ...) or a
    feature such as Number; in column files a one-based number or "last"; in JSON Lines a key. Empty means
    upos, last or tags. `tokens` is the key of the tokens in JSON Lines. `format` is a key of `FORMATS`, or
    "auto": by file extension.
    """

    format: str = "auto"
    column: str = ""
    tokens: str = "tokens"
    encoding: str = UTF8

    def reader(self, path: str | Path) -> LabelFormat:
        """Return the format of a file.

        Raises: DataError for an unknown extension with `format` "auto".
        """
        name = detect_format(Path(path)) if self.format == "auto" else self.format
        return FORMATS[name](self.column, self.tokens)


DISPLAY_TOKENS = range(4, 13)
"""Lengths of sentences that are readable in a plot."""


@dataclass(frozen=True)
class Labelled(Dataset):
    """The labelled sentences of one or several files, in order.

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
        """The labels of each sentence, in their canonical form."""
        return [tuple(map(canonical, sentence.labels)) for sentence in self.sentences]

    def __len__(self) -> int:
        return len(self.sentences)

    def take(self, rows: Sequence[int]) -> Labelled:
        return Labelled([self.sentences[row] for row in rows], self.name)

    def texts(self) -> Sequence[Sequence[str]]:
        lengths = [str(len(sentence.tokens)) for sentence in self.sentences]
        return list(self.tokens()), list(self.flat_labels()), lengths

    def input_of_length(self, length: int) -> list[str]:
        return repeat_to_length(list(self.tokens()), length)

    def labels(self) -> list[tuple[str, ...]]:
        return self.answers

    def showcase(self, count: int) -> list[tuple[str, ...]]:
        good = [len(tokens) in DISPLAY_TOKENS for tokens in self.inputs]
        return preferred(self.inputs, good, count)

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        return self.sentences[row].error(position, message)

    def tokens(self) -> Iterator[str]:
        """Yield every token."""
        return chain.from_iterable(sentence.tokens for sentence in self.sentences)

    def flat_labels(self) -> Iterator[str]:
        """Yield the label of every token."""
        return chain.from_iterable(self.answers)


def iterate_sentences(path: str | Path, options: LabelledFile) -> Iterator[Sentence]:
    """Lazily yield the sentences of one file.

    Raises: DataError naming file and line, see the formats.
    """
    return options.reader(path).read(Path(path), iterate_lines(path, options.encoding))


def read_labelled(paths: Sequence[str | Path], options: LabelledFile) -> Labelled:
    """Read the labelled sentences of one or several files, plain or gzipped.

    Raises: DataError naming file and line, for a file that is missing, empty, not UTF-8 or malformed, and for a
        missing column (the nearest name is suggested).
    """
    sentences: list[Sentence] = []
    for path in paths:
        check_file(path)
        reader = options.reader(path)
        parsed = reader.read(Path(path), iterate_lines(path, options.encoding))
        with_tokens = [sentence for sentence in parsed if sentence.tokens]
        if not with_tokens:
            raise DataError("the file is empty: it holds no token.", path=path)
        reader.check_labels(Path(path), with_tokens)
        sentences += with_tokens
    return Labelled(sentences, " + ".join(str(path) for path in paths))
