"""One row of a table, and the checks of its columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from heedful.errors import DataError, listed, nearest, shown


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: its file, its first line number, its unchanged text, and its fields by column."""

    path: Path
    line: int | None
    raw: str
    fields: Mapping[str, object]

    def error(self, message: str) -> DataError:
        """Return an error about this row."""
        return DataError(message, path=self.path, line=self.line)

    def value(self, column: str) -> object:
        """Return a field.

        Raises: DataError for a row without such a field, suggesting the nearest.
        """
        check_columns(self.path, list(self.fields), [column], self.line)
        return self.fields[column]

    def text(self, column: str) -> str:
        """Return a field that holds a text.

        Raises: DataError for a row without such a field, or with something else in it.
        """
        value = self.value(column)
        if not isinstance(value, str):
            raise self.error(
                f"column {shown(column)} holds {json.dumps(value)[:40]}; expected a string."
            )
        return value


def check_columns(
    path: Path, names: Sequence[str], required: Sequence[str], line: int | None = 1
) -> None:
    """Raise DataError for a required column that is not among `names`, suggesting the nearest."""
    for name in required:
        if name not in names:
            near = nearest(name, names)
            hint = f"; did you mean {shown(near)}?" if near else "."
            raise DataError(
                f"there is no column {shown(name)}{hint} The columns are: {listed(names)}.",
                path=path,
                line=line,
            )


def check_new_columns(
    path: Path, names: Sequence[str], added: Sequence[str], line: int = 1
) -> None:
    """Raise DataError for an added column that already exists."""
    for name in added:
        if name in names:
            raise DataError(
                f"column {shown(name)} already exists and is not overwritten; use --column NAME to give the "
                "predictions another name.",
                path=path,
                line=line,
            )
