"""Labels given as 0/1 columns of a table, one column per label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from heedful.errors import DataError, shown

PRESENT = frozenset({"1", "1.0", "true"})
ABSENT = frozenset({"0", "0.0", "false"})


def labels_of_columns(
    fields: Mapping[str, object], columns: Sequence[str], error: Callable[[str], DataError]
) -> tuple[str, ...]:
    """Return the columns that are 1.

    Args:
        fields: a row.
        columns: the columns of the labels.
        error: builds the exception from a message.

    Raises: DataError naming the column, for an empty field and a value other than 0 and 1.

    >>> labels_of_columns({"new": "1", "sold": "0", "rare": True}, ["new", "sold", "rare"], DataError)
    ('new', 'rare')
    """
    labels = []
    for column in columns:
        value = fields[column]
        text = str(value).strip().lower()
        if text in PRESENT:
            labels.append(column)
        elif not text:
            raise error(f"column {shown(column)} is empty; fill it in or remove the row.")
        elif text not in ABSENT:
            raise error(
                f"column {shown(column)} holds {shown(str(value)[:40])}; expected 0 or 1, as several label columns are "
                "given; a column of label names is given alone."
            )
    return tuple(labels)
