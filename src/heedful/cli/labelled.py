"""From what a person names (files, a built-in corpus) to labelled sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from heedful.cli.pairs import BUILTIN, is_builtin
from heedful.data.labelled import Labelled, LabelledFile, read_labelled
from heedful.errors import OptionError
from heedful.tasks.tagging_config import TaggingData

Part = Literal["train", "valid", "test"]


def labelled_file(data: TaggingData) -> LabelledFile:
    """Return how the configuration's files are read."""
    return LabelledFile(data.format, data.column, data.tokens)


def read(values: Sequence[str], data: TaggingData, part: Part) -> Labelled:
    """Read the sentences that `--train`, `--valid` or `--test` names.

    Raises: OptionError for an unknown built-in corpus; DataError for files that cannot be used.
    """
    if is_builtin(values):
        from heedful.data.builtin import load_builtin_tagged

        corpus = load_builtin_tagged(values[0].removeprefix(BUILTIN))
        return {"train": corpus.train, "valid": corpus.valid, "test": corpus.test}[part]
    for value in values:
        if value.startswith(BUILTIN):
            raise OptionError(f"--{part}: {value} stands alone; got {' '.join(values)}")
    return read_labelled(values, labelled_file(data))


def read_training(data: TaggingData) -> tuple[Labelled, Labelled]:
    """Read training and validation sentences; a built-in corpus brings its own for validation.

    Raises: OptionError when one of them is not given; DataError for files that cannot be used.
    """
    if not data.train:
        raise OptionError(
            "there is nothing to train on: give --train FILE.conllu, or --train builtin:saw"
        )
    if not data.valid and not is_builtin(data.train):
        raise OptionError(
            "--valid is missing: a file of sentences that are not in --train, by which the best weights "
            "are chosen (a few hundred do)"
        )
    return read(data.train, data, "train"), read(data.valid or data.train, data, "valid")
