"""Datasets of sentences with a label for each token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar

from heedful.data.dataset import Dataset, preferred, repeat_to_length
from heedful.data.decoding import UTF8
from heedful.data.files import iterate_lines
from heedful.data.label_base import LabelFormat, Layout, Sentence
from heedful.data.label_columns import Columns
from heedful.data.label_formats import FORMATS, detect_format, is_conllu
from heedful.data.opening import MAX_LINE, check_file
from heedful.data.words import canonical
from heedful.errors import DataError

__all__ = ["Labelled", "LabelledFile", "Sentence", "iterate_sentences", "read_labelled"]


@dataclass(frozen=True)
class LabelledFile:
    """Options for reading files of labelled tokens.

    `column` is the label column: in CoNLL-U a column name (upos, xpos, feats, deprel, ...) or a feature such as
    Number; in column files a one-based number or "last"; in JSON Lines a key. Empty means upos, last or tags.
    `tokens` is the token column, by default form, 1 or tokens. `format` is a key of `FORMATS`, or "auto": by file
    extension, except that a column file that holds CoNLL-U is read as CoNLL-U.

    `learned` is the layout of a run's training files, for files to predict. A file of another format has labels and
    tokens in the default columns. `max_line` is the maximum bytes of a line.
    """

    format: str = "auto"
    column: str = ""
    tokens: str = ""
    encoding: str = UTF8
    learned: Layout | None = None
    max_line: int = MAX_LINE

    def reader(self, path: str | Path) -> LabelFormat:
        """Return the format of a file, selected by its name.

        Raises: DataError for an unknown extension with `format` "auto".
        """
        return self._named(detect_format(Path(path)) if self.format == "auto" else self.format)

    def open(self, path: str | Path, lines: Iterator[str]) -> tuple[LabelFormat, Iterator[str]]:
        """Return the format of a file, selected by its name and first lines, and all its lines.

        Raises: DataError as `reader`.
        """
        by_name = self.reader(path)
        numbered = self.column.isdecimal() or self.column == "last" or self.tokens.isdecimal()
        if self.format != "auto" or not isinstance(by_name, Columns) or numbered:
            return by_name, lines
        first: list[str] = []
        for line in lines:
            first.append(line)
            if line.strip() and not line.startswith("#"):
                break
        return self._named("conllu") if is_conllu(first) else by_name, chain(first, lines)

    def _named(self, name: str) -> LabelFormat:
        if self.learned is not None and self.learned.format != name:
            return FORMATS[name](learned=self.learned)
        return FORMATS[name](self.column, self.tokens, self.learned)


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
    layout: Layout | None = None
    """Layout of the first file; None for data that are not files."""
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
        return Labelled([self.sentences[row] for row in rows], self.name, self.layout)

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
    lines = iterate_lines(path, options.encoding, max_line=options.max_line)
    file_format, lines = options.open(path, lines)
    return file_format.read(Path(path), lines)


def read_labelled(paths: Sequence[str | Path], options: LabelledFile) -> Labelled:
    """Read the labelled sentences of one or several files, plain or gzipped.

    Raises: DataError naming file and line, for a file that is missing, empty, in another encoding or malformed, a
        missing column (the nearest name is suggested), and files with labels or tokens in different columns.
    """
    sentences: list[Sentence] = []
    layouts: dict[Layout, str | Path] = {}
    for path in paths:
        check_file(path)
        lines = iterate_lines(path, options.encoding, max_line=options.max_line)
        file_format, lines = options.open(path, lines)
        parsed = file_format.read(Path(path), lines)
        with_tokens = [sentence for sentence in parsed if sentence.tokens]
        if not with_tokens:
            raise DataError("the file is empty: it holds no token.", path=path)
        file_format.check_labels(Path(path), with_tokens)
        sentences += with_tokens
        layouts.setdefault(file_format.layout(), path)
        for layout, other in layouts.items():
            check_same_layout(path, file_format.layout(), other, layout)
    name = " + ".join(str(path) for path in paths)
    return Labelled(sentences, name, next(iter(layouts), None))


def check_same_layout(path: str | Path, layout: Layout, other: object, expected: Layout) -> None:
    """Raise DataError for column files with labels or tokens in different columns."""
    if layout.format != expected.format or layout.format != "columns":
        return
    if (layout.tokens, layout.labels) != (expected.tokens, expected.labels):
        raise DataError(
            f"this file has {layout}, but {other} has {expected}; give files with the same columns, or name "
            "the columns by number (--column, --tokens).",
            path=path,
        )
