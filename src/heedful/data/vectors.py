"""Pre-trained word vectors in the text format of word2vec, GloVe and fastText."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.data.files import iterate_lines
from heedful.errors import DataError, RunError

SIZES: Final = "vectors.json"


@dataclass(frozen=True)
class Vectors:
    """Some words of a file and their vectors, in the order of the file."""

    words: tuple[str, ...]
    values: NDArray[np.float32]
    """(words, width)."""


@dataclass(frozen=True, kw_only=True)
class VectorSizes:
    """What a run folder knows of the vectors that it was trained with."""

    width: int
    learned: int
    """Ids below this one have a learned embedding too; the words above have a vector alone."""
    found: int
    """Distinct training words that have a vector."""
    missing: int
    """Distinct training words that have none."""

    def save(self, folder: Path) -> None:
        """Write them into a run folder."""
        text = json.dumps(asdict(self), indent=0)
        (folder / SIZES).write_text(text + "\n", encoding="utf-8", newline="\n")

    @classmethod
    def load(cls, folder: Path) -> VectorSizes | None:
        """Read those of a run folder; None for a run without vectors.

        Raises: RunError for a damaged file.
        """
        path = folder / SIZES
        if not path.exists():
            return None
        try:
            values: Any = json.loads(path.read_text(encoding="utf-8"))
            found = cls(**values)
        except (OSError, ValueError, TypeError):
            raise RunError(f"{path}: damaged or cut short; copy it again.") from None
        if not all(isinstance(each, int) and each >= 0 for each in asdict(found).values()):
            raise RunError(f"{path}: damaged: sizes are wanted.")
        return found


def read_vectors(
    path: str | Path, wanted: Collection[str], *, others: int = 0, lowercase: bool = False
) -> Vectors:
    """Read the vectors of the words that are wanted, and of the first `others` words that are not.

    Each line is a word and its numbers, parted by spaces; a first line of two whole numbers (words and width) is
    a header. Of a word that stands there twice, and with `lowercase` of its forms, the first counts.

    Args:
        path: the file, plain or gzipped.
        wanted: words, in lower case if `lowercase`.
        others: how many words more to take; such files begin with the most frequent ones.
        lowercase: whether the file's words are taken in lower case.

    Raises: DataError naming file and line: a file that is missing, empty or not UTF-8; a line with other than as
        many numbers as the first, with what is no finite number; fewer words than the header promises.
    """
    words: dict[str, int] = {}
    rows: list[NDArray[np.float32]] = []
    for number, word, values in _lines(path):
        name = word.lower() if lowercase else word
        if name in words or not (name in wanted or others):
            continue
        if name not in wanted:
            others -= 1
        words[name] = len(rows)
        rows.append(_numbers(path, number, values))
    if not rows:
        raise DataError("no word of the training data has a vector in this file.", path=path)
    return Vectors(tuple(words), np.stack(rows))


def _lines(path: str | Path) -> Iterator[tuple[int, str, list[str]]]:
    """Yield line number, word and numbers as text, all of one width."""
    width = promised = read = 0
    for number, line in enumerate(iterate_lines(path), start=1):
        fields = line.rstrip(" ").split(" ")
        if number == 1 and len(fields) == 2 and all(each.isdecimal() for each in fields):
            promised, width = int(fields[0]), int(fields[1])
            continue
        if not line.strip():
            continue
        width = width or len(fields) - 1
        if not width or len(fields) <= width:
            raise DataError(
                f"the line has {len(fields) - 1} numbers after the word, and {width or 'some'} are wanted.",
                path=path,
                line=number,
            )
        read += 1
        # a few words of such files hold spaces themselves
        yield number, " ".join(fields[:-width]), fields[-width:]
    if not read:
        raise DataError("the file is empty: it holds no vector.", path=path)
    if read < promised:
        raise DataError(
            f"the first line promises {promised:,} words and the file has {read:,}: it was cut short.",
            path=path,
        )


def _numbers(path: str | Path, number: int, values: list[str]) -> NDArray[np.float32]:
    try:
        found = np.array(values, dtype=np.float32)
    except ValueError:
        raise DataError(
            "what follows the word are not all numbers; a word and its numbers are parted by single spaces.",
            path=path,
            line=number,
        ) from None
    if not np.isfinite(found).all():
        raise DataError("the vector holds NaN or infinity.", path=path, line=number)
    return found
