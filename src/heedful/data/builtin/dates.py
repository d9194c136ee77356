"""The corpus `dates`: dates in the formats of several languages, translated to ISO 8601."""

from __future__ import annotations

import datetime
import random
import re
from collections.abc import Iterator
from functools import cache

from babel import Locale
from babel.dates import DateTimeFormat, parse_pattern

from heedful.data.builtin.corpus import Corpus, Links
from heedful.data.files import Pairs
from heedful.errors import OptionError

# Locale -> CLDR format and skeleton names. Numeric formats are included only if the separator implies the
# order: day.month.year (German), year first (Chinese, Japanese). Slashes with the day or the month first
# (3/5/2023) are ambiguous and excluded.
FORMATS: dict[str, tuple[str, ...]] = {
    "en": ("full", "long", "medium", "yMMMEd", "GyMMMd"),
    "en_GB": ("full", "long", "medium", "yMMMEd", "yMMMEEEEd"),
    "fr": ("full", "long", "medium", "yMMMEd"),
    "de": ("full", "long", "medium", "short", "yMd", "yMMMd", "yMMMEd", "yMEd"),
    "es": ("full", "long", "medium", "yMMMEd", "yMMMMEd"),
    "it": ("full", "long", "medium", "yMMMEd"),
    "zh": ("full", "long", "short", "yMMMEd", "yMEd", "GyMMMd"),
    "ja": ("full", "long", "short", "yMd", "yMMMEd", "yMEd"),
}

# A hundred years, so that a two-digit year (German "05.03.23") is unambiguous.
FIRST_DAY = datetime.date(1950, 1, 1)
LAST_DAY = datetime.date(2049, 12, 31)

# The characters of an ISO 8601 date that each CLDR field determines.
_ISO_POSITIONS = {"y": range(4), "M": range(5, 7), "d": range(8, 10)}


def build(
    seed: int = 0, *, train_size: int = 20_000, valid_size: int = 500, test_size: int = 1_000
) -> Corpus:
    """Generate dates in many formats; the target is `YYYY-MM-DD`.

    Validation and test dates are distinct, each in one random format, and occur in no training pair of any
    format. The result is deterministic.

    Args:
        seed: seed of the choice of dates and formats.
        train_size: number of training pairs; dates may repeat in other formats.
        valid_size: number of validation pairs.
        test_size: number of test pairs.

    Raises:
        OptionError: a size below 1, or no date left for training.

    Example:
        >>> corpus = build(train_size=3, valid_size=1, test_size=1)
        >>> len(corpus.train), corpus.test.target[0].count("-")
        (3, 2)
    """
    days = (LAST_DAY - FIRST_DAY).days + 1
    held_out_size = valid_size + test_size
    if min(train_size, valid_size, test_size) < 1 or held_out_size >= days:
        raise OptionError(
            f"sizes {train_size}, {valid_size} and {test_size} (train, valid, test) do not work: each "
            f"must be 1 or more, and the last two together less than {days:,}."
        )
    rng = random.Random(seed)
    dates = [FIRST_DAY + datetime.timedelta(number) for number in range(days)]
    rng.shuffle(dates)
    test, valid = dates[:test_size], dates[test_size:held_out_size]
    rest = dates[held_out_size:]
    train = [rng.choice(rest) for _ in range(train_size)]
    formats = {
        name: [(date, *_random_format(rng)) for date in part]
        for name, part in (("train", train), ("valid", valid), ("test", test))
    }
    pairs = {
        name: Pairs(
            ["".join(text for text, _ in _parts(*each)) for each in formats[name]],
            [date.isoformat() for date in part],
            name=f"dates ({name})",
        )
        for name, part in (("train", train), ("valid", valid), ("test", test))
    }
    return Corpus(
        **pairs,
        description=(
            f"Dates from {FIRST_DAY} to {LAST_DAY} in the date formats of "
            f"{', '.join(FORMATS)} (CLDR), to ISO 8601; dates of validation and test are in no training pair."
        ),
        test_links=tuple(format_date(*each)[1] for each in formats["test"]),
    )


def format_date(date: datetime.date, locale: str, format_name: str) -> tuple[str, Links]:
    """Format a date in one format of one locale, and align its characters with the ISO 8601 date.

    Fields of digits with the width of the target field are aligned one to one; all characters of other fields,
    such as month names, with the whole target field. Weekdays, eras and punctuation are not aligned.

    >>> format_date(datetime.date(2023, 3, 5), "en_GB", "medium")[0]
    '5 Mar 2023'
    """
    text = ""
    links: set[tuple[int, int]] = set()
    for value, field in _parts(date, locale, format_name):
        source = range(len(text), len(text) + len(value))
        target = _ISO_POSITIONS.get(field[:1], range(0))
        if len(source) == len(target) and value.isdecimal():
            links.update(zip(source, target, strict=True))
        else:
            links.update((i, j) for i in source for j in target)
        text += value
    return text, frozenset(links)


def _parts(date: datetime.date, locale: str, format_name: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of a formatted date, each with its CLDR field; literal text has none."""
    fields = DateTimeFormat(date, _locale(locale))
    for literal, field in _parse_format(locale, format_name):
        if literal:
            yield literal, ""
        if field:
            yield fields[field], field


_locale = cache(Locale.parse)


@cache
def _parse_format(locale: str, name: str) -> tuple[tuple[str, str], ...]:
    """Return a format as (literal text, the CLDR field after it) pairs; the last field is empty."""
    data = _locale(locale)
    pattern = (
        data.date_formats[name] if name in data.date_formats else data.datetime_skeletons[name]
    )
    parts = re.split(r"%\((\w+)\)s", str(parse_pattern(pattern.pattern).format))
    literals = [literal.replace("%%", "%") for literal in parts[0::2]]
    return tuple(zip(literals, [*parts[1::2], ""], strict=True))


def _random_format(rng: random.Random) -> tuple[str, str]:
    locale = rng.choice(tuple(FORMATS))
    return locale, rng.choice(FORMATS[locale])
