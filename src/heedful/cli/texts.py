"""From the tables that a person names to texts with their answers."""

from __future__ import annotations

from collections.abc import Sequence

from heedful.data.texts import TextColumns, Texts, cut_validation, read_texts
from heedful.errors import OptionError
from heedful.tasks.text_config import ClassifyData, RegressData, TextData


def text_columns(data: TextData) -> TextColumns:
    """Return how the configuration's tables are read."""
    if isinstance(data, ClassifyData):
        return TextColumns(data.text, data.label, data.separator)
    assert isinstance(data, RegressData)
    return TextColumns(data.text, data.target)


def read(paths: Sequence[str], data: TextData) -> Texts:
    """Read texts and answers.

    Raises: DataError naming file and line for tables that cannot be used.
    """
    return read_texts(paths, text_columns(data))


def read_training(data: TextData) -> tuple[Texts, Texts]:
    """Read training and validation texts; without the latter a share of the former is cut off, or,
    where that is 0, the former serve as both.

    Raises: OptionError when there is nothing to train on; DataError for tables that cannot be used.
    """
    if not data.train:
        raise OptionError("there is nothing to train on: give --train FILE.tsv")
    train = read(data.train, data)
    if data.valid:
        return train, read(data.valid, data)
    if not data.valid_share:
        return train, train
    return cut_validation(
        train, data.valid_share, data.valid_seed, by_answer=isinstance(data, ClassifyData)
    )
