"""Checks of the labels of training and validation data."""

from __future__ import annotations

from collections import Counter
from typing import Any

from heedful.answers.labels import check_seen
from heedful.data.dataset import Dataset
from heedful.data.label_diagnosis import diagnose_labels
from heedful.errors import DataError, OptionError, shown


def check_labels(config: Any, train: Dataset, valid: Dataset) -> None:
    """Check that every label has enough training examples, and that there are labels to tell apart.

    Args:
        config: the configuration section `data`, with the fields of `LabelColumn`.
        train: the training data.
        valid: the validation data.

    Raises: DataError naming file and line, or the column whose values are no labels; OptionError for one label.
    """
    counts = Counter(label for labels in train.answers for label in labels)
    if unused := [label for label in config.required_labels if label not in counts]:
        raise DataError(
            f"{train.name}: column {shown(unused[0])} is 0 for every training {train.example}; leave it out, or add "
            "examples."
        )
    _check_frequent(config, train, counts)
    check_seen(train, valid)
    if len(counts) < 2 and not config.multi_label:
        raise OptionError(
            f"every training {train.example} has the label {shown(next(iter(counts)))}; expected at least two labels"
        )


def _check_frequent(config: Any, train: Dataset, counts: Counter[str]) -> None:
    minimum = config.min_examples
    if min(counts.values(), default=minimum) >= minimum:
        return
    if not config.required_labels:
        reason = diagnose_labels(train.answers, train.example, config.label)
        if reason is not None:
            raise DataError(f"{train.name}: {reason}")
    for row, labels in enumerate(train.answers):
        for label in labels:
            if counts[label] < minimum:
                raise train.error(
                    row,
                    f"the label {shown(label)} has {_count(counts[label], train)}; expected at least "
                    f"data.min_examples = {minimum}; add examples, or merge it with another label.",
                )


def _count(number: int, data: Dataset) -> str:
    plural = "" if number == 1 or data.example.endswith("s") else "s"
    return f"{number} training {data.example}{plural}"
