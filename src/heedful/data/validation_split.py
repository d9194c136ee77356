"""Validation examples that are cut off the training data."""

from __future__ import annotations

from collections.abc import Sequence

from heedful.data.dataset import Dataset
from heedful.data.label_diagnosis import diagnose_labels
from heedful.data.stratify import stratified_rows
from heedful.errors import DataError


def validation_rows(
    data: Dataset,
    share: float,
    seed: int,
    too_few: str,
    labels: Sequence[Sequence[str]] | None = None,
    column: str = "",
) -> tuple[list[int], list[int]]:
    """Return the rows that stay in training and those for validation, at random, each in the order of the data.

    Args:
        data: the examples.
        share: the fraction for validation.
        seed: seed of the random choice.
        too_few: the error if either part would be empty.
        labels: of each example, to choose the same share of each label (`stratified_rows`); None: they are no labels.
        column: the column of the labels, for errors.

    Raises: DataError if either part would be empty: what is wrong with the labels if that is why, or `too_few`.
    """
    answers = [()] * len(data) if labels is None else labels
    chosen = stratified_rows(answers, share, seed)
    if not 0 < len(chosen) < len(data):
        if labels is not None and (reason := diagnose_labels(labels, data.example, column)):
            raise DataError(f"{data.name}: {reason}")
        raise DataError(too_few)
    return [row for row in range(len(data)) if row not in chosen], sorted(chosen)
