"""Mappings of whole tokens, characters or labels to ids, most frequent first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from heedful.atomic_files import write_text
from heedful.data.words import RULES
from heedful.errors import RunError, shown
from heedful.stored_files import read_json

VOCABULARY: Final = "vocabulary.json"
"""The file of a run folder that holds its lexicons."""
RESERVED: Final = 2
"""Number of reserved ids: 0 is padding, 1 unknown; entries follow."""
_FORMATS: Final = {f"heedful lexicon {rules}": rules for rules in range(1, RULES + 1)}
"""Format of a file -> the version of the rules that its entries were learned by (`heedful.data.words.RULES`)."""


@dataclass(frozen=True)
class Lexicon:
    """Maps entries to ids from 2 on; 0 is padding and 1 is unknown.

    >>> lexicon = Lexicon.learn(["b", "a", "b"])
    >>> lexicon.entries, lexicon.ids(["b", "z"]), len(lexicon)
    (('b', 'a'), [2, 1], 4)
    """

    entries: tuple[str, ...]
    index: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {entry: number for number, entry in enumerate(self.entries, start=RESERVED)}
        object.__setattr__(self, "index", index)

    def __len__(self) -> int:
        """Return the number of ids, including the two reserved ones."""
        return len(self.entries) + RESERVED

    @classmethod
    def learn(
        cls, items: Iterable[str] | Counter[str], *, min_frequency: int = 1, size: int | None = None
    ) -> Self:
        """Build a lexicon of the `size` most frequent items that occur `min_frequency` times; ties are sorted.

        `items` are with repetitions, or how often each occurs.
        """
        counts = Counter(items)
        kept = [item for item, count in counts.items() if count >= min_frequency]
        kept.sort(key=lambda item: (-counts[item], item))
        return cls(tuple(kept[:size]))

    def union(self, other: Lexicon) -> Lexicon:
        """Return a lexicon with the same ids for these entries, then the new ones of `other`.

        >>> Lexicon(("a", "b")).union(Lexicon(("c", "a"))).entries
        ('a', 'b', 'c')
        """
        return Lexicon(tuple(dict.fromkeys((*self.entries, *other.entries))))

    def ids(self, items: Iterable[str]) -> list[int]:
        """Return the id of each item; 1 for unknown ones."""
        get = self.index.get
        return [get(item, 1) for item in items]

    def __contains__(self, item: object) -> bool:
        return item in self.index


def save_lexicons(path: Path, lexicons: Mapping[str, Lexicon], *, rules: int = RULES) -> None:
    """Write lexicons as JSON, keeping others that the file already holds. The output is deterministic.

    The lexicons of the input and of the answer share one file, and the version of the rules of the input.

    Raises: RunError when the file that is there is damaged.
    """
    existing = _read(path) if path.exists() else {}
    entries = {name: list(lexicon.entries) for name, lexicon in lexicons.items()}
    content = {"format": f"heedful lexicon {rules}", **existing, **entries}
    text = json.dumps(content, ensure_ascii=False, indent=0)
    write_text(path, text + "\n")


def load_rules(path: Path) -> int:
    """Return the version of the rules by which the entries of a file were learned.

    Raises: RunError as `load_lexicons`.
    """
    return _FORMATS[_read(path)["format"]]


def load_lexicons(path: Path, names: Sequence[str]) -> list[Lexicon]:
    """Load the named lexicons from a file written by `save_lexicons`.

    Raises: RunError for a file that is missing, damaged, or in another format.
    """
    content = _read(path)
    loaded: list[Any] = [content.get(name) for name in names]
    for entries in loaded:
        valid = isinstance(entries, list) and all(isinstance(entry, str) for entry in entries)
        if not valid or len(set(entries)) != len(entries):
            raise RunError(
                f"{path}: the vocabulary is damaged: its parts are inconsistent; copy it again."
            )
    return [Lexicon(tuple(entries)) for entries in loaded]


def _read(path: Path) -> dict[str, Any]:
    content: Any = read_json(path)
    if not isinstance(content, dict) or content.get("format") not in tuple(_FORMATS):
        raise RunError(
            f"{path}: not a vocabulary written by Heedful (expected format {shown(list(_FORMATS)[-1])})."
        )
    return content
