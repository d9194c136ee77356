"""Reader of sentences with one label per token: CoNLL-U, CoNLL columns, JSON Lines or a built-in corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """Files and columns of the labelled sentences."""

    train: tuple[str, ...] = Field(
        (),
        description="Training files: CoNLL-U, CoNLL columns or JSON Lines; also .gz.",
    )
    valid: tuple[str, ...] = Field((), description="Validation files, in the same formats.")
    column: str = Field(
        "",
        description="Label column. CoNLL-U: upos, xpos, feats, deprel, ... or a feature such as Number. CoNLL "
        'columns: a number, or "last". JSON Lines: a key. Empty: upos, last, tags.',
    )
    format: Annotated[str, OneOf("format", FORMATS, "auto")] = Field(
        "auto", description="File format; auto: by file extension."
    )
    tokens: str = Field("tokens", description="Key of the tokens in JSON Lines.")
    max_length: int = Field(
        250, ge=1, description="Maximum tokens; longer training sentences are dropped."
    )

    def file(self) -> LabelledFile:
        """Return the format options of the files."""
        return LabelledFile(self.format, self.column, self.tokens, self.encoding)


class LabelledReader(Reader):
    """Reads labelled sentences, and writes them with predicted labels in the same format."""

    train_hint = "--train FILE.conllu, or --train builtin:saw"
    input_hint = "a list of tokens, or a text with tokens separated by spaces"
    valid_hint = "give sentences that are not in --train, to select the best weights by (a few hundred suffice)"

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
                raise DataError(
                    f"example {number} of {name} has no {missing[0]!r}; its keys are {list(row)}."
                )
            tokens, labels = tuple(map(str, row[data.tokens])), tuple(map(str, row[key]))
            if len(tokens) != len(labels) or not tokens:
                raise DataError(
                    f"example {number} of {name} has {len(tokens)} {data.tokens!r} and {len(labels)} {key!r}; "
                    "expected equal numbers of at least 1."
                )
            sentences.append(Sentence(tokens, labels))
        return Labelled(sentences, name)

    def input_of_row(self, row: Mapping[str, Any], data: LabelledData, name: str) -> Sequence[str]:
        if data.tokens not in row:
            raise DataError(f"{name} has no {data.tokens!r}; its keys are {list(row)}.")
        tokens = _as_tokens(row[data.tokens])
        if tokens is None:
            raise DataError(
                f"{name}: {data.tokens!r} is {row[data.tokens]!r:.40}; expected a list of strings."
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
        return _Sentences(data.file().reader(source.name), source)


def _as_tokens(value: Any) -> list[str] | None:
    """Return the strings of a list, tuple or array; None for anything else."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return None
    tokens = list(value)
    return tokens if all(isinstance(token, str) for token in tokens) else None


class _Sentences(Stream):
    unit = "sentences"

    def __init__(self, file_format: LabelFormat, source: InputFile):
        self.file_format, self.source = file_format, source

    def items(self) -> Iterator[Sentence]:
        return self.file_format.read(self.source.path, self.source.lines)

    def input(self, item: Sentence) -> Sequence[str]:
        return item.tokens

    def is_example(self, item: Sentence) -> bool:
        return bool(item.tokens)

    def format(
        self, item: Sentence, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        return self.file_format.write(item, values["labels"])

    def to_json(self, item: Sentence, number: int) -> dict[str, Any]:
        return {"sentence": number, "tokens": item.tokens}
