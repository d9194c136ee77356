"""Dialogues as JSON: `messages` with roles, and ShareGPT's `conversations`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from heedful.data.dialogue.turns import Dialogue, Said
from heedful.errors import DataError, shown
from heedful.stored_files import JsonError, parse_json
from heedful.strict_json import to_strict_json

FIELDS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "messages": (("role", "content"), ("from", "value")),
    "conversations": (("from", "value"), ("role", "content")),
}
"""Key of the list of turns -> keys of speaker and text of a turn, in either of two spellings."""


def messages_key(fields: Mapping[str, Any]) -> str | None:
    """Return the key under which an object has its turns; None if it has none.

    >>> messages_key({"id": 1, "messages": []})
    'messages'
    """
    return next((key for key in FIELDS if key in fields), None)


def dialogue_of_messages(
    fields: Mapping[str, Any], path: Path | None, line: int | None, name: str, group: str = ""
) -> Dialogue:
    """Return the dialogue of an object with `messages` or `conversations`.

    Args:
        fields: the object.
        path, line: where it is from.
        name: what identifies the dialogue, if it has no `id`.
        group: the key of its group; empty: it has none.

    Raises: DataError naming file and line, for turns that are no list, or lack speaker or text.

    >>> found = dialogue_of_messages({"messages": [{"role": "user", "content": "hi"}]}, None, None, "1")
    >>> found.turns[0].name, found.turns[0].text
    ('user', 'hi')
    """
    key = messages_key(fields)
    assert key is not None
    messages = fields[key]
    if not isinstance(messages, list) or not messages:
        raise DataError(
            f"{shown(key)} is {shown(messages, 60)}; expected a list of turns.",
            path=path,
            line=line,
        )
    turns = [_said(each, key, n, path, line) for n, each in enumerate(messages, start=1)]
    return Dialogue(turns, name, group_of(fields, group, path, line), path, has_roles=True)


def _said(message: Any, key: str, number: int, path: Path | None, line: int | None) -> Said:
    spellings = FIELDS[key]
    if isinstance(message, dict):
        for speaker, text in spellings:
            if speaker in message and text in message:
                name, content = message[speaker], _text(message[text])
                if isinstance(name, str) and content is not None:
                    return Said(name, content, line)
    (speaker, text), _ = spellings
    wanted = f'{{"{speaker}": "user", "{text}": "…"}}'
    got = to_strict_json(message, ensure_ascii=False)
    advice = (
        " A call of a tool has no text: leave it out, or write it as text."
        if isinstance(message, dict) and message.get(text, "") is None
        else ""
    )
    raise DataError(
        f"{key}, turn {number}: got {shown(got, 80)}; expected {wanted}.{advice}",
        path=path,
        line=line,
    )


def _text(content: Any) -> str | None:
    """Return the text of a content: a string, or a list of parts that are text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content:
        parts = [
            part["text"] if isinstance(part, dict) and part.get("type", "text") == "text" else None
            for part in content
            if not isinstance(part, dict) or "text" in part or part.get("type") != "text"
        ]
        if all(isinstance(part, str) for part in parts):
            return "\n".join(str(part) for part in parts)
    return None


def group_of(fields: Mapping[str, Any], group: str, path: Path | None, line: int | None) -> str:
    """Return the group of a dialogue; empty if none is asked for.

    Raises: DataError for an object without it.
    """
    if not group:
        return ""
    if group not in fields:
        raise DataError(
            f"there is no {shown(group)}, the group of a dialogue (--group).", path=path, line=line
        )
    return str(fields[group])


def read_json_file(path: Path, text: str, group: str) -> Iterator[Dialogue]:
    """Yield the dialogues of one JSON document: a list of objects with `messages` or `conversations`.

    Raises: DataError naming file and dialogue.
    """
    try:
        found = parse_json(text)
    except JsonError as error:
        raise DataError(
            f"not valid JSON ({error}); one object a line is a .jsonl file.", path=path
        ) from None
    if not isinstance(found, list):
        raise DataError(
            f"got a JSON {type(found).__name__}; expected a list of dialogues, or name the file .jsonl with one "
            "object a line.",
            path=path,
        )
    for number, fields in enumerate(found, start=1):
        if not isinstance(fields, dict) or messages_key(fields) is None:
            got = shown(to_strict_json(fields, ensure_ascii=False), 80)
            raise DataError(
                f"dialogue {number}: got {got}; expected an object with one of {', '.join(FIELDS)}.",
                path=path,
            )
        try:
            yield dialogue_of_messages(fields, path, None, str(number), group)
        except DataError as error:
            raise DataError(f"dialogue {number}: {error}") from None
