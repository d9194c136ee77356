"""The corpus `numbers`: number words in English, translated to number words in another language."""

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

# The words that larger numbers are composed of; these numbers occur in training only.
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
    """Generate numbers below a million: `fr: twenty-one` → `vingt et un`.

    The source begins with the code of the target language and a colon, so one model serves all languages. Numbers
    of 3, 4, 5 and 6 digits are about equally frequent. Validation and test numbers are distinct, each in one random
    language, and occur in no training pair of any language. Numbers below 100 are training pairs in every language.

    Args:
        seed: seed of the choice of numbers and languages.
        train_size: number of training pairs.
        valid_size: number of validation pairs.
        test_size: number of test pairs.
        languages: codes from `LANGUAGES`.

    Raises:
        OptionError: an unknown language, no language, or invalid sizes.

    Example:
        >>> corpus = build(train_size=400, valid_size=1, test_size=1)
        >>> dict(corpus.train)["fr: twenty-one"]
        'vingt et un'
    """
    for code in languages:
        if code not in LANGUAGES:
            raise unknown_choice("language", code, LANGUAGES)
    least = max(1, ALWAYS_TRAINED * len(languages))
    held_out_size = valid_size + test_size
    sizes_fit = min(valid_size, test_size) >= 1 and held_out_size <= _LIMIT // 10
    if not languages or train_size < least or not sizes_fit:
        raise OptionError(
            f"sizes {train_size}, {valid_size} and {test_size} (train, valid, test) with "
            f"{len(languages)} languages do not work: train must be {least} or more, the others 1 or more "
            f"and {_LIMIT // 10:,} at most together, and there must be one language or more."
        )
    rng = random.Random(seed)
    held_out: dict[int, None] = {}
    while len(held_out) < held_out_size:
        held_out[_random_number(rng)] = None
    numbers = list(held_out)
    train = [(number, code) for number in range(ALWAYS_TRAINED) for code in languages]
    while len(train) < train_size:
        number = _random_number(rng)
        if number not in held_out:
            train.append((number, rng.choice(languages)))
    rng.shuffle(train)
    test = [(number, rng.choice(languages)) for number in numbers[:test_size]]
    valid = [(number, rng.choice(languages)) for number in numbers[test_size:]]
    return Corpus(
        train=_pairs(train, "train"),
        valid=_pairs(valid, "valid"),
        test=_pairs(test, "test"),
        description=(
            f"Numbers below {_LIMIT:,} in English words, to "
            f"{', '.join(LANGUAGES[code] for code in languages)} (num2words), the language "
            "named first (`fr: twenty-one`); numbers of validation and test are in no training pair."
        ),
    )


def _random_number(rng: random.Random) -> int:
    digits = rng.choice(DIGITS)
    return rng.randrange(10 ** (digits - 1), 10**digits)


def _pairs(items: list[tuple[int, str]], name: str) -> Pairs:
    return Pairs(
        [f"{code}: {num2words(number, lang='en')}" for number, code in items],
        [str(num2words(number, lang=code)) for number, code in items],
        name=f"numbers ({name})",
    )
