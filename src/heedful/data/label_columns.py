"""Column files of labelled tokens: a token a line, as in the CoNLL shared tasks of 2000, 2002 and 2003."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from heedful.data.label_base import LabelFormat, Layout, Sentence, blocks
from heedful.errors import DataError, count

DOCUMENT: Final = "-DOCSTART-"
"""The token of a line that begins a document and is no token."""
_DOCUMENT_COMMENTS: Final = ("#begin document", "#end document")
_NUMBER = re.compile(r"\d+([-.]\d+)?")
_SURE = 3
"""Tokens of a sentence that count 1, 2, 3 before the column is taken for a counter."""


class Columns(LabelFormat):
    """One token per line, columns separated by tabs or spaces, sentences by empty lines.

    `tokens` and `column` are one-based numbers; empty means the first column, and the last. A line whose token
    is -DOCSTART-, or that begins with #begin document or #end document, is a boundary of documents: no token,
    and the end of a sentence, with an empty line or without. Lines before a sentence that begin with # and a
    space, and have another number of columns, are comments. Both are written back where they stood.

    A file with as many columns as the training files (`learned`) has its labels in the column of theirs, which
    is replaced. In any other, the labels are an added last column.
    """

    name = "columns"

    width: int = 0
    """Columns of the lines that were read; 0: none was."""

    def parse(self, path: Path, lines: Iterator[str]) -> Iterator[Sentence]:
        self._label_number(path)
        surely_tokens = self.tokens not in ("", "tokens")
        self.width = 0
        for start, block, blank_after in blocks(lines, self._is_boundary):
            if self._is_boundary(block[0]):
                yield Sentence((), (), tuple(block), (), path, start, blank_after)
                continue
            first = _count_comments(block)
            rows = [_split_fields(line) for line in block[first:]]
            self.width = self.width or len(rows[0])
            self._check_widths(path, start + first, rows)
            number = self._token_index(self.width, path, start)
            label = self._label_index(self.width, path, start)
            tokens = tuple(fields[number] for fields in rows)
            labels = () if label is None else tuple(fields[label] for fields in rows)
            numbered = tuple(range(first, len(block)))
            sentence = Sentence(tokens, labels, tuple(block), numbered, path, start, blank_after)
            if not surely_tokens and len(tokens) >= _SURE:
                if self.width > 1 and _counts(tokens):
                    raise self._counter_error(sentence)
                surely_tokens = True
            yield sentence

    def lines(self, sentence: Sentence, labels: Sequence[str]) -> list[str]:
        lines = list(sentence.lines)
        for row, value in zip(sentence.rows, labels, strict=True):
            fields = _split_fields(lines[row])
            label = self._label_index(len(fields), sentence.path, sentence.first_line)
            delimiter = " " if "\t" not in lines[row] and len(fields) > 1 else "\t"
            end = len(fields) if label is None else label
            lines[row] = delimiter.join([*fields[:end], value, *fields[end + 1 :]])
        return lines

    def check_labels(self, path: Path, sentences: Sequence[Sentence]) -> None:
        if self.tokens in ("", "tokens") and self.width > 1:
            all_numbers = all(map(_NUMBER.fullmatch, (t for s in sentences for t in s.tokens)))
            if all_numbers and any(len(sentence.tokens) > 1 for sentence in sentences):
                raise self._counter_error(sentences[0])
        super().check_labels(path, sentences)

    def layout(self) -> Layout:
        label = self._label_index(self.width)
        return Layout(
            format=self.name,
            tokens=str(self._token_index(self.width) + 1),
            labels="" if label is None else str(label + 1),
            width=self.width,
        )

    def _is_boundary(self, line: str) -> bool:
        if line.startswith((DOCUMENT, *_DOCUMENT_COMMENTS)):
            return True
        if DOCUMENT not in line:
            return False
        number = int(self.tokens) if self.tokens.isdecimal() else 1
        return _split_fields(line)[number - 1 : number] == [DOCUMENT]

    def _check_widths(self, path: Path, start: int, rows: Sequence[Sequence[str]]) -> None:
        for row, fields in enumerate(rows):
            if len(fields) != self.width:
                raise DataError(
                    f"the line has {count(len(fields), 'column')} and the lines before have {self.width}.",
                    path=path,
                    line=start + row,
                )

    def _token_index(self, width: int, path: Path | None = None, line: int = 1) -> int:
        """Return the index of the column of the tokens in lines of a width."""
        # a run that was trained before there was a choice says "tokens", the key in JSON lines
        if self.tokens in ("", "tokens") or (self.learned is not None and width == 1):
            return 0
        if not self.tokens.isdecimal() or not int(self.tokens):
            raise DataError(
                f"there is no column of tokens {self.tokens!r}; give its number, from 1.", path=path
            )
        _check_number(int(self.tokens), width, path, line)
        return int(self.tokens) - 1

    def _label_index(self, width: int, path: Path | None = None, line: int = 1) -> int | None:
        """Return the index of the column of the labels in lines of a width; None: there is none yet."""
        if self.learned is not None and width != self.learned.width:
            return None
        number = self._label_number(path) or width
        _check_number(number, width, path, line)
        token = self._token_index(width, path, line)
        if number - 1 != token:
            return number - 1
        if self._label_number(path) is None:
            return None
        raise DataError(
            f"column {number} holds the tokens and the labels; choose two columns.", path=path
        )

    def _label_number(self, path: Path | None) -> int | None:
        """Return the one-based number of the column of the labels; None for the last."""
        if self.column in ("", "last"):
            return None
        if not self.column.isdecimal() or not int(self.column):
            raise DataError(
                f'there is no label column {self.column!r}; give its number, from 1, or "last".',
                path=path,
            )
        return int(self.column)

    def _counter_error(self, sentence: Sentence) -> DataError:
        number = self._token_index(self.width) + 1
        shown = ", ".join(sentence.tokens[:_SURE])
        mend = (
            f"the run learned tokens in column {number}, so leave the numbers out."
            if self.learned is not None
            else "name theirs with --tokens (data.tokens), such as --tokens 2, or --tokens 1 if it is right."
        )
        message = f"column {number} counts ({shown}, ...) and is taken for the tokens; {mend}"
        return sentence.error(0, message)


def _check_number(number: int, width: int, path: Path | None, line: int) -> None:
    if number > width:
        raise DataError(
            f"there is no column {number}: the line has {count(width, 'column')}.",
            path=path,
            line=line,
        )


def _counts(tokens: Sequence[str]) -> bool:
    """Return whether tokens are numbers that go up by one, or all the same, ranges (3-4) and empty nodes apart.

    >>> _counts(["1", "2", "2.1", "3"]), _counts(["7", "7", "7"]), _counts(["1", "4", "2"])
    (True, True, False)
    """
    if not all(map(_NUMBER.fullmatch, tokens)):
        return False
    numbers = [int(token) for token in tokens if token.isdecimal()]
    return len({after - before for before, after in pairwise(numbers)} | {1}) == 1 or (
        len(set(tokens)) == 1
    )


def _count_comments(block: Sequence[str]) -> int:
    width = len(_split_fields(block[-1]))
    for number, line in enumerate(block):
        if not line.startswith("# ") or len(_split_fields(line)) == width:
            return number
    return 0


def _split_fields(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else line.split()
