"""Datasets of replies with the turns before them, and the candidates that a reply is ranked among."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from heedful.data.dataset import Dataset, preferred, repeat_to_length
from heedful.data.dialogue.turns import USER, Dialogue, Exchange, Turn, exchanges
from heedful.errors import DataError, OptionError

DISPLAY_CHARACTERS = range(15, 90)
"""Lengths of histories that are readable in a plot."""
Candidates = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Replies(Dataset):
    """Replies in the order of the files. An input is an exchange, of which a model reads the history.

    >>> said = Exchange((Turn(USER, "are you free?"),), "Yes.")
    >>> Replies([said]).answers
    ['Yes.']
    """

    rows: Sequence[Exchange]
    name: str = "replies"
    skipped: Sequence[str] = field(default=())
    candidates: int = 20
    """Replies, the true one included, that a ranker chooses among."""
    example: ClassVar[str] = "reply"

    @property
    def inputs(self) -> Sequence[Exchange]:
        """The exchanges."""
        return self.rows

    @cached_property
    def answers(self) -> list[str]:
        """The replies."""
        return [each.reply or "" for each in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Sequence[int]) -> Self:
        return replace(self, rows=[self.rows[row] for row in rows], skipped=())

    def texts(self) -> Sequence[Sequence[str]]:
        histories = ["\n".join(map("\t".join, each.history)) for each in self.rows]
        return histories, self.answers

    def turn_texts(self) -> list[str]:
        """Return the text of each turn about once: of a reply and of the turn before it."""
        return [
            text
            for each in self.rows
            for text in (each.history[-1].text if each.history else "", each.reply or "")
            if text
        ]

    def input_of_length(self, length: int) -> Exchange:
        words = (word for each in self.rows for turn in each.history for word in turn.text.split())
        return Exchange((Turn(USER, " ".join(repeat_to_length(words, length))),))

    def showcase(self, count: int) -> list[Exchange]:
        distinct = list({each.history: each.asked() for each in self.rows if each.history}.values())
        lengths = [sum(len(turn.text) for turn in each.history) for each in distinct]
        return preferred(distinct, [length in DISPLAY_CHARACTERS for length in lengths], count)

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        error = self.rows[row].error(message)
        return error if error.where else super().error(row, message)

    @cached_property
    def drawn(self) -> Candidates:
        """(replies, candidates), rows of candidates of any group, the true one first; see `draw_candidates`."""
        return draw_candidates(self.answers, [""] * len(self), self.candidates)

    @cached_property
    def drawn_alike(self) -> Candidates:
        """The same with candidates of the reply's own group."""
        return draw_candidates(self.answers, [each.group for each in self.rows], self.candidates)


def draw_candidates(
    replies: Sequence[str], groups: Sequence[str], count: int, seed: int = 0
) -> Candidates:
    """Draw for each reply others of its group, distinct texts that are not its own.

    Args:
        replies: all replies.
        groups: the group of each.
        count: candidates of a reply, itself included.
        seed: of the choice.

    Returns: (replies, count), rows, the reply's own first; -1 throughout for a reply whose group has too few others.

    >>> draw_candidates(["a", "b", "c", "a"], ["x", "x", "x", "y"], 3)[:, 0].tolist()
    [0, 1, 2, -1]
    """
    pools: dict[str, dict[str, int]] = {}
    for row, (reply, group) in enumerate(zip(replies, groups, strict=True)):
        pools.setdefault(group, {}).setdefault(reply, row)
    listed = {group: list(pool.items()) for group, pool in pools.items()}
    rng = random.Random(seed)
    drawn = np.full((len(replies), count), -1, dtype=np.int64)
    for row, (reply, group) in enumerate(zip(replies, groups, strict=True)):
        pool = listed[group]
        if len(pool) < count:
            continue
        # One more than is needed, as the reply's own text may be among them.
        others = [at for text, at in rng.sample(pool, count) if text != reply][: count - 1]
        drawn[row] = [row, *others]
    return drawn


def read_replies(
    dialogues: Iterable[Dialogue],
    name: str,
    *,
    max_turns: int,
    speaker: str = "",
    skip_bad: bool = False,
    candidates: int = 20,
) -> Replies:
    """Return the replies of dialogues.

    Args:
        dialogues: the dialogues.
        name: what to call the data.
        max_turns: turns before a reply that are kept, the latest.
        speaker: see `turns_of`.
        skip_bad: leave dialogues out that cannot be used, instead of an error.
        candidates: see `Replies`.

    Raises: DataError for dialogues that cannot be used, and where nobody replies.
    """
    rows: list[Exchange] = []
    skipped: list[str] = []
    names: dict[str, None] = {}
    iterator = iter(dialogues)
    while True:
        try:
            dialogue = next(iterator)
            rows += exchanges(dialogue, max_turns, speaker)
        except StopIteration:
            break
        except DataError as error:
            if not skip_bad:
                raise
            skipped.append(str(error))
            continue
        names |= dict.fromkeys(said.name for said in dialogue.turns[:50])
    if not rows:
        heard = ", ".join(map(repr, list(names)[:10]))
        who = f"of {speaker!r}" if speaker else "of an assistant, or of a second speaker"
        raise DataError(
            f"{name}: there is no reply {who} to a turn before it; the speakers are {heard or 'none'}. Name the one "
            "whose replies are learned with --speaker."
        )
    return Replies(rows, name, skipped, candidates)


def split_replies(data: Replies, share: float, seed: int) -> tuple[Replies, Replies]:
    """Split into (training, validation) by whole dialogues, at random.

    Raises: OptionError for a share outside (0, 1); DataError where there are too few dialogues.

    >>> rows = [Exchange((Turn(USER, "hi"),), "hello", dialogue=str(n // 2)) for n in range(8)]
    >>> train, valid = split_replies(Replies(rows), 0.25, 0)
    >>> len(train), len({each.dialogue for each in valid.rows})
    (6, 1)
    """
    if not 0 < share < 1:
        raise OptionError(f"the share for validation is {share}; it must be above 0 and below 1.")
    names = list(dict.fromkeys(each.dialogue for each in data.rows))
    count = int(len(names) * share)
    if not count:
        raise DataError(
            f"{len(names)} dialogues are too few to split off a share of {share} for validation; give more, or a "
            "validation file."
        )
    chosen = set(random.Random(seed).sample(range(len(names)), count))
    held_out = {names[at] for at in chosen}
    is_valid = [each.dialogue in held_out for each in data.rows]
    train, valid = (
        [row for row, out in enumerate(is_valid) if out == wanted] for wanted in (False, True)
    )
    return (
        replace(data.take(train), skipped=data.skipped),
        replace(data.take(valid), name=f"{share:g} of {data.name}"),
    )
