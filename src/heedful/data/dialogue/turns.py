"""Dialogues as turns, and the replies in them with the turns before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from heedful.data.words import check_characters
from heedful.errors import DataError, listed, nearest, shown

USER: Final = "user"
ASSISTANT: Final = "assistant"
SYSTEM: Final = "system"
SPEAKERS: Final = (USER, ASSISTANT, SYSTEM)
"""Who a turn is by, as a model sees it: everybody else, the one whose replies are learned, and instructions."""

ROLES: Final[dict[str, str]] = {
    **dict.fromkeys(("user", "human", "prompter", "customer", "person"), USER),
    **dict.fromkeys(
        ("assistant", "gpt", "chatgpt", "bot", "model", "ai", "agent", "bing", "bard", "claude"),
        ASSISTANT,
    ),
    **dict.fromkeys(("system", "developer", "tool", "function"), SYSTEM),
}
"""Name of a role in files of messages, in lower case -> speaker."""


class Turn(NamedTuple):
    """What one speaker said."""

    speaker: str
    """One of `SPEAKERS`."""
    text: str


History = tuple[Turn, ...]
"""The turns before a reply, oldest first."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A history, and the reply to it where it is known.

    >>> Exchange((Turn(USER, "are you free?"),), "Yes.").history[-1].text
    'are you free?'
    """

    history: History
    reply: str | None = None
    group: str = ""
    """What the dialogue is about, such as a service: candidates of the same group are harder to tell apart."""
    dialogue: str = ""
    """Identifies the dialogue; those of one are never divided among training and validation."""
    path: Path | None = None
    line: int | None = None

    def error(self, message: str) -> DataError:
        """Return an error about the reply, with file and line as far as they are known."""
        return DataError(message, path=self.path, line=self.line)

    def asked(self) -> Exchange:
        """Return the exchange without its reply."""
        return replace(self, reply=None)


@dataclass(frozen=True, slots=True)
class Said:
    """A turn as a file has it."""

    name: str
    """Of the speaker, in the file's own words; empty: the speakers take turns."""
    text: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A dialogue as a file has it."""

    turns: Sequence[Said]
    name: str
    group: str = ""
    path: Path | None = None
    has_roles: bool = False
    """Whether the names of speakers are roles (`ROLES`)."""
    is_pair: bool = False
    """Whether it is a prompt and its reply, and `name` the prompt."""

    @property
    def key(self) -> str:
        """What no other dialogue has: its file and name; of a pair the prompt, for all replies to it are alike."""
        return self.name if self.is_pair else f"{self.path} {self.name}"

    def error(self, message: str, line: int | None = None) -> DataError:
        """Return an error about this dialogue."""
        return DataError(message, path=self.path, line=line)


def turns_of(dialogue: Dialogue, speaker: str = "") -> list[Turn]:
    """Return the turns of a dialogue by who speaks as the model sees it.

    Args:
        dialogue: the dialogue.
        speaker: the name of the one whose replies are learned. Empty: by the roles, where the file has roles;
            otherwise everybody but the one who speaks first.

    Raises: DataError naming file and line, for an unknown role or a turn without text.

    >>> turns_of(Dialogue([Said("Ann", "hi"), Said("Bob", "hello")], "1"))
    [Turn(speaker='user', text='hi'), Turn(speaker='assistant', text='hello')]
    >>> turns_of(Dialogue([Said("Ann", "hi"), Said("Bob", "hello")], "1"), "Ann")[0].speaker
    'assistant'
    """
    turns = []
    for number, said in enumerate(dialogue.turns):
        if not said.text.strip():
            raise dialogue.error(
                f"turn {number + 1} of dialogue {shown(dialogue.name)} has no text; remove it, or leave the dialogue "
                "out with --skip-bad.",
                said.line,
            )
        check_characters(said.text, lambda message, line=said.line: dialogue.error(message, line))  # type: ignore[misc]
        turns.append(Turn(_speaker(dialogue, number, speaker), said.text))
    return turns


def _speaker(dialogue: Dialogue, number: int, speaker: str) -> str:
    said = dialogue.turns[number]
    if dialogue.has_roles:
        role = ROLES.get(said.name.strip().lower())
        if speaker:
            other = SYSTEM if role == SYSTEM else USER
            return ASSISTANT if said.name.strip() == speaker else other
        if role is None:
            near = nearest(said.name, ROLES)
            hint = f"; did you mean {shown(near)}?" if near else "."
            raise dialogue.error(
                f"unknown role {shown(said.name)}{hint} The roles are: {listed(ROLES)}; or name the one whose replies "
                "are learned with --speaker.",
                said.line,
            )
        return role
    if not said.name and not speaker:
        return USER if number % 2 == 0 else ASSISTANT
    wanted = said.name == speaker if speaker else said.name != dialogue.turns[0].name
    return ASSISTANT if wanted else USER


def exchanges(dialogue: Dialogue, max_turns: int, speaker: str = "") -> Iterator[Exchange]:
    """Yield each reply of a dialogue with up to `max_turns` turns before it; a first turn replies to nothing.

    Raises: DataError as `turns_of`.

    >>> said = [Said("", text) for text in ("hi", "hello", "are you free?", "Yes.")]
    >>> [(each.history[-1].text, each.reply) for each in exchanges(Dialogue(said, "1"), 8)]
    [('hi', 'hello'), ('are you free?', 'Yes.')]
    """
    turns = turns_of(dialogue, speaker)
    for number, turn in enumerate(turns):
        if turn.speaker == ASSISTANT and number:
            yield Exchange(
                tuple(turns[max(0, number - max_turns) : number]),
                turn.text,
                dialogue.group,
                dialogue.key,
                dialogue.path,
                dialogue.turns[number].line,
            )


def history_of(dialogue: Dialogue, speaker: str = "") -> History:
    """Return the turns to reply to: all but those of the replier at the end, which are to be said anew."""
    turns = turns_of(dialogue, speaker)
    while turns and turns[-1].speaker == ASSISTANT:
        turns.pop()
    return tuple(turns)
