"""Sentences with a label a token: CoNLL-U, columns, JSON lines, or a built-in corpus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from heedful.data.label_base import LabelFormat, Sentence
from heedful.data.label_formats import FORMATS
from heedful.data.labelled import Labelled, LabelledFile, read_labelled
from heedful.data.words import words
from heedful.errors import DataError
from heedful.models.config import OneOf
from heedful.tasks.readers.base import (
    InputFile,
    OutputFormat,
    Part,
    Reader,
    Rows,
    Stream,
    TextFiles,
)


class LabelledData(TextFiles):
    """Where the labelled sentences come from."""

    train: tuple[str, ...] = Field(
        (),
        description="Training files: CoNLL-U, CoNLL columns or JSON lines; .gz is read in place.",
    )
    valid: tuple[str, ...] = Field((), description="Validation files, given in the same way.")
    column: str = Field(
        "",
        description="Which column holds the labels. CoNLL-U: upos, xpos, feats, deprel, ... or a feature "
        'such as Number. CoNLL columns: a number, or "last". JSON lines: a key. Empty: upos, last, tags.',
    )
    format: Annotated[str, OneOf("format", FORMATS, "auto")] = Field(
        "auto", description="The files' format; auto tells it by the names."
    )
    tokens: str = Field("tokens", description="The key of the tokens in JSON lines.")
    max_length: int = Field(
        250, ge=1, description="Longer training sentences, in tokens, are left out."
    )

    def file(self) -> LabelledFile:
        """Return how the files are read."""
        return LabelledFile(self.format, self.column, self.tokens, self.encoding)


class LabelledReader(Reader):
    """Reads sentences and writes them with other labels, in the format that they came in."""

    train_hint = "--train FILE.conllu, or --train builtin:saw"
    valid_hint = (
        "a file of sentences that are not in --train, "
        "by which the best weights are chosen (a few hundred do)"
    )

    def builtin(self, name: str, data: LabelledData, part: Part) -> Labelled:
        from heedful.data.builtin import load_builtin_tagged

        return load_builtin_tagged(name).part(part)

    def read_files(self, paths: Sequence[str], data: LabelledData, part: Part) -> Labelled:
        return read_labelled(paths, data.file())

    def from_rows(self, rows: Rows, data: LabelledData, name: str) -> Labelled:
        key = data.column or "tags"
        sentences = []
        for number, row in enumerate(rows, start=1):
            missing = [each for each in (data.tokens, key) if each not in row]
            if missing:
                raise DataError(f"example {number} of {name} has no {missing[0]!r}: {list(row)}.")
            tokens, labels = tuple(map(str, row[data.tokens])), tuple(map(str, row[key]))
            if len(tokens) != len(labels) or not tokens:
                raise DataError(
                    f"example {number} of {name} has {len(tokens)} {data.tokens!r} and {len(labels)} {key!r}; "
                    "as many are wanted, and one or more."
                )
            sentences.append(Sentence(tokens, labels))
        return Labelled(sentences, name)

    def parse(self, text: str, data: Any) -> list[str]:
        return words(text)

    def to_json(self, example: Sequence[str]) -> dict[str, Any]:
        return {"tokens": list(example)}

    def stream(self, source: InputFile, data: LabelledData, output: OutputFormat) -> Stream:
        return _Sentences(data.file().reader(source.name), source)


class _Sentences(Stream):
    unit = "sentences"

    def __init__(self, form: LabelFormat, source: InputFile):
        self.form, self.source = form, source

    def items(self) -> Iterator[Sentence]:
        return self.form.read(self.source.path, self.source.lines)

    def input(self, item: Sentence) -> Sequence[str]:
        return item.tokens

    def is_example(self, item: Sentence) -> bool:
        return bool(item.tokens)

    def format(
        self, item: Sentence, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        return self.form.write(item, values["labels"])

    def to_json(self, item: Sentence, number: int) -> dict[str, Any]:
        return {"sentence": number, "tokens": item.tokens}
