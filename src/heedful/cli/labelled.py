"""From the files that a person names to labelled sentences."""

from __future__ import annotations

from heedful.data.labelled import Labelled, LabelledFile, read_labelled
from heedful.errors import OptionError
from heedful.tasks.tagging_config import TaggingData


def labelled_file(data: TaggingData) -> LabelledFile:
    """Return how the configuration's files are read."""
    return LabelledFile(data.format, data.column, data.tokens)


def read_training(data: TaggingData) -> tuple[Labelled, Labelled]:
    """Read training and validation sentences.

    Raises: OptionError when one of them is not given; DataError for files that cannot be used.
    """
    if not data.train:
        raise OptionError("there is nothing to train on: give --train FILE.conllu")
    if not data.valid:
        raise OptionError(
            "--valid is missing: a file of sentences that are not in --train, by which the best weights "
            "are chosen (a few hundred do)"
        )
    options = labelled_file(data)
    return read_labelled(data.train, options), read_labelled(data.valid, options)
