"""The corpus `numbers`: numbers in English words, and the same in the words of another language."""

from __future__ import annotations

import random

from num2words import num2words

from heedful.data.builtin.corpus import Corpus
from heedful.data.files import Pairs
from heedful.errors import OptionError, unknown_choice

LANGUAGES: dict[str, str] = {
    "fr": "French",
    "de": "German",
    "es": "Spanish",
    "it": "Italian",
    "nl": "Dutch",
    "pt": "Portuguese",
    "pl": "Polish",
    "ru": "Russian",
}

# The words that every larger number is made of: asked in training only.
ALWAYS_TRAINED = 100
DIGITS = range(3, 7)
_LIMIT = 10 ** DIGITS[-1]


def build(
    seed: int = 0,
    *,
    train_size: int = 20_000,
    valid_size: int = 500,
    test_size: int = 1_000,
    languages: tuple[str, ...] = ("fr", "de", "es"),
) -> Corpus:
    """Ask for numbers below a million: `fr: twenty-one` → `vingt et un`.

    The source begins with the code of the language wanted and a colon, so that one model serves all
    languages and the source alone decides the answer. Numbers of 3, 4, 5 and 6 digits are about equally frequent.
    Each validation and test pair is a number of its own, in one language chosen by chance; no such number is in
    the training pairs in any language. Numbers below 100 are always training pairs, in every language.

    Args:
        seed: of the choice of numbers and languages.
        train_size: how many training pairs.
        valid_size: how many numbers are kept for validation.
        test_size: how many numbers are kept for the test.
        languages: codes from `LANGUAGES`.

    Raises:
        OptionError: an unknown language or none, or sizes that do not work.

    Example:
        >>> corpus = build(train_size=400, valid_size=1, test_size=1)
        >>> dict(corpus.train)["fr: twenty-one"]
        'vingt et un'
    """
    for code in languages:
        if code not in LANGUAGES:
            raise unknown_choice("language", code, LANGUAGES)
    least = max(1, ALWAYS_TRAINED * len(languages))
    kept = valid_size + test_size
    if not languages or train_size < least or min(valid_size, test_size) < 1 or kept > _LIMIT // 10:
        raise OptionError(
            f"sizes {train_size}, {valid_size} and {test_size} (train, valid, test) with "
            f"{len(languages)} languages do not work: train must be {least} or more, the others 1 or more "
            f"and {_LIMIT // 10:,} at most together, and one language or more is wanted."
        )
    chance = random.Random(seed)
    numbers: dict[int, None] = {}
    while len(numbers) < kept:
        numbers[_any_number(chance)] = None
    held = list(numbers)
    questions = [(number, code) for number in range(ALWAYS_TRAINED) for code in languages]
    while len(questions) < train_size:
        number = _any_number(chance)
        if number not in numbers:
            questions.append((number, chance.choice(languages)))
    chance.shuffle(questions)
    test = [(number, chance.choice(languages)) for number in held[:test_size]]
    valid = [(number, chance.choice(languages)) for number in held[test_size:]]
    return Corpus(
        train=_pairs(questions, "train"),
        valid=_pairs(valid, "valid"),
        test=_pairs(test, "test"),
        description=(
            f"Numbers below {_LIMIT:,} in English words, to "
            f"{', '.join(LANGUAGES[code] for code in languages)} (num2words), the language "
            "named first (`fr: twenty-one`); numbers of validation and test are in no training pair."
        ),
    )


def _any_number(chance: random.Random) -> int:
    digits = chance.choice(DIGITS)
    return chance.randrange(10 ** (digits - 1), 10**digits)


def _pairs(questions: list[tuple[int, str]], name: str) -> Pairs:
    return Pairs(
        [f"{code}: {num2words(number, lang='en')}" for number, code in questions],
        [str(num2words(number, lang=code)) for number, code in questions],
        name=f"numbers ({name})",
    )
