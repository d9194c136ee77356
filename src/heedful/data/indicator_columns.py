"""Labels given as 0/1 columns of a table, one column per label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

from heedful.errors import DataError, shown

PRESENT = frozenset({"1", "1.0", "true"})
ABSENT = frozenset({"0", "0.0", "false"})


class KnownLabels(tuple[str, ...]):
    """The labels of an example of which some others are not known: neither present nor absent.

    >>> labels = KnownLabels(["new"], unknown=["sold"])
    >>> labels, labels.unknown
    (('new',), frozenset({'sold'}))
    """

    unknown: frozenset[str]

    def __new__(cls, labels: Iterable[str], unknown: Iterable[str]) -> Self:
        found = super().__new__(cls, labels)
        found.unknown = frozenset(unknown)
        return found


def unknown_labels(answers: Sequence[str]) -> frozenset[str]:
    """Return the labels of which it is not known whether an example has them; of most answers none.

    >>> unknown_labels(("new",))
    frozenset()
    """
    return answers.unknown if isinstance(answers, KnownLabels) else frozenset()


def labels_of_columns(
    fields: Mapping[str, object],
    columns: Sequence[str],
    error: Callable[[str], DataError],
    *,
    blanks: bool = False,
) -> tuple[str, ...]:
    """Return the columns that are 1.

    Args:
        fields: a row.
        columns: the columns of the labels.
        error: builds the exception from a message.
        blanks: whether some fields may be empty: `KnownLabels` says which.

    Raises: DataError naming the column, for an empty field and a value other than 0 and 1.

    >>> labels_of_columns({"new": "1", "sold": "0", "rare": True}, ["new", "sold", "rare"], DataError)
    ('new', 'rare')
    """
    labels, unknown = [], []
    for column in columns:
        value = fields[column]
        text = str(value).strip().lower()
        if text in PRESENT:
            labels.append(column)
        elif not text and blanks:
            unknown.append(column)
        elif not text:
            raise error(f"column {shown(column)} is empty; fill it in or remove the row.")
        elif text not in ABSENT:
            raise error(
                f"column {shown(column)} holds {shown(str(value)[:40])}; expected 0 or 1, as several label columns are "
                "given; a column of label names is given alone."
            )
    if len(unknown) == len(columns):
        raise error(
            f"column {shown(columns[0])} and all others of labels are empty; fill one in or remove the row."
        )
    return KnownLabels(labels, unknown) if unknown else tuple(labels)
