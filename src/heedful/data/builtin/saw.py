"""The corpus `saw`: sentences of words that are both noun and verb, so that a label can only come from context."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from heedful.data.builtin.corpus import TaggedCorpus
from heedful.data.labelled import Labelled, Sentence
from heedful.errors import OptionError

# Each is a noun and a verb in the same form, also after "I" and "they" and after "to".
BOTH = """
    saw can fish man book watch duck plant ship sail hammer nail paint cook drink dress
    guard hand head oil rock ring water train
""".split()  # noqa: SIM905 - read as words, not as a list of strings
PRONOUNS = ("i", "you", "we", "they")
DETERMINERS = ("the", "a", "this", "that", "my", "your", "her", "their")
ADJECTIVES = ("old", "young", "rich", "poor", "brave", "sick")
"""Each is an adjective before a noun, and a noun for the people who are so: the old, the poor."""
ADVERBS = """
    really truly often perhaps indeed surely maybe honestly frankly luckily sadly clearly
    however moreover probably certainly
""".split()  # noqa: SIM905 - read as words, not as a list of strings
FEWEST_BETWEEN = 3
"""A parenthesis is two commas with an adverb or more between them."""


class Word(NamedTuple):
    """A word, its label, and what decides it."""

    text: str
    label: str
    decided_by: int | None = None
    """For a word of two labels, how far off the word is that decides: left is negative; else None."""


Sketch = list[Word]


def build(
    seed: int = 0,
    *,
    train_size: int = 8_000,
    valid_size: int = 1_000,
    test_size: int = 2_000,
    farthest: int = 16,
) -> TaggedCorpus:
    """Ask for the part of speech of each word: `i saw a saw` → `PRON VERB DET NOUN`.

    Every noun and verb is one of the same two dozen words, each as often the one as the other, so a word by itself
    says nothing. What decides stands before it (`a … saw`, `i … saw`) or after it (`they can fish` against `they can
    the fish`, `the old man the boat` against `the old man can the boat`), next to it or, a parenthesis of adverbs
    away, up to `farthest` words off: `i , really , often , saw a saw`.

    Args:
        seed: of the choice of words and sentences.
        train_size: how many training sentences.
        valid_size: how many sentences are kept for validation.
        test_size: how many sentences are kept for the test.
        farthest: how far from a word the word that decides its label may stand.

    Raises:
        OptionError: sizes that do not work.

    Example:
        >>> corpus = build(train_size=100, valid_size=10, test_size=10)
        >>> sentence, distances = corpus.test.sentences[0], corpus.test_distances[0]
        >>> len(sentence.tokens) == len(sentence.labels) == len(distances)
        True
    """
    if min(train_size, valid_size, test_size) < 1 or farthest < 2:
        raise OptionError(
            f"sizes {train_size}, {valid_size} and {test_size} (train, valid, test) with farthest={farthest} do not "
            f"work: each size must be 1 or more and farthest 2 or more."
        )
    chance = random.Random(seed)
    made: dict[tuple[str, ...], Sketch] = {}
    wanted = train_size + valid_size + test_size
    for _ in range(50 * wanted):
        if len(made) == wanted:
            break
        sketch = _sketch(chance, farthest)
        made[tuple(word.text for word in sketch)] = sketch
    else:
        raise OptionError(
            f"only {len(made):,} different sentences were found where {wanted:,} are wanted; ask for fewer, or for a "
            f"larger farthest than {farthest}."
        )
    sketches = list(made.values())
    test, rest = sketches[:test_size], sketches[test_size:]
    return TaggedCorpus(
        train=_labelled(rest[valid_size:], "train"),
        valid=_labelled(rest[:valid_size], "valid"),
        test=_labelled(test, "test"),
        description=(
            f"Sentences of {len(BOTH)} words that are noun and verb alike, with the part of speech of each; the word "
            f"that decides stands up to {farthest} words off. Sentences of validation and test are in no training "
            "sentences."
        ),
        test_distances=tuple(tuple(word.decided_by for word in sketch) for sketch in test),
    )


def _sketch(chance: random.Random, farthest: int) -> Sketch:
    return chance.choice(PATTERNS)(chance, farthest)


def _labelled(sketches: Sequence[Sketch], name: str) -> Labelled:
    return Labelled(
        [
            Sentence(tuple(word.text for word in sketch), tuple(word.label for word in sketch))
            for sketch in sketches
        ],
        name=f"saw ({name})",
    )


def _between(chance: random.Random, farthest: int) -> Sketch:
    """Nothing, or a parenthesis, so that what is before and after are 1 to `farthest` words apart."""
    count = chance.randrange(farthest)
    if count < FEWEST_BETWEEN:
        return []
    comma = Word(",", "PUNCT")
    adverbs = [Word(chance.choice(ADVERBS), "ADV") for _ in range(count - 2)]
    return [comma, *adverbs, comma]


def _noun_phrase(chance: random.Random, farthest: int) -> Sketch:
    """`the saw`, `the , really , saw`: the determiner decides."""
    between = _between(chance, farthest)
    noun = Word(chance.choice(BOTH), "NOUN", -1 - len(between))
    return [Word(chance.choice(DETERMINERS), "DET"), *between, noun]


def _object(chance: random.Random) -> Sketch:
    return _noun_phrase(chance, 1)


def _said_of_a_pronoun(chance: random.Random, farthest: int) -> Sketch:
    """`i saw a saw`."""
    between = _between(chance, farthest)
    text = chance.choice(BOTH)
    # After a pronoun "can" might be the auxiliary; the determiner behind it tells.
    decided_by = 1 if text == "can" else -1 - len(between)
    return [
        Word(chance.choice(PRONOUNS), "PRON"),
        *between,
        Word(text, "VERB", decided_by),
        *_noun_phrase(chance, farthest),
        Word(".", "PUNCT"),
    ]


def _infinitive(chance: random.Random, farthest: int) -> Sketch:
    """`to saw the plant is hard`: the verb follows its particle."""
    between = _between(chance, farthest)
    verb = Word(chance.choice(BOTH), "VERB", -1 - len(between))
    end = [
        Word("is", "AUX"),
        Word(chance.choice(("hard", "easy", "fun")), "ADJ"),
        Word(".", "PUNCT"),
    ]
    return [Word("to", "PART"), *between, verb, *_object(chance), *end]


def _can(chance: random.Random, farthest: int) -> Sketch:
    """`they can fish` and `they can the fish`: what follows tells the auxiliary from the verb."""
    between = _between(chance, farthest)
    away = 1 + len(between)
    subject = Word(chance.choice(PRONOUNS), "PRON")
    if chance.random() < 0.5:
        verb = Word(chance.choice(BOTH), "VERB", -away)
        return [subject, Word("can", "AUX", away), *between, verb, Word(".", "PUNCT")]
    noun = Word(chance.choice(BOTH), "NOUN", -1)
    determiner = Word(chance.choice(DETERMINERS), "DET")
    return [subject, Word("can", "VERB", away), *between, determiner, noun, Word(".", "PUNCT")]


def _the_old_man(chance: random.Random, farthest: int) -> Sketch:
    """`the old man the boat` and `the old man can the boat`: what follows tells who is meant."""
    between = _between(chance, farthest - 1)
    away = 1 + len(between)
    start, people = Word("the", "DET"), chance.choice(ADJECTIVES)
    if chance.random() < 0.5:
        subject = [Word(people, "NOUN", 1 + away), Word(chance.choice(BOTH), "VERB", away)]
        return [start, *subject, *between, *_object(chance), Word(".", "PUNCT")]
    subject = [Word(people, "ADJ", 1 + away), Word(chance.choice(BOTH), "NOUN", away)]
    verb = Word(chance.choice(BOTH), "VERB", 1)
    return [start, *subject, *between, verb, *_object(chance), Word(".", "PUNCT")]


PATTERNS: tuple[Callable[[random.Random, int], Sketch], ...] = (
    _said_of_a_pronoun,
    _infinitive,
    _can,
    _the_old_man,
)
"""The grammar: one way to make a sentence each, all equally likely."""
