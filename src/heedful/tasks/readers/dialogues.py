"""Reader of dialogues in every form, and the streams of histories to reply to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from heedful.data.dialogue.messages import dialogue_of_messages, messages_key
from heedful.data.dialogue.read import read_dialogues
from heedful.data.dialogue.replies import Replies, read_replies, split_replies
from heedful.data.dialogue.tables import DialogueColumns, dialogue_table, pair_dialogue
from heedful.data.dialogue.turns import (
    ASSISTANT,
    USER,
    Dialogue,
    Exchange,
    Turn,
    history_of,
)
from heedful.data.table_rows import TableRow
from heedful.data.tables import TABLES, JsonLinesTable, Table, extension
from heedful.data.words import check_characters
from heedful.errors import DataError, listed, shown
from heedful.tasks.readers.base import (
    InputFile,
    OutputFormat,
    Part,
    Reader,
    Rows,
    Stream,
    TableStream,
    TextFiles,
)

SEPARATOR: Final = "||"
"""Between the turns of a history that is given as one string."""


class DialogueData(TextFiles):
    """Files of dialogues, and which of their turns are replies."""

    train: tuple[str, ...] = Field(
        (),
        description="Training dialogues: .jsonl (messages), .json, .tsv, .csv or .txt (ParlAI); also .gz; or "
        '"builtin:answers".',
    )
    valid: tuple[str, ...] = Field((), description="Validation dialogues, in the same forms.")
    valid_share: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Fraction of the training dialogues split off for validation if there are no validation files.",
    )
    valid_seed: int = Field(0, ge=0, description="Random seed of the split.")
    speaker: str = Field(
        "",
        description="Whose turns are learned; empty: the assistant's, or where there are no roles, those of everybody "
        "but the one who speaks first.",
    )
    dialogue: str = Field("", description="Column that identifies the dialogue of a turn.")
    by: str = Field("", description="Column of the speaker of a turn.")
    text: str = Field("", description="Column of the text of a turn.")
    prompt: str = Field("", description="Column of prompts, in a table of prompts and replies.")
    reply: str = Field("", description="Column of replies.")
    group: str = Field(
        "",
        description="Column or key of the group of a dialogue, such as its service; candidates of the same group are "
        "harder to tell apart.",
    )
    max_turns: int = Field(
        8,
        ge=0,
        le=1000,
        description="Turns before a reply that are read, the latest; 0: none, a model of replies without context.",
    )
    max_length: int = Field(
        128,
        ge=2,
        description="Maximum tokens of a history, whose oldest are left out, and of a reply: longer ones are not "
        "trained on.",
    )
    candidates: int = Field(
        20,
        ge=2,
        le=1000,
        description="Replies that the true one is ranked among, itself included.",
    )
    skip_bad: bool = Field(
        False,
        description="Leave out dialogues that cannot be used, which are an error otherwise; the run lists them in "
        "skipped.txt.",
    )

    def columns(self) -> DialogueColumns:
        """Return the names of the columns."""
        return DialogueColumns(
            self.dialogue, self.by, self.text, self.prompt, self.reply, self.group
        )


class DialogueReader(Reader):
    """Reads dialogues, and replies to histories in their own format."""

    reads_text = True
    train_hint = "--train DIALOGUES.jsonl, or --train builtin:answers"
    test_hint = "dialogues"
    input_hint = "a text, or a list of texts, the last of which is replied to"

    def builtin(self, name: str, data: DialogueData, part: Part) -> Replies:
        from heedful.data.builtin import load_builtin_dialogues

        corpus = load_builtin_dialogues(name)
        return self._replies(corpus.part(part), data, f"builtin:{name}, {part}")

    def read_files(self, paths: Sequence[str], data: DialogueData, part: Part) -> Replies:
        dialogues = read_dialogues(paths, data.columns(), data.encoding, data.max_line)
        return self._replies(dialogues, data, " + ".join(paths))

    @staticmethod
    def _replies(dialogues: Any, data: DialogueData, name: str) -> Replies:
        return read_replies(
            dialogues,
            name,
            max_turns=data.max_turns,
            speaker=data.speaker,
            skip_bad=data.skip_bad,
            candidates=data.candidates,
        )

    def check_split(self) -> None:
        """Accept any configuration: missing validation data are split off, by dialogues."""

    def split(self, train: Replies, data: DialogueData) -> tuple[Replies, Replies]:
        return split_replies(train, data.valid_share, data.valid_seed)

    def from_rows(self, rows: Rows, data: DialogueData, name: str) -> Replies:
        dialogues = (_dialogue(row, data, n, name) for n, row in enumerate(rows, start=1))
        return self._replies(dialogues, data, name)

    def input_of_row(self, row: Mapping[str, Any], data: DialogueData, name: str) -> Exchange:
        if messages_key(row) is None:
            prompt = data.columns().chosen("prompt", list(row))
            if prompt is None or not isinstance(row.get(prompt), str):
                raise DataError(
                    f"{name} has the keys {listed(row)}; expected messages, or a prompt that is a string."
                )
            return Exchange((Turn(USER, row[prompt]),))
        found = dialogue_of_messages(row, Path(name), None, name)
        return Exchange(history_of(found, data.speaker))

    def check_input(self, given: Any, name: str) -> Exchange:
        if isinstance(given, Exchange):
            return given
        if (
            isinstance(given, list | tuple)
            and given
            and all(isinstance(each, str) for each in given)
        ):
            return Exchange(alternating(given))
        raise self.wrong_input(given, name)

    def parse(self, text: str, data: DialogueData) -> Exchange:
        """Return the history of a string: one turn, or several separated by ||, the last of which is replied to."""
        check_characters(text)
        return Exchange(alternating([part.strip() for part in text.split(SEPARATOR)]))

    def to_argument(self, example: Exchange) -> str:
        return f" {SEPARATOR} ".join(turn.text for turn in example.history)

    def to_json(self, example: Exchange) -> dict[str, Any]:
        return {
            "messages": [{"role": turn.speaker, "content": turn.text} for turn in example.history]
        }

    def stream(self, source: InputFile, data: DialogueData, output: OutputFormat) -> Stream:
        ending = extension(Path(source.name))
        is_table = ending in TABLES and source.own_name and not output.text
        if is_table:
            return _Table(source, data, output)
        if ending not in ("", ".txt") and source.own_name and not output.text:
            raise DataError(
                f"histories are read from {', '.join(TABLES)} or from plain text, a history a line; got "
                f"{shown(ending)}. Give --text for plain text.",
                path=source.path,
            )
        return _Lines(self, source, data, output)


def alternating(texts: Sequence[str]) -> tuple[Turn, ...]:
    """Return turns of two speakers, the last of which is the user's.

    >>> [turn.speaker for turn in alternating(["hi", "hello", "are you free?"])]
    ['user', 'assistant', 'user']
    """
    count = len(texts)
    return tuple(Turn(USER if (count - n) % 2 else ASSISTANT, text) for n, text in enumerate(texts))


def _dialogue(row: Mapping[str, Any], data: DialogueData, number: int, name: str) -> Dialogue:
    """Return the dialogue of a mapping given in Python."""
    where = Path(f"example {number} of {name}")
    if messages_key(row) is not None:
        return dialogue_of_messages(row, where, None, str(number), data.group)
    columns = data.columns()
    if columns.chosen("prompt", list(row)) is None or columns.chosen("reply", list(row)) is None:
        raise DataError(
            f"the keys are {listed(row)}; expected messages, or prompt and reply.", path=where
        )
    return pair_dialogue(TableRow(where, None, "", row), columns)


class _Table(TableStream):
    """Histories in a table: messages of JSON lines, or a column of prompts."""

    unit = "histories"

    def __init__(self, source: InputFile, data: DialogueData, output: OutputFormat):
        self.source, self.data, self.output = source, data, output
        self.columns = DialogueColumns(prompt=data.prompt)
        self.table: Table = dialogue_table(Path(source.name), self.columns)

    def items(self) -> Iterator[TableRow]:
        rows = self.table.rows(
            self.source.path, self.source.lines, self.columns.required(), self.output.columns
        )
        for row in rows:
            self.input(row)
            yield row

    def input(self, item: TableRow) -> Exchange:
        if isinstance(self.table, JsonLinesTable) and messages_key(item.fields) is not None:
            found = dialogue_of_messages(item.fields, item.path, item.line, str(item.line))
            return Exchange(history_of(found, self.data.speaker))
        prompt = self.columns.chosen("prompt", list(item.fields))
        if prompt is None:
            raise item.error(
                f"the columns are {listed(item.fields)}; expected messages (JSON lines) or a column of prompts, "
                "prompt, or the one that data.prompt names."
            )
        return Exchange((Turn(USER, item.text(prompt)),))

    def location(self, item: TableRow, number: int) -> str:
        return item.error("").where or super().location(item, number)

    def format(
        self, item: TableRow, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        return self.extended(item.raw, cells)

    def to_json(self, item: TableRow, number: int) -> dict[str, Any]:
        return {"line": item.line}


class _Lines(Stream):
    """Plain text: a history a line, whose turns are separated by ||; JSON objects with messages too."""

    unit = "histories"

    def __init__(
        self, reader: DialogueReader, source: InputFile, data: DialogueData, output: OutputFormat
    ):
        self.reader, self.source, self.data, self.nbest = reader, source, data, output.nbest

    def items(self) -> Iterator[tuple[int, str, Exchange]]:
        first = next(self.source.lines, None)
        if first is None:
            return
        lines = chain([first], self.source.lines)
        if first.lstrip().startswith("{"):
            for row in JsonLinesTable().rows(self.source.path, lines, ()):
                where = f"{self.source.path}, line {row.line}"
                yield row.line or 0, row.raw, self.reader.input_of_row(row.fields, self.data, where)
            return
        for number, line in enumerate(lines, start=1):
            yield number, line, self.reader.parse(line, self.data)

    def input(self, item: tuple[int, str, Exchange]) -> Exchange:
        return item[2]

    def location(self, item: tuple[int, str, Exchange], number: int) -> str:
        return f"{self.source.path}, line {item[0]}"

    def format(
        self,
        item: tuple[int, str, Exchange],
        number: int,
        values: Mapping[str, Any],
        cells: Sequence[Any],
    ) -> str:
        replies = values["replies"]
        if self.nbest == 1:
            text = replies[0]["text"] if replies else ""
            return f"{text}\n"
        return "".join(f"{number}\t{each['score']:.4f}\t{each['text']}\n" for each in replies)

    def to_json(self, item: tuple[int, str, Exchange], number: int) -> dict[str, Any]:
        return {"line": item[0], **self.reader.to_json(item[2])}
