"""The corpus `saw`: part-of-speech tagging of words that are both noun and verb, decided by context alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from heedful.data.builtin.corpus import TaggedCorpus
from heedful.data.labelled import Labelled, Sentence
from heedful.errors import OptionError

# Each is both a noun and a verb form, also after "I", "they" and "to".
BOTH = """
    saw can fish man book watch duck plant ship sail hammer nail paint cook drink dress
    guard hand head oil rock ring water train
""".split()  # noqa: SIM905 - read as words, not as a list of strings
PRONOUNS = ("i", "you", "we", "they")
DETERMINERS = ("the", "a", "this", "that", "my", "your", "her", "their")
ADJECTIVES = ("old", "young", "rich", "poor", "brave", "sick")
"""Each is an adjective before a noun, and also a noun: the old, the poor."""
ADVERBS = """
    really truly often perhaps indeed surely maybe honestly frankly luckily sadly clearly
    however moreover probably certainly
""".split()  # noqa: SIM905 - read as words, not as a list of strings
MIN_PARENTHESIS = 3
"""Minimum tokens of a parenthesis: two commas with an adverb between them."""


class Word(NamedTuple):
    """A word, its label, and the position of the word that determines the label."""

    text: str
    label: str
    decider_offset: int | None = None
    """For an ambiguous word, the offset of the word that determines its label (negative: to the left); else None."""


TaggedWords = list[Word]


def build(
    seed: int = 0,
    *,
    train_size: int = 8_000,
    valid_size: int = 1_000,
    test_size: int = 2_000,
    farthest: int = 16,
) -> TaggedCorpus:
    """Generate sentences with the part of speech of each word: `i saw a saw` → `PRON VERB DET NOUN`.

    Nouns and verbs are the same two dozen words, equally often as either, so the word itself carries no information.
    The word that determines a label precedes it (`a … saw`, `i … saw`) or follows it (`they can fish` against `they
    can the fish`, `the old man the boat` against `the old man can the boat`), adjacent or, across a parenthesis of
    adverbs, up to `farthest` words distance: `i , really , often , saw a saw`.

    Args:
        seed: seed of the choice of words and sentences.
        train_size: number of training sentences.
        valid_size: number of validation sentences.
        test_size: number of test sentences.
        farthest: maximum distance between a word and the word that determines its label.

    Raises:
        OptionError: invalid sizes, or too few distinct sentences for them.

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
    rng = random.Random(seed)
    generated: dict[tuple[str, ...], TaggedWords] = {}
    total = train_size + valid_size + test_size
    for _ in range(50 * total):
        if len(generated) == total:
            break
        sentence = _random_sentence(rng, farthest)
        generated[tuple(word.text for word in sentence)] = sentence
    else:
        raise OptionError(
            f"only {len(generated):,} of {total:,} distinct sentences were generated; reduce the sizes, or raise "
            f"farthest above {farthest}."
        )
    sentences = list(generated.values())
    test, rest = sentences[:test_size], sentences[test_size:]
    return TaggedCorpus(
        train=_labelled(rest[valid_size:], "train"),
        valid=_labelled(rest[:valid_size], "valid"),
        test=_labelled(test, "test"),
        description=(
            f"Sentences of {len(BOTH)} words that are both noun and verb, with the part of speech of each word, which "
            f"a word up to {farthest} words away determines. Sentences of validation and test are in no training data."
        ),
        test_distances=tuple(tuple(word.decider_offset for word in sentence) for sentence in test),
    )


def _random_sentence(rng: random.Random, farthest: int) -> TaggedWords:
    return rng.choice(PATTERNS)(rng, farthest)


def _labelled(sentences: Sequence[TaggedWords], name: str) -> Labelled:
    return Labelled(
        [
            Sentence(tuple(word.text for word in sentence), tuple(word.label for word in sentence))
            for sentence in sentences
        ],
        name=f"saw ({name})",
    )


