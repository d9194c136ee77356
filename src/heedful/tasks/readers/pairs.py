"""Reader of text pairs (two line-aligned files, a table or a built-in corpus) and of lines to translate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from heedful.data.delimiters import detect_delimiter, split_fields
from heedful.data.files import Pairs, iterate_lines, read_pairs, read_table
from heedful.data.json_lines import parse_object
from heedful.data.links import read_links
from heedful.data.tables import TABLES, JsonLinesTable, TsvTable, extension
from heedful.data.words import check_characters
from heedful.errors import DataError, OptionError, listed, shown
from heedful.tasks.readers.base import (
    BUILTIN,
    InputFile,
    OutputFormat,
    Part,
    Reader,
    Rows,
    Stream,
    TextFiles,
    text_of_row,
)

_KEYS: Final = ("source", "target")
"""Keys of a row if no columns are configured."""


class PairData(TextFiles):
    """Files and columns of the text pairs."""

    train: tuple[str, ...] = Field(
        (),
        description="Training pairs: two line-aligned files (source, target; also .gz), one TSV, CSV or JSON Lines "
        'file with columns, "builtin:dates" or "builtin:numbers".',
    )
    valid: tuple[str, ...] = Field((), description="Validation pairs, in the same formats.")
    columns: tuple[str, ...] = Field((), description="Source and target column of a table.")
    alignments: str = Field(
        "",
        description="File of word alignments of the training pairs, a line each in Pharaoh format (0-0 1-2), which "
        "the attention learns; empty: none.",
    )
    max_length: int = Field(
        250, ge=1, description="Maximum tokens per side; longer training pairs are dropped."
    )


class PairReader(Reader):
    """Reads text pairs, and lines to translate."""

    train_hint = "--train SRC TGT, --train TABLE --columns A,B, or --train builtin:dates"
    test_hint = "pairs"
    valid_hint = (
        "give pairs that are not in --train, to select the best weights by (a few hundred suffice)"
    )

    def builtin(self, name: str, data: PairData, part: Part) -> Pairs:
        from heedful.data.builtin import load_builtin

        return load_builtin(name).part(part)

    def read_files(self, paths: Sequence[str], data: PairData, part: Part) -> Pairs:
        pairs = self._read_pairs(paths, data, part)
        if part != "train" or not data.alignments:
            return pairs
        lines = list(iterate_lines(data.alignments, advice=""))
        read_links(data.alignments, pairs.source, pairs.target)
        return replace(pairs, alignments=lines)

    def _read_pairs(self, paths: Sequence[str], data: PairData, part: Part) -> Pairs:
        option, columns = f"--{part}", data.columns
        if len(paths) > 1 and any(extension(Path(path)) in TABLES for path in paths):
            raise OptionError(
                f"{option} {' '.join(paths)}: got {len(paths)} files; expected one table with --columns A,B, or two "
                "line-aligned text files; join the tables into one"
            )
        if len(paths) == 2:
            return read_pairs(paths[0], paths[1], data.encoding, max_line=data.max_line)
        if len(paths) != 1:
            raise OptionError(
                f"{option}: expected two line-aligned files, one table or {BUILTIN}NAME; got {len(paths)} names"
            )
        [path] = paths
        if extension(Path(path)) not in TABLES:
            raise OptionError(
                f"{option} {path}: one file is not enough; give a source and a target file "
                f"({option} SRC TGT), or a table ({', '.join(TABLES)}) with --columns"
            )
        if len(columns) != 2:
            raise OptionError(
                f"{option} {path}: give the source and target column of the table with --columns A,B; "
                f"{_first_row(Path(path), data.encoding)}"
            )
        return read_table(path, (columns[0], columns[1]), data.encoding, max_line=data.max_line)

    def from_rows(self, rows: Rows, data: PairData, name: str) -> Pairs:
        keys = data.columns or _KEYS
        for number, row in enumerate(rows, start=1):
            for key in keys:
                if not isinstance(row.get(key), str) or not row[key].strip():
                    raise DataError(
                        f"example {number} of {name}: {shown(key)} is {shown(row.get(key))}; expected a non-empty "
                        "string."
                    )
                check_characters(row[key], partial(DataError, path=f"example {number} of {name}"))
        source, target = ([row[key] for row in rows] for key in keys)
        given = [row.get("alignment", "") for row in rows]
        return Pairs(source, target, name, given if any(given) else None)

    def input_of_row(self, row: Mapping[str, Any], data: PairData, name: str) -> str:
        return text_of_row(row, (data.columns or _KEYS)[0], name)

    def to_json(self, example: str) -> dict[str, Any]:
        return {"source": example}

    def stream(self, source: InputFile, data: PairData, output: OutputFormat) -> Stream:
        return _Lines(source, output.nbest)


class _Lines(Stream):
    unit = "lines"

    def __init__(self, source: InputFile, nbest: int):
        self.source, self.nbest = source, nbest

    def items(self) -> Iterator[str]:
        return self.source.lines

    def input(self, item: str) -> str:
        return item

    def location(self, item: str, number: int) -> str:
        return f"{self.source.path}, line {number}"

    def format(
        self, item: str, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        candidates = values["translations"]
        if self.nbest == 1:
            return f"{candidates[0]['text']}\n"
        return "".join(f"{number}\t{c['score']:.4f}\t{c['text']}\n" for c in candidates)

    def to_json(self, item: str, number: int) -> dict[str, Any]:
        return {"line": number, "source": item}


def _first_row(path: Path, encoding: str) -> str:
    """Return the part of an error message that lists the columns of a table."""
    line = next(iterate_lines(path, encoding), "")
    names = list(_column_names(path, line))
    if not names:
        return "its first line has no columns"
    return f"its columns are: {listed(names)} (without a header use numbers: --columns 1,2)"


def _column_names(path: Path, line: str) -> Iterable[str]:
    table = TABLES[extension(path)]
    if table is JsonLinesTable:
        return parse_object(path, 1, line)
    delimiter = "\t" if table is TsvTable else detect_delimiter(line, ())
    return split_fields(line, delimiter)
