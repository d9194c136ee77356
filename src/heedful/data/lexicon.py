"""Whole tokens, characters or labels as ids: lists of entries, most frequent first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from heedful.errors import RunError

VOCABULARY: Final = "vocabulary.json"
"""The file of a run folder that holds its lexicons."""
RESERVED: Final = 2
"""Ids 0 and 1 are padding and unknown; entries come after them."""
_FORMAT: Final = "heedful lexicon 1"


@dataclass(frozen=True)
class Lexicon:
    """Entries with ids from 2 on; 0 is padding and 1 whatever is not an entry.

    >>> lexicon = Lexicon.learn(["b", "a", "b"])
    >>> lexicon.entries, lexicon.ids(["b", "z"]), len(lexicon)
    (('b', 'a'), [2, 1], 4)
    """

    entries: tuple[str, ...]
    index: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        numbered = {entry: number for number, entry in enumerate(self.entries, start=RESERVED)}
        object.__setattr__(self, "index", numbered)

    def __len__(self) -> int:
        """Count the ids, the two reserved ones among them."""
        return len(self.entries) + RESERVED

    @classmethod
    def learn(
        cls, items: Iterable[str], *, min_frequency: int = 1, size: int | None = None
    ) -> Self:
        """Take every item that occurs often enough, the most frequent first, equals by spelling."""
        counts = Counter(items)
        kept = [item for item, count in counts.items() if count >= min_frequency]
        kept.sort(key=lambda item: (-counts[item], item))
        return cls(tuple(kept[:size]))

    def ids(self, items: Iterable[str]) -> list[int]:
        """Return the id of each item."""
        find = self.index.get
        return [find(item, 1) for item in items]

    def __contains__(self, item: object) -> bool:
        return item in self.index


def save_lexicons(path: Path, lexicons: Mapping[str, Lexicon]) -> None:
    """Write lexicons as JSON, beside those that the file holds already; the same ones give the same bytes.

    An input and an answer each have lexicons, which share one file.
    """
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    entries = {name: list(each.entries) for name, each in lexicons.items()}
    content = {"format": _FORMAT, **before, **entries}
    text = json.dumps(content, ensure_ascii=False, indent=0)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def load_lexicons(path: Path, names: Sequence[str]) -> list[Lexicon]:
    """Read lexicons that `save_lexicons` wrote.

    Raises: RunError for a file that is missing, damaged, or something else.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path}: the vocabulary cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"{path}: the vocabulary is damaged or cut short ({error}); copy it again."
        ) from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise RunError(f"{path}: not a vocabulary that Heedful wrote ({_FORMAT!r} is wanted).")
    found: list[Any] = [content.get(name) for name in names]
    for entries in found:
        whole = isinstance(entries, list) and all(isinstance(entry, str) for entry in entries)
        if not whole or len(set(entries)) != len(entries):
            raise RunError(f"{path}: the vocabulary is damaged: its parts do not fit together.")
    return [Lexicon(tuple(entries)) for entries in found]
