"""Reader of sentences with one label per token: CoNLL-U, CoNLL columns, JSON Lines or a built-in corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from heedful.errors import DataError, listed, shown
from heedful.models.config import OneOf
from heedful.tasks.readers.base import (
    InputFile,
    OutputFormat,
    Part,
    Reader,
    Rows,
    Stream,
    TextFiles,
    is_builtin,
)


class LabelledData(TextFiles):
    """Files and columns of the labelled sentences."""

    train: tuple[str, ...] = Field(
        (),
        description="Training files: CoNLL-U, CoNLL columns or JSON Lines; also .gz.",
    )
    valid: tuple[str, ...] = Field((), description="Validation files, in the same formats.")
    column: str = Field(
        "",
        description="Label column. CoNLL-U: upos, xpos, feats, deprel, ... or a feature such as Number. CoNLL "
        'columns: a number, from 1, or "last". JSON Lines: a key. Empty: upos, last, tags.',
    )
    format: Annotated[str, OneOf("format", FORMATS, "auto")] = Field(
        "auto", description="File format; auto: by file extension."
    )
    tokens: str = Field(
        "",
        description="Token column. CoNLL-U: form, lemma, ... CoNLL columns: a number, from 1. JSON Lines: a key. "
        "Empty: form, 1, tokens.",
    )
    max_length: int = Field(
        250, ge=1, description="Maximum tokens; longer training sentences are dropped."
    )

    def file(self) -> LabelledFile:
        """Return the format options of the files."""
        return LabelledFile(
            self.format, self.column, self.tokens, self.encoding, max_line=self.max_line
        )

    def file_to_predict(self, layout: Mapping[str, Any] | None) -> LabelledFile:
        """Return the format options of files to predict, given the layout of the training files."""
        learned = Layout.of(layout) if layout else self._guessed_layout()
        column = learned.labels if learned is not None and self._numbered(learned) else self.column
        return LabelledFile(self.format, column, self.tokens, self.encoding, learned, self.max_line)

    @staticmethod
    def _numbered(learned: Layout) -> bool:
        return learned.format == "columns" and bool(learned.labels)

    def _guessed_layout(self) -> Layout | None:
        """Return the layout of an older run without layout.json; None for column files, whose width is unknown."""
        if self.format != "auto":
            name = self.format
        elif not self.train or is_builtin(self.train):
            name = ""
        else:
            name = detect_format(Path(self.train[0]))
        return None if name == "columns" else Layout(format=name)


class LabelledReader(Reader):
    """Reads labelled sentences, and writes them with predicted labels in the same format."""

    reads_text = True
    train_hint = "--train FILE.conllu, or --train builtin:saw"
    input_hint = "a list of tokens, or a text with tokens separated by spaces"
    valid_hint = "give sentences that are not in --train, to select the best weights by (a few hundred suffice)"

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
            check_same_layout(data.name, data.layout, "the training data", Layout.of(learned))

    def read_files(self, paths: Sequence[str], data: LabelledData, part: Part) -> Labelled:
        return read_labelled(paths, data.file())

    def from_rows(self, rows: Rows, data: LabelledData, name: str) -> Labelled:
        label_key, token_key = data.column or "tags", data.tokens or "tokens"
        sentences = []
        for number, row in enumerate(rows, start=1):
            missing = [each for each in (token_key, label_key) if each not in row]
            if missing:
                raise DataError(
                    f"example {number} of {name} has no {shown(missing[0])}; its keys are {listed(row)}."
                )
            tokens, labels = tuple(map(str, row[token_key])), tuple(map(str, row[label_key]))
            if len(tokens) != len(labels) or not tokens:
                raise DataError(
                    f"example {number} of {name} has {len(tokens)} {shown(token_key)} and {len(labels)} "
                    f"{shown(label_key)}; expected equal numbers of at least 1."
                )
            sentences.append(Sentence(tokens, labels))
        return Labelled(sentences, name)

    def input_of_row(self, row: Mapping[str, Any], data: LabelledData, name: str) -> Sequence[str]:
        key = data.tokens or "tokens"
        if key not in row:
            raise DataError(f"{name} has no {shown(key)}; its keys are {listed(row)}.")
        tokens = _as_tokens(row[key])
        if tokens is None:
            raise DataError(
                f"{name}: {shown(key)} is {row[key]!r:.40}; expected a list of strings."
            )
        return tokens

    def check_input(self, given: Any, name: str) -> Sequence[str]:
        tokens = _as_tokens(given)
        if tokens is None:
            raise self.wrong_input(given, name)
        return tokens

    def parse(self, text: str, data: Any) -> list[str]:
        return words(text)

    def to_json(self, example: Sequence[str]) -> dict[str, Any]:
        return {"tokens": list(example)}

    def stream(self, source: InputFile, data: LabelledData, output: OutputFormat) -> Stream:
        options = data.file_to_predict(output.layout)
        if not source.own_name and (not data.train or is_builtin(data.train)):
            # the training data are not files, so their name does not determine the format
            options = replace(options, format="columns")
        # an unknown format is an error before anything is read
        return _Sentences(options.reader(source.name), options, source, output)


def _as_tokens(value: Any) -> list[str] | None:
    """Return the strings of a list, tuple or array; None for anything else."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return None
    tokens = list(value)
    return tokens if all(isinstance(token, str) for token in tokens) else None


class _Sentences(Stream):
    unit = "sentences"

    def __init__(
        self,
        file_format: LabelFormat,
        options: LabelledFile,
        source: InputFile,
        output: OutputFormat,
    ):
        self.file_format, self.options = file_format, options
        self.source, self.output = source, output

    def items(self) -> Iterator[Sentence]:
        lines, text = self.source.lines, self.output.text
        may_be_text = not self.source.own_name or is_text_file(self.source.name)
        if text is None and may_be_text:
            block, lines = peek_block(lines)
            text = is_text(
                block, self.file_format.name, self._width(), self.output.labels, self.source.path
            )
        if text:
            self.file_format = PlainText(TokenRule.learn(self.output.words))
        else:
            self.file_format, lines = self.options.open(self.source.name, lines)
        return self.file_format.read(self.source.path, lines)

    def _width(self) -> int:
        learned = self.options.learned
        return learned.width if learned is not None and learned.format == "columns" else 0

    def input(self, item: Sentence) -> Sequence[str]:
        return item.tokens

    def location(self, item: Sentence, number: int) -> str:
        return item.error(0, "").where or super().location(item, number)

    def is_example(self, item: Sentence) -> bool:
        return bool(item.tokens)

    def format(
        self, item: Sentence, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        return self.file_format.write(item, values["labels"])

    def to_json(self, item: Sentence, number: int) -> dict[str, Any]:
        values = {"sentence": number, "tokens": item.tokens}
        if not item.offsets:
            return values
        starts, ends = zip(*item.offsets, strict=True)
        return {**values, "line": item.first_line, "start": starts, "end": ends}
