"""The corpus `dates`: dates as people write them in several languages, and the same in ISO 8601."""

from __future__ import annotations

import datetime
import random
import re
from functools import cache

from babel import Locale
from babel.dates import DateTimeFormat, parse_pattern

from heedful.data.builtin.corpus import Corpus, Links
from heedful.data.files import Pairs
from heedful.errors import OptionError

# Names of CLDR formats and skeletons. Purely numeric forms are here only where the separator tells the
# order: dots are day.month.year (German), year first is year-month-day (Chinese, Japanese). Forms with
# slashes and the day or the month first (3/5/2023) mean two dates, so no locale contributes them.
FORMS: dict[str, tuple[str, ...]] = {
    "en": ("full", "long", "medium", "yMMMEd", "GyMMMd"),
    "en_GB": ("full", "long", "medium", "yMMMEd", "yMMMEEEEd"),
    "fr": ("full", "long", "medium", "yMMMEd"),
    "de": ("full", "long", "medium", "short", "yMd", "yMMMd", "yMMMEd", "yMEd"),
    "es": ("full", "long", "medium", "yMMMEd", "yMMMMEd"),
    "it": ("full", "long", "medium", "yMMMEd"),
    "zh": ("full", "long", "short", "yMMMEd", "yMEd", "GyMMMd"),
    "ja": ("full", "long", "short", "yMd", "yMMMEd", "yMEd"),
}

# A hundred years, so that a year of two digits (German "05.03.23") names one year only.
FIRST_DAY = datetime.date(1950, 1, 1)
LAST_DAY = datetime.date(2049, 12, 31)

# Where ISO 8601 writes what each CLDR field says.
_TARGET = {"y": range(4), "M": range(5, 7), "d": range(8, 10)}


def build(
    seed: int = 0, *, train_size: int = 20_000, valid_size: int = 500, test_size: int = 1_000
) -> Corpus:
    """Write dates in many ways; the answer is `YYYY-MM-DD`.

    Each validation and test pair is a date of its own, in one form chosen by chance; no such date is in the
    training pairs in any form. The same seed always gives the same corpus.

    Args:
        seed: of the choice of dates and forms.
        train_size: how many training pairs; dates come again in other forms.
        valid_size: how many dates are kept for validation.
        test_size: how many dates are kept for the test.

    Raises:
        OptionError: a size below 1, or so many dates kept that none is left for training.

    Example:
        >>> corpus = build(train_size=3, valid_size=1, test_size=1)
        >>> len(corpus.train), corpus.test.target[0].count("-")
        (3, 2)
    """
    days = (LAST_DAY - FIRST_DAY).days + 1
    kept = valid_size + test_size
    if min(train_size, valid_size, test_size) < 1 or kept >= days:
        raise OptionError(
            f"sizes {train_size}, {valid_size} and {test_size} (train, valid, test) do not work: each "
            f"must be 1 or more, and the last two together less than {days:,}."
        )
    chance = random.Random(seed)
    dates = [FIRST_DAY + datetime.timedelta(number) for number in range(days)]
    chance.shuffle(dates)
    test, valid, rest = dates[:test_size], dates[test_size:kept], dates[kept:]
    train = [chance.choice(rest) for _ in range(train_size)]
    written = {
        name: [write(date, *_any_form(chance)) for date in part]
        for name, part in (("train", train), ("valid", valid), ("test", test))
    }
    pairs = {
        name: Pairs(
            [text for text, _ in written[name]],
            [date.isoformat() for date in part],
            name=f"dates ({name})",
        )
        for name, part in (("train", train), ("valid", valid), ("test", test))
    }
    return Corpus(
        **pairs,
        description=(
            f"Dates from {FIRST_DAY} to {LAST_DAY} as people write them in "
            f"{', '.join(FORMS)} (CLDR), to ISO 8601; dates of validation and test are in no training pair."
        ),
        test_links=tuple(links for _, links in written["test"]),
    )


def write(date: datetime.date, locale: str, form: str) -> tuple[str, Links]:
    """Write a date in one form of one locale, and say which characters give which of the answer.

    Digits that stand for digits are linked one to one; a name, or a number of another width, is linked as a
    whole with the whole field of the answer. Weekdays, eras and signs are linked with nothing.

    >>> write(datetime.date(2023, 3, 5), "en_GB", "medium")[0]
    '5 Mar 2023'
    """
    fields = DateTimeFormat(date, Locale.parse(locale))
    text = ""
    links: set[tuple[int, int]] = set()
    for literal, field in _parts(locale, form):
        text += literal
        if field:
            value = fields[field]
            source, target = (
                range(len(text), len(text) + len(value)),
                _TARGET.get(field[0], range(0)),
            )
            if len(source) == len(target) and value.isdecimal():
                links.update(zip(source, target, strict=True))
            else:
                links.update((i, j) for i in source for j in target)
            text += value
    return text, frozenset(links)


@cache
def _parts(locale: str, form: str) -> tuple[tuple[str, str], ...]:
    """Return a form as (literal text, the CLDR field after it), the last field empty."""
    data = Locale.parse(locale)
    known = data.date_formats[form] if form in data.date_formats else data.datetime_skeletons[form]
    pieces = re.split(r"%\((\w+)\)s", str(parse_pattern(known.pattern).format))
    literals = [literal.replace("%%", "%") for literal in pieces[0::2]]
    return tuple(zip(literals, [*pieces[1::2], ""], strict=True))


def _any_form(chance: random.Random) -> tuple[str, str]:
    locale = chance.choice(tuple(FORMS))
    return locale, chance.choice(FORMS[locale])
