"""Parts of a table that a column names: training, validation and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from heedful.data.text_rows import Text
from heedful.errors import OptionError

PARTS: Final[Mapping[str, str]] = {
    "train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid",
    "test": "test",
}  # fmt: skip
"""What a row may say -> its part."""


def rows_by_part(rows: Sequence[Text], column: str, examples: str) -> dict[str, tuple[int, ...]]:
    """Return the rows of "train", "valid" and "test", as a column says.

    Raises: DataError for a row that says something else; OptionError if nothing is left for training or validation.

    >>> rows_by_part([Text("a", part="val"), Text("b", part="train")], "split", "texts")
    {'train': (1,), 'valid': (0,), 'test': ()}
    """
    found: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    for index, row in enumerate(rows):
        name = PARTS.get(row.part.lower())
        if name is None:
            raise row.error(
                f"column {column!r} holds {row.part[:40]!r}; expected train, val or test."
            )
        found[name].append(index)
    check_filled(found, f"column {column!r}", examples)
    return {name: tuple(each) for name, each in found.items()}


def check_filled(parts: Mapping[str, Sequence[int]], where: str, examples: str) -> None:
    """Raise OptionError unless there is something to train and to validate on."""
    for name in ("train", "valid"):
        if not parts[name]:
            raise OptionError(f"{where} leaves nothing for {name}; give each part some {examples}")
