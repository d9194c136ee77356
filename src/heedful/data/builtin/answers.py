"""The corpus `answers`: short dialogues of questions and answers, from a grammar."""

from __future__ import annotations

import random
from typing import NamedTuple

from heedful.data.builtin.corpus import BuiltinCorpus
from heedful.data.dialogue.turns import Dialogue, Said
from heedful.errors import OptionError


class Form(NamedTuple):
    """How a turn opens, and how its answer goes."""

    first: str
    """The first word of the answer."""
    subject: str
    """What follows it, before the words that are repeated."""


FORMS: dict[tuple[str, str], Form] = {
    ("are", "you"): Form("Yes", "I am"),
    ("is", "she"): Form("Perhaps", "she is"),
    ("are", "they"): Form("No", "they are not"),
    ("you", "are"): Form("Thanks", "I am"),
    ("she", "is"): Form("Good", "she is"),
    ("they", "are"): Form("Really", "they are"),
}
"""The two words that a turn opens with, whose order matters -> its answer."""
STATES = (
    "free", "busy", "at home", "at work", "in town", "in the garden", "late", "early", "ready", "alone",
    "on the phone", "at the station", "on holiday", "in a meeting", "very tired", "out of milk",
)  # fmt: skip
TIMES = (
    "now", "today", "tonight", "tomorrow", "on monday", "on friday", "this week", "next week",
    "in the morning", "at noon",
)  # fmt: skip
BEFORE = (
    "",
    "",
    "hello ,",
    "well ,",
    "by the way ,",
    "one more thing ,",
    "oh and please tell me ,",
)
AFTER = ("", "", "", ", my friend", ", if I may ask", ", just to know")
MAX_EXCHANGES = 3

Asked = tuple[tuple[str, str], str, str]
"""Opening, state and time: what a turn asks."""


class DialogueCorpus(BuiltinCorpus[list[Dialogue]]):
    """Generated dialogues, split so that what is asked in a part is asked in no other."""


def opening_at(text: str) -> int:
    """Return the index of the first of the two words that decide the answer to a turn, among words between spaces.

    >>> opening_at("by the way , are you free tomorrow"), opening_at("you are late today")
    (4, 0)
    """
    split = text.split()
    return next(at for at in range(len(split) - 1) if (split[at], split[at + 1]) in FORMS)


def build(
    seed: int = 0, *, train_size: int = 2_000, valid_size: int = 200, test_size: int = 300
) -> DialogueCorpus:
    """Generate dialogues of one to three questions and answers: `are you late now` → `Yes , I am late now .`

    The first word of an answer depends on the first two words of the question, whose order tells a question (`are
    you`) from a statement (`you are`), and on nothing else: not on what is asked, nor on the greeting before it or the
    turns before that. The rest repeats what was asked. No question of validation or test, by its opening, state and
    time, is asked in training.

    Args:
        seed: seed of the choice.
        train_size: number of training dialogues.
        valid_size: number of validation dialogues.
        test_size: number of test dialogues.

    Raises:
        OptionError: invalid sizes.

    Example:
        >>> [dialogue] = build(train_size=1, valid_size=1, test_size=1).test
        >>> dialogue.turns[1].text.split()[0] in {form.first for form in FORMS.values()}
        True
    """
    if min(train_size, valid_size, test_size) < 1:
        raise OptionError(
            f"sizes {train_size}, {valid_size} and {test_size} (train, valid, test) do not work: each must be 1 or "
            "more."
        )
    rng = random.Random(seed)
    asked = [(form, state, time) for form in FORMS for state in STATES for time in TIMES]
    rng.shuffle(asked)
    first, second = len(asked) // 10, len(asked) // 5
    parts = {"test": asked[:first], "valid": asked[first:second], "train": asked[second:]}
    sizes = {"train": train_size, "valid": valid_size, "test": test_size}
    made = {
        part: [_dialogue(rng, parts[part], f"{part} {n + 1}") for n in range(size)]
        for part, size in sizes.items()
    }
    return DialogueCorpus(
        **made,
        description=(
            "Questions and answers from a grammar: the first word of an answer depends on the two words that the "
            "question opens with, as in `are you`; the rest repeats what was asked."
        ),
    )


def _dialogue(rng: random.Random, asked: list[Asked], name: str) -> Dialogue:
    turns = []
    for _ in range(rng.randint(1, MAX_EXCHANGES)):
        opening, state, time = rng.choice(asked)
        parts = (rng.choice(BEFORE), *opening, state, time, rng.choice(AFTER))
        form = FORMS[opening]
        turns.append(Said("user", " ".join(part for part in parts if part)))
        turns.append(Said("assistant", f"{form.first} , {form.subject} {state} {time} ."))
    return Dialogue(turns, name, has_roles=True)