def _parenthesis(rng: random.Random, farthest: int) -> TaggedWords:
    """Return a parenthesis, possibly empty, such that the words around it are 1 to `farthest` apart."""
    count = rng.randrange(farthest)
    if count < MIN_PARENTHESIS:
        return []
    comma = Word(",", "PUNCT")
    adverbs = [Word(rng.choice(ADVERBS), "ADV") for _ in range(count - 2)]
    return [comma, *adverbs, comma]


def _noun_phrase(rng: random.Random, farthest: int) -> TaggedWords:
    """`the saw`, `the , really , saw`: the determiner determines the label."""
    parenthesis = _parenthesis(rng, farthest)
    noun = Word(rng.choice(BOTH), "NOUN", -1 - len(parenthesis))
    return [Word(rng.choice(DETERMINERS), "DET"), *parenthesis, noun]


def _object(rng: random.Random) -> TaggedWords:
    return _noun_phrase(rng, 1)


def _pronoun_subject(rng: random.Random, farthest: int) -> TaggedWords:
    """`i saw a saw`: the pronoun determines the label of the verb."""
    parenthesis = _parenthesis(rng, farthest)
    text = rng.choice(BOTH)
    # After a pronoun "can" may be the auxiliary; the determiner that follows disambiguates.
    decider_offset = 1 if text == "can" else -1 - len(parenthesis)
    return [
        Word(rng.choice(PRONOUNS), "PRON"),
        *parenthesis,
        Word(text, "VERB", decider_offset),
        *_noun_phrase(rng, farthest),
        Word(".", "PUNCT"),
    ]


def _infinitive(rng: random.Random, farthest: int) -> TaggedWords:
    """`to saw the plant is hard`: the verb follows its particle."""
    parenthesis = _parenthesis(rng, farthest)
    verb = Word(rng.choice(BOTH), "VERB", -1 - len(parenthesis))
    end = [
        Word("is", "AUX"),
        Word(rng.choice(("hard", "easy", "fun")), "ADJ"),
        Word(".", "PUNCT"),
    ]
    return [Word("to", "PART"), *parenthesis, verb, *_object(rng), *end]


def _can(rng: random.Random, farthest: int) -> TaggedWords:
    """`they can fish` and `they can the fish`: the next word distinguishes auxiliary and verb."""
    parenthesis = _parenthesis(rng, farthest)
    distance = 1 + len(parenthesis)
    subject = Word(rng.choice(PRONOUNS), "PRON")
    if rng.random() < 0.5:
        verb = Word(rng.choice(BOTH), "VERB", -distance)
        return [subject, Word("can", "AUX", distance), *parenthesis, verb, Word(".", "PUNCT")]
    noun = Word(rng.choice(BOTH), "NOUN", -1)
    determiner = Word(rng.choice(DETERMINERS), "DET")
    return [
        subject,
        Word("can", "VERB", distance),
        *parenthesis,
        determiner,
        noun,
        Word(".", "PUNCT"),
    ]


def _the_old_man(rng: random.Random, farthest: int) -> TaggedWords:
    """`the old man the boat` and `the old man can the boat`: the word after "man" disambiguates."""
    parenthesis = _parenthesis(rng, farthest - 1)
    distance = 1 + len(parenthesis)
    start, people = Word("the", "DET"), rng.choice(ADJECTIVES)
    if rng.random() < 0.5:
        subject = [Word(people, "NOUN", 1 + distance), Word(rng.choice(BOTH), "VERB", distance)]
        return [start, *subject, *parenthesis, *_object(rng), Word(".", "PUNCT")]
    subject = [Word(people, "ADJ", 1 + distance), Word(rng.choice(BOTH), "NOUN", distance)]
    verb = Word(rng.choice(BOTH), "VERB", 1)
    return [start, *subject, *parenthesis, verb, *_object(rng), Word(".", "PUNCT")]


PATTERNS: tuple[Callable[[random.Random, int], TaggedWords], ...] = (
    _pronoun_subject,
    _infinitive,
    _can,
    _the_old_man,
)
"""The grammar: sentence generators, equally likely."""
