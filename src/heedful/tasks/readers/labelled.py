"""Sentences with a label a token: CoNLL-U, columns, JSON lines, or a built-in corpus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from heedful.data.dataset import Dataset
from heedful.data.label_base import LabelFormat, Layout, Sentence
from heedful.data.label_formats import FORMATS, detect_format
from heedful.data.label_recognition import is_text, is_text_file, peek_block
from heedful.data.label_text import PlainText, TokenRule
from heedful.data.labelled import Labelled, LabelledFile, check_same_layout, read_labelled
from heedful.data.words import words
from heedful.errors import DataError
from heedful.models.config import OneOf, Section
from heedful.tasks.readers.base import (
    InputFile,
    OutputFormat,
    Part,
    Reader,
    Rows,
    Stream,
    is_builtin,
)


class LabelledData(Section):
    """Where the labelled sentences come from."""

    train: tuple[str, ...] = Field(
        (),
        description="Training files: CoNLL-U, CoNLL columns or JSON lines; .gz is read in place.",
    )
    valid: tuple[str, ...] = Field((), description="Validation files, given in the same way.")
    column: str = Field(
        "",
        description="Which column holds the labels. CoNLL-U: upos, xpos, feats, deprel, ... or a feature "
        'such as Number. CoNLL columns: a number, from 1, or "last". JSON lines: a key. Empty: upos, last, tags.',
    )
    format: Annotated[str, OneOf("format", FORMATS, "auto")] = Field(
        "auto", description="The files' format; auto tells it by the names."
    )
    tokens: str = Field(
        "",
        description="Which column holds the tokens. CoNLL-U: form, lemma, ... CoNLL columns: a number, from 1. "
        "JSON lines: a key. Empty: form, 1, tokens.",
    )
    max_length: int = Field(
        250, ge=1, description="Longer training sentences, in tokens, are left out."
    )

    def file(self) -> LabelledFile:
        """Return how the files are read."""
        return LabelledFile(self.format, self.column, self.tokens)

    def file_to_predict(self, layout: Mapping[str, Any] | None) -> LabelledFile:
        """Return how files to predict are read by a run whose training files had this layout."""
        learned = Layout(**layout) if layout else self._guessed_layout()
        column = learned.labels if learned is not None and self._numbered(learned) else self.column
        return LabelledFile(self.format, column, self.tokens, learned)

    @staticmethod
    def _numbered(learned: Layout) -> bool:
        return learned.format == "columns" and bool(learned.labels)

    def _guessed_layout(self) -> Layout | None:
        """Return the layout of a run that has none: of column files, the number of columns is not known."""
        if self.format != "auto":
            name = self.format
        elif not self.train or is_builtin(self.train):
            name = ""
        else:
            name = detect_format(Path(self.train[0]))
        return None if name == "columns" else Layout(format=name)


class LabelledReader(Reader):
    """Reads sentences and writes them with other labels, in the format that they came in."""

    reads_text = True
    train_hint = "--train FILE.conllu, or --train builtin:saw"
    valid_hint = (
        "a file of sentences that are not in --train, "
        "by which the best weights are chosen (a few hundred do)"
    )

    def builtin(self, name: str, data: LabelledData, part: Part) -> Labelled:
        from heedful.data.builtin import load_builtin_tagged

        return load_builtin_tagged(name).part(part)

    def read_training(self, data: LabelledData) -> tuple[Labelled, Labelled]:
        train, valid = super().read_training(data)
        assert isinstance(train, Labelled)
        assert isinstance(valid, Labelled)
        if train.layout is not None and valid.layout is not None:
            check_same_layout(valid.name, valid.layout, train.name, train.layout)
        return train, valid

    def layout(self, data: Dataset) -> dict[str, Any]:
        layout = data.layout if isinstance(data, Labelled) else None
        return {} if layout is None else asdict(layout)

    def check_layout(self, data: Dataset, learned: Mapping[str, Any]) -> None:
        if learned and isinstance(data, Labelled) and data.layout is not None:
            check_same_layout(data.name, data.layout, "the training data", Layout(**learned))

    def read_files(self, paths: Sequence[str], data: LabelledData, part: Part) -> Labelled:
        return read_labelled(paths, data.file())

    def from_rows(self, rows: Rows, data: LabelledData, name: str) -> Labelled:
        key, words_key = data.column or "tags", data.tokens or "tokens"
        sentences = []
        for number, row in enumerate(rows, start=1):
            missing = [each for each in (words_key, key) if each not in row]
            if missing:
                raise DataError(f"example {number} of {name} has no {missing[0]!r}: {list(row)}.")
            tokens, labels = tuple(map(str, row[words_key])), tuple(map(str, row[key]))
            if len(tokens) != len(labels) or not tokens:
                raise DataError(
                    f"example {number} of {name} has {len(tokens)} {words_key!r} and {len(labels)} {key!r}; "
                    "as many are wanted, and one or more."
                )
            sentences.append(Sentence(tokens, labels))
        return Labelled(sentences, name)

    def parse(self, text: str, data: Any) -> list[str]:
        return words(text)

    def to_json(self, example: Sequence[str]) -> dict[str, Any]:
        return {"tokens": list(example)}

    def stream(self, source: InputFile, data: LabelledData, output: OutputFormat) -> Stream:
        options = data.file_to_predict(output.layout)
        if not source.own_name and (not data.train or is_builtin(data.train)):
            # the training data were no files, so their name says nothing
            options = replace(options, format="columns")
        # an unknown format is an error before anything is read
        return _Sentences(options.reader(source.name), options, source, output)


class _Sentences(Stream):
    unit = "sentences"

    def __init__(
        self, form: LabelFormat, options: LabelledFile, source: InputFile, output: OutputFormat
    ):
        self.form, self.options, self.source, self.output = form, options, source, output

    def items(self) -> Iterator[Sentence]:
        lines, text = self.source.lines, self.output.text
        may_be_text = not self.source.own_name or is_text_file(self.source.name)
        if text is None and may_be_text:
            first, lines = peek_block(lines)
            text = is_text(
                first, self.form.name, self._width(), self.output.labels, self.source.path
            )
        if text:
            self.form = PlainText(TokenRule.learn(self.output.words))
        else:
            self.form, lines = self.options.open(self.source.name, lines)
        return self.form.read(self.source.path, lines)

    def _width(self) -> int:
        learned = self.options.learned
        return learned.width if learned is not None and learned.format == "columns" else 0

    def input(self, item: Sentence) -> Sequence[str]:
        return item.tokens

    def is_example(self, item: Sentence) -> bool:
        return bool(item.tokens)

    def format(
        self, item: Sentence, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        return self.form.write(item, values["labels"])

    def to_json(self, item: Sentence, number: int) -> dict[str, Any]:
        found = {"sentence": number, "tokens": item.tokens}
        if not item.offsets:
            return found
        starts, ends = zip(*item.offsets, strict=True)
        return {**found, "line": item.first_line, "start": starts, "end": ends}
