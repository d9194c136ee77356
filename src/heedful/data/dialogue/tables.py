"""Dialogues in tables: a turn a row, or a prompt and its reply a row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from heedful.data.dialogue.messages import dialogue_of_messages, group_of, messages_key
from heedful.data.dialogue.turns import Dialogue, Said
from heedful.data.table_rows import TableRow
from heedful.data.tables import Table, table_format
from heedful.errors import DataError, listed, nearest, shown

ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "dialogue": ("dialogue", "dialog", "dialogue_id", "conversation", "conversation_id", "thread"),
    "turn": ("turn", "turn_id", "turn_number"),
    "by": ("speaker", "role", "author", "from"),
    "text": ("text", "utterance", "content", "message"),
    "prompt": ("prompt", "question", "input", "instruction", "context"),
    "reply": ("reply", "response", "answer", "output", "completion"),
}
"""What a column holds -> its names in files, of which the first that is there counts."""


@dataclass(frozen=True)
class DialogueColumns:
    """Names of columns; empty: the first of `ALIASES` that the file has.

    >>> DialogueColumns(prompt="q").chosen("prompt", ["q", "prompt"]), DialogueColumns().chosen("reply", ["answer"])
    ('q', 'answer')
    """

    dialogue: str = ""
    by: str = ""
    text: str = ""
    prompt: str = ""
    reply: str = ""
    group: str = ""

    def chosen(self, what: str, names: Sequence[str]) -> str | None:
        """Return the column that holds `what` among `names`; None if there is none."""
        given: str = getattr(self, what, "")
        return given or next((name for name in ALIASES[what] if name in names), None)

    def required(self) -> list[str]:
        """Return the columns that were named."""
        named = (self.dialogue, self.by, self.text, self.prompt, self.reply, self.group)
        return [name for name in named if name]


def table_dialogues(
    table: Table, path: Path, lines: Iterator[str], columns: DialogueColumns
) -> Iterator[Dialogue]:
    """Yield the dialogues of a table: by what its first row holds, messages, turns, or prompts and replies.

    Raises: DataError naming file and line, for a table of other columns.
    """
    rows = table.rows(path, lines, columns.required() if table.has_header else ())
    first = next(rows, None)
    if first is None:
        return
    rows, names = chain([first], rows), list(first.fields)
    for name in columns.required():
        if name not in names:
            near = nearest(name, names)
            hint = f"; did you mean {shown(near)}?" if near else "."
            raise first.error(
                f"there is no column {shown(name)}{hint} The columns are: {listed(names)}."
            )
    if messages_key(first.fields) is not None:
        yield from _of_messages(rows, columns)
    elif columns.chosen("prompt", names) and columns.chosen("reply", names):
        yield from _of_pairs(rows, columns)
    elif columns.chosen("dialogue", names) and columns.chosen("text", names):
        yield from _of_turns(rows, columns)
    else:
        raise _unknown(first, names)


def _unknown(row: TableRow, names: Sequence[str]) -> DataError:
    return DataError(
        f"the columns {listed(names)} are those of no dialogues; expected messages (a list of role and content), "
        "prompt and reply, or dialogue, speaker and text. Name other columns with --prompt and --reply (1 and 2 in a "
        "table without a header), or with --dialogue, --by and --text.",
        path=row.path,
        line=row.line,
    )


def _of_messages(rows: Iterator[TableRow], columns: DialogueColumns) -> Iterator[Dialogue]:
    for row in rows:
        if messages_key(row.fields) is None:
            raise row.error(
                f"there are no messages, as in the first line; the keys are: {listed(row.fields)}."
            )
        yield dialogue_of_messages(row.fields, row.path, row.line, str(row.line), columns.group)


def _of_pairs(rows: Iterator[TableRow], columns: DialogueColumns) -> Iterator[Dialogue]:
    for row in rows:
        yield pair_dialogue(row, columns)


def pair_dialogue(row: TableRow, columns: DialogueColumns) -> Dialogue:
    """Return the dialogue of a row with a prompt and its reply; the prompt identifies it.

    So the replies to one prompt, of which there may be many, are all in one part of the data.
    """
    names = list(row.fields)
    prompt, reply = columns.chosen("prompt", names), columns.chosen("reply", names)
    texts = [row.text(name) for name in (prompt or "prompt", reply or "reply")]
    turns = [Said("", text, row.line) for text in texts]
    group = group_of(row.fields, columns.group, row.path, row.line)
    return Dialogue(turns, texts[0], group, row.path, is_pair=True)


def _of_turns(rows: Iterator[TableRow], columns: DialogueColumns) -> Iterator[Dialogue]:
    found: dict[str, list[TableRow]] = {}
    names: list[str] = []
    for row in rows:
        names = names or list(row.fields)
        key = str(row.value(columns.chosen("dialogue", names) or "dialogue"))
        found.setdefault(key, []).append(row)
    by, text = columns.chosen("by", names), columns.chosen("text", names) or "text"
    turn = columns.chosen("turn", names)
    for name, own in found.items():
        if turn is not None:
            own = _in_order(own, turn, name)
        said = [Said(row.text(by) if by else "", row.text(text), row.line) for row in own]
        group = group_of(own[0].fields, columns.group, own[0].path, own[0].line)
        yield Dialogue(said, name, group, own[0].path)


def _in_order(rows: list[TableRow], column: str, dialogue: str) -> list[TableRow]:
    """Return the turns of a dialogue by their numbers.

    Raises: DataError for a number that occurs twice, as where ids are unique within a group only.
    """
    numbered: dict[float, TableRow] = {}
    for row in rows:
        number = _number(row, column)
        if number in numbered:
            raise row.error(
                f"turn {number:g} of dialogue {shown(dialogue)} is there twice, first in line {numbered[number].line}; "
                "give each dialogue an id of its own."
            )
        numbered[number] = row
    return [numbered[number] for number in sorted(numbered)]


def _number(row: TableRow, column: str) -> float:
    value = row.value(column)
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise row.error(
            f"column {shown(column)}, the place of a turn, is {shown(value, 60)}; expected a number."
        )
    return number


def dialogue_table(path: Path, columns: DialogueColumns) -> Table:
    """Return the table format of a file: with a header, unless columns are named by their numbers.

    Raises: DataError for an unknown ending.
    """
    named = columns.required()
    has_header = not (named and all(name.isdecimal() for name in named))
    return table_format(path, has_header=has_header)
