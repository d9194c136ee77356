"""Dialogues in ParlAI's text form: an exchange a line, with fields separated by tabs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from heedful.data.dialogue.turns import Dialogue, Said
from heedful.errors import DataError, listed, shown

LABELS: Final = ("labels", "eval_labels")
"""Fields that hold the reply; of several, separated by |, the first counts."""


def parlai_dialogues(path: Path, lines: Iterator[str]) -> Iterator[Dialogue]:
    r"""Yield the episodes of a file of lines `text:…<tab>labels:…<tab>episode_done:True`.

    A line break in a text is written as \n, and an episode ends where episode_done is True, and with the file.

    Raises: DataError naming file and line, for a line without text or reply.

    >>> lines = ["text:hi\tlabels:hello", "text:are you free?\tlabels:Yes.|No.\tepisode_done:True"]
    >>> [turn.text for turn in next(parlai_dialogues(Path("a.txt"), iter(lines))).turns]
    ['hi', 'hello', 'are you free?', 'Yes.']
    """
    turns: list[Said] = []
    count = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = _fields(path, number, line)
        reply = next((fields[name] for name in LABELS if name in fields), "")
        for text in (fields["text"], reply.split("|")[0]):
            turns.append(Said("", text.replace("\\n", "\n"), number))
        if fields.get("episode_done", "").strip() == "True":
            count += 1
            yield Dialogue(turns, str(count), path=path)
            turns = []
    if turns:
        yield Dialogue(turns, str(count + 1), path=path)


def _fields(path: Path, number: int, line: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in line.split("\t"):
        name, colon, value = part.partition(":")
        if not colon:
            raise DataError(
                f"{shown(part, 60)} is no field; expected ParlAI's text form, text:…<tab>labels:…<tab>"
                "episode_done:True. A file of prompts and replies is a .tsv table.",
                path=path,
                line=number,
            )
        fields[name.strip()] = value
    if "text" not in fields or not any(name in fields for name in LABELS):
        raise DataError(
            f"the line has the fields {listed(fields)}; expected text and labels.",
            path=path,
            line=number,
        )
    return fields
