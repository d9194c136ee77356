"""Which languages a translator translates between, told by its training files or its folder's name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from babel import Locale, UnknownLocaleError

_CODE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")


class LanguagePair(NamedTuple):
    """Codes of source and target."""

    source: str
    target: str


def language_pair(data: Any, name: str) -> LanguagePair:
    """Return the languages of a translator: the endings of its training files, its columns, or a name like en-de.

    Args:
        data: the section of its configuration.
        name: of its run folder.

    >>> from types import SimpleNamespace
    >>> language_pair(SimpleNamespace(train=("train.en.gz", "train.de"), columns=None), "mine")
    LanguagePair(source='en', target='de')
    >>> language_pair(SimpleNamespace(train=("builtin:dates",), columns=None), "dates")
    LanguagePair(source='source', target='target')
    """
    for found in _candidates(data, name):
        if len(found) == 2 and all(map(language_name, found)):
            return LanguagePair(*found)
    return LanguagePair("source", "target")


def _candidates(data: Any, name: str) -> Iterator[list[str]]:
    yield list(data.columns or ())
    yield [Path(each.removesuffix(".gz")).suffix.removeprefix(".") for each in data.train]
    yield re.split("[-_]", name)


def language_name(code: str) -> str:
    """Return the English name of a language; empty if there is none of this code.

    >>> language_name("de"), language_name("tsv")
    ('German', '')
    """
    if not _CODE.fullmatch(code):
        return ""
    try:
        return Locale.parse(code.replace("-", "_")).get_display_name("en") or ""
    except (UnknownLocaleError, ValueError):
        return ""
