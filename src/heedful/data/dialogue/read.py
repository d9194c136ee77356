"""Dialogues of files of any form, told by the name of the file and its first line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from heedful.data.dialogue.messages import read_json_file
from heedful.data.dialogue.parlai import parlai_dialogues
from heedful.data.dialogue.tables import DialogueColumns, dialogue_table, table_dialogues
from heedful.data.dialogue.turns import Dialogue
from heedful.data.files import iterate_lines
from heedful.data.opening import check_file
from heedful.data.tables import TABLES, extension
from heedful.errors import DataError, shown

Form = Callable[[Path, Iterator[str], DialogueColumns], Iterator[Dialogue]]


def _document(path: Path, lines: Iterator[str], columns: DialogueColumns) -> Iterator[Dialogue]:
    """Read one JSON document, or objects one a line in a file that is named like one."""
    first = next(lines, "")
    if first.lstrip().startswith("{") and first.rstrip().endswith("}"):
        table = TABLES[".jsonl"]()
        yield from table_dialogues(table, path, chain([first], lines), columns)
        return
    yield from read_json_file(path, "\n".join(chain([first], lines)), columns.group)


FORMS: Final[dict[str, Form]] = {
    **{
        ending: lambda path, lines, columns: table_dialogues(
            dialogue_table(path, columns), path, lines, columns
        )
        for ending in TABLES
    },
    ".json": _document,
    ".txt": lambda path, lines, _: parlai_dialogues(path, lines),
}
"""Ending of a file's name -> reader; .gz may follow."""


def read_dialogues(
    paths: Sequence[str | Path], columns: DialogueColumns, encoding: str, max_line: int
) -> Iterator[Dialogue]:
    """Lazily yield the dialogues of files; those of different files are different, whatever their ids.

    Raises: DataError naming file and line, for a file that is missing, empty, in another encoding or of no known form.
    """
    for path in map(Path, paths):
        check_file(path)
        if extension(path) not in FORMS:
            raise DataError(
                f"unknown form {shown(extension(path))}; the name of a file of dialogues ends in one of "
                f"{', '.join(FORMS)} (.gz may follow).",
                path=path,
            )
        lines = iterate_lines(path, encoding, max_line=max_line)
        is_empty = True
        for dialogue in FORMS[extension(path)](path, lines, columns):
            is_empty = False
            yield dialogue
        if is_empty:
            raise DataError("the file holds no dialogues.", path=path)
