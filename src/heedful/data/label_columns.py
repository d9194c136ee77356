"""Column files of labelled tokens: one token per line, as in the CoNLL shared tasks of 2000, 2002 and 2003."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from heedful.data.label_base import LabelFormat, Layout, Sentence, blocks
from heedful.data.number import is_count
from heedful.errors import DataError, count, listed, shown

DOCUMENT: Final = "-DOCSTART-"
"""Written in place of a token on a line that begins a document."""
_DOCUMENT_COMMENTS: Final = ("#begin document", "#end document")
_NUMBER = re.compile(r"\d+([-.]\d+)?")
_MIN_COUNTED: Final = 3
"""Minimum tokens 1, 2, 3, ... of a sentence for the column to be recognized as token numbers."""


class Columns(LabelFormat):
    """One token per line, columns separated by tabs or spaces, sentences by empty lines.

    `tokens` and `column` are one-based numbers; empty means the first column, and the last. A line whose token is
    -DOCSTART-, or that begins with #begin document or #end document, is a document boundary: not a token, and the
    end of a sentence even without an empty line. Lines before a sentence that begin with # and a space, and have a
    different number of columns, are comments. Both are written back unchanged.

    In a file with as many columns as the training files (`learned`), predicted labels replace the label column. In
    any other file they are appended as the last column.
    """

    name = "columns"

    width: int = 0
    """Columns of the lines read; 0 before the first."""

    def parse(self, path: Path, lines: Iterator[str]) -> Iterator[Sentence]:
        self._label_number(path)
        is_checked = self.tokens not in ("", "tokens")
        self.width = 0
        for start, block, blank_after in blocks(path, lines, self._is_boundary):
            if self._is_boundary(block[0]):
                yield Sentence((), (), tuple(block), (), path, start, blank_after)
                continue
            first = _count_comments(block)
            rows = [split_fields(line) for line in block[first:]]
            self.width = self.width or len(rows[0])
            self._check_widths(path, start + first, rows)
            token_index = self._token_index(self.width, path, start)
            label_index = self._label_index(self.width, path, start)
            tokens = tuple(fields[token_index] for fields in rows)
            labels = () if label_index is None else tuple(fields[label_index] for fields in rows)
            indices = tuple(range(first, len(block)))
            sentence = Sentence(tokens, labels, tuple(block), indices, path, start, blank_after)
            if not is_checked and len(tokens) >= _MIN_COUNTED:
                if self.width > 1 and _are_token_numbers(tokens):
                    raise self._token_number_error(sentence)
                is_checked = True
            yield sentence

    def lines(self, sentence: Sentence, labels: Sequence[str]) -> list[str]:
        lines = list(sentence.lines)
        for row, label in zip(sentence.rows, labels, strict=True):
            fields = split_fields(lines[row])
            index = self._label_index(len(fields), sentence.path, sentence.first_line)
            delimiter = " " if "\t" not in lines[row] and len(fields) > 1 else "\t"
            if index is None:
                index = len(fields)
            lines[row] = delimiter.join([*fields[:index], label, *fields[index + 1 :]])
        return lines

    def check_labels(self, path: Path, sentences: Sequence[Sentence]) -> None:
        if self.tokens in ("", "tokens") and self.width > 1:
            all_numbers = all(
                _NUMBER.fullmatch(token) for each in sentences for token in each.tokens
            )
            if all_numbers and any(len(sentence.tokens) > 1 for sentence in sentences):
                raise self._token_number_error(sentences[0])
        super().check_labels(path, sentences)

    def layout(self) -> Layout:
        label_index = self._label_index(self.width)
        return Layout(
            format=self.name,
            tokens=str(self._token_index(self.width) + 1),
            labels="" if label_index is None else str(label_index + 1),
            width=self.width,
        )

    def _is_boundary(self, line: str) -> bool:
        if line.startswith((DOCUMENT, *_DOCUMENT_COMMENTS)):
            return True
        if DOCUMENT not in line:
            return False
        number = int(self.tokens) if is_count(self.tokens) else 1
        return split_fields(line)[number - 1 : number] == [DOCUMENT]

    def _check_widths(self, path: Path, start: int, rows: Sequence[Sequence[str]]) -> None:
        for row, fields in enumerate(rows):
            if len(fields) != self.width:
                raise DataError(
                    f"the line has {count(len(fields), 'column')} and the lines before have {self.width}.",
                    path=path,
                    line=start + row,
                )

    def _token_index(self, width: int, path: Path | None = None, line: int = 1) -> int:
        """Return the index of the token column in lines of a width."""
        # "tokens", the key in JSON Lines, is the setting of older runs
        if self.tokens in ("", "tokens") or (self.learned is not None and width == 1):
            return 0
        if not is_count(self.tokens) or not int(self.tokens):
            raise DataError(
                f"there is no token column {shown(self.tokens)}; give its number, from 1.",
                path=path,
            )
        _check_number(int(self.tokens), width, path, line)
        return int(self.tokens) - 1

    def _label_index(self, width: int, path: Path | None = None, line: int = 1) -> int | None:
        """Return the index of the label column in lines of a width; None if they have no labels yet."""
        if self.learned is not None and width != self.learned.width:
            return None
        number = self._label_number(path) or width
        _check_number(number, width, path, line)
        if number - 1 != self._token_index(width, path, line):
            return number - 1
        if self._label_number(path) is None:
            return None
        raise DataError(
            f"column {number} cannot hold both the tokens and the labels; name two columns.",
            path=path,
        )

    def _label_number(self, path: Path | None) -> int | None:
        """Return the one-based number of the label column; None for the last."""
        if self.column in ("", "last"):
            return None
        if not is_count(self.column) or not int(self.column):
            raise DataError(
                f'there is no label column {shown(self.column)}; give its number, from 1, or "last".',
                path=path,
            )
        return int(self.column)

    def _token_number_error(self, sentence: Sentence) -> DataError:
        number = self._token_index(self.width) + 1
        numbers = listed(sentence.tokens[:_MIN_COUNTED])
        advice = (
            f"the tokens of the training data are in column {number}; remove the numbers."
            if self.learned is not None
            else "name the token column with --tokens (data.tokens), such as --tokens 2, or --tokens 1 if this is it."
        )
        message = f"token column {number} holds token numbers ({numbers}, ...); {advice}"
        return sentence.error(0, message)


def _check_number(number: int, width: int, path: Path | None, line: int) -> None:
    if number > width:
        raise DataError(
            f"there is no column {number}: the line has {count(width, 'column')}.",
            path=path,
            line=line,
        )


def _are_token_numbers(tokens: Sequence[str]) -> bool:
    """Return whether tokens are consecutive or equal numbers, ignoring ranges (3-4) and empty nodes (2.1).

    >>> _are_token_numbers(["1", "2", "2.1", "3"]), _are_token_numbers(["7", "7", "7"])
    (True, True)
    >>> _are_token_numbers(["1", "4", "2"])
    False
    """
    if not all(map(_NUMBER.fullmatch, tokens)):
        return False
    numbers = [int(token) for token in tokens if is_count(token)]
    are_consecutive = all(after - before == 1 for before, after in pairwise(numbers))
    return are_consecutive or len(set(tokens)) == 1


def _count_comments(block: Sequence[str]) -> int:
    width = len(split_fields(block[-1]))
    for number, line in enumerate(block):
        if not line.startswith("# ") or len(split_fields(line)) == width:
            return number
    return 0


def split_fields(line: str) -> list[str]:
    r"""Split a line at tabs, or else at spaces; other white space, such as a no-break space, is part of a token.

    >>> split_fields("New\u00a0York B-LOC"), split_fields("New York\tB-LOC")
    (['New\xa0York', 'B-LOC'], ['New York', 'B-LOC'])
    """
    return line.split("\t") if "\t" in line else [field for field in line.split(" ") if field]
