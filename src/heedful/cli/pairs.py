"""From what a person names (two files, a table, a built-in corpus) to sentence pairs."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from heedful.data.files import Pairs, iterate_lines, read_pairs, read_table
from heedful.data.tables import FORMATS
from heedful.errors import OptionError
from heedful.tasks.translation_config import DataConfig

BUILTIN = "builtin:"

Part = Literal["train", "valid", "test"]


def split_columns(columns: Sequence[str] | None) -> tuple[str, ...]:
    """Read `--columns A,B` (or `--columns A B`).

    Raises: OptionError unless there are two names.

    >>> split_columns(["en,de"])
    ('en', 'de')
    """
    names = tuple(name.strip() for each in columns or () for name in each.split(","))
    if names and (len(names) != 2 or not all(names)):
        raise OptionError(
            f"--columns wants the names of two columns, source and target, as in --columns en,de; "
            f"got {', '.join(columns or ())!r}"
        )
    return names


def is_builtin(values: Sequence[str]) -> bool:
    """Say whether a built-in corpus is meant."""
    return len(values) == 1 and values[0].startswith(BUILTIN)


def read(values: Sequence[str], columns: Sequence[str], part: Part) -> Pairs:
    """Read the pairs that `--train`, `--valid` or `--test` names.

    Raises: OptionError when it cannot be told what is meant; DataError for files that cannot be used.
    """
    option = f"--{part}"
    if is_builtin(values):
        return _builtin(values[0].removeprefix(BUILTIN), part)
    for value in values:
        if value.startswith(BUILTIN):
            raise OptionError(f"{option}: {value} stands alone; got {' '.join(values)}")
    if len(values) == 2:
        return read_pairs(*values)
    if len(values) != 1:
        raise OptionError(
            f"{option} wants two line-aligned files, one table or {BUILTIN}NAME; got {len(values)} names"
        )
    [path] = values
    if not _is_table(path):
        raise OptionError(
            f"{option} {path}: one file is not enough; give the source and the target file "
            f"({option} SRC TGT), or one table whose name ends in {', '.join(FORMATS)} with --columns"
        )
    if len(columns) != 2:
        raise OptionError(
            f"{option} {path}: name the table's source and target column with --columns A,B; "
            f"{_first_row(path)}"
        )
    return read_table(path, (columns[0], columns[1]))


def read_training(data: DataConfig) -> tuple[Pairs, Pairs]:
    """Read training and validation pairs; a built-in corpus brings its own for validation.

    Raises: OptionError when one of them is not given; DataError for files that cannot be used.
    """
    if not data.train:
        raise OptionError(
            "there is nothing to train on: give --train SRC TGT, --train TABLE --columns A,B, "
            "or --train builtin:dates"
        )
    if not data.valid and not is_builtin(data.train):
        raise OptionError(
            "--valid is missing: some pairs that are not in --train, by which the best weights are "
            "chosen (a few hundred do)"
        )
    train = read(data.train, data.columns, "train")
    return train, read(data.valid or data.train, data.columns, "valid")


def _builtin(name: str, part: Part) -> Pairs:
    from heedful.data.builtin import load_builtin

    corpus = load_builtin(name)
    return {"train": corpus.train, "valid": corpus.valid, "test": corpus.test}[part]


def _format(path: str) -> str:
    name = Path(path)
    return (name.with_suffix("") if name.suffix == ".gz" else name).suffix.lower()


def _is_table(path: str) -> bool:
    return _format(path) in FORMATS


def _first_row(path: str) -> str:
    """Say what the columns of a table may be."""
    line = next(iterate_lines(path), "")
    match _format(path):
        case ".csv":
            names = next(csv.reader([line]), [])
        case ".tsv" | ".tab":
            names = line.split("\t")
        case _:
            try:
                names = list(json.loads(line))
            except (ValueError, TypeError):
                names = []
    if not names:
        return "its first line holds none"
    shown = ", ".join(name[:40] for name in names)
    return f"its first line holds: {shown} (without a header, count them: --columns 1,2)"
