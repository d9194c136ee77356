"""Reader of pre-trained word vectors in the text format of word2vec, GloVe and fastText."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.atomic_files import write_text
from heedful.data.files import iterate_lines
from heedful.data.words import canonical
from heedful.errors import DataError, RunError
from heedful.stored_files import read_json

SIZES: Final = "vectors.json"
"""The file of a run folder that holds the `VectorSizes`."""
_COUNT: Final = re.compile("[0-9]{1,18}")


@dataclass(frozen=True)
class Vectors:
    """Words and their vectors, in the order of the file."""

    words: tuple[str, ...]
    values: NDArray[np.float32]
    """(words, width)."""


@dataclass(frozen=True, kw_only=True)
class VectorSizes:
    """Counts about the pre-trained vectors of a run."""

    width: int
    learned: int
    """Ids below this one have a learned embedding as well; the others have only a vector."""
    found: int
    """Number of distinct training words with a vector."""
    missing: int
    """Number of distinct training words without a vector."""

    def save(self, folder: Path) -> None:
        """Write the counts into a run folder."""
        text = json.dumps(asdict(self), indent=0)
        write_text(folder / SIZES, text + "\n")

    @classmethod
    def load(cls, folder: Path) -> VectorSizes | None:
        """Load the counts of a run folder; None for a run without vectors.

        Raises: RunError for a damaged file.
        """
        path = folder / SIZES
        if not path.exists():
            return None
        values: Any = read_json(path)
        try:
            sizes = cls(**values)
        except TypeError:
            raise RunError(f"{path}: damaged or truncated; copy it again.") from None
        known = asdict(sizes).values()
        if not all(isinstance(size, int) and 0 <= size < 2**53 for size in known):
            raise RunError(f"{path}: damaged: expected sizes of 0 or more; copy it again.")
        return sizes


def read_vectors(
    path: str | Path, wanted: Collection[str], *, others: int = 0, lowercase: bool = False
) -> Vectors:
    """Read the vectors of the words in `wanted`, and of the first `others` further words.

    Each line is a word and its numbers, separated by spaces. A first line of two integers (word count and width)
    is a header. Words are compared in their `canonical` form. Of duplicate words, also after lower-casing, the first
    is used.

    Args:
        path: the file, plain or gzipped.
        wanted: the words to read, in their canonical form, and in lower case if `lowercase`.
        others: the number of further words to read; such files are sorted by decreasing frequency.
        lowercase: whether to lower-case the words of the file.

    Raises: DataError naming file and line, for a file that is missing, empty or not UTF-8, a line with too few
        numbers or with a value that is not a finite number, and fewer words than the header declares.
    """
    words: dict[str, int] = {}
    rows: list[NDArray[np.float32]] = []
    for number, word, values in _lines(path):
        name = canonical(word)
        name = name.lower() if lowercase else name
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
    """Lazily yield (line number, word, numbers as strings), all with the same count of numbers."""
    width = declared = read = 0
    for number, line in enumerate(iterate_lines(path, advice=""), start=1):
        fields = line.rstrip(" ").split(" ")
        if number == 1 and len(fields) == 2 and all(map(_COUNT.fullmatch, fields)):
            declared, width = int(fields[0]), int(fields[1])
            continue
        if not line.strip():
            continue
        width = width or len(fields) - 1
        if not width or len(fields) <= width:
            raise DataError(
                f"the line has {len(fields) - 1} numbers after the word; expected {width or '1 or more'}.",
                path=path,
                line=number,
            )
        read += 1
        # Such files contain a few words with spaces.
        yield number, " ".join(fields[:-width]), fields[-width:]
    if not read:
        raise DataError("the file is empty: it holds no vector.", path=path)
    if read < declared:
        raise DataError(
            f"the header declares {declared:,} words but the file has {read:,}: it is truncated; copy it again.",
            path=path,
        )


def _numbers(path: str | Path, number: int, values: list[str]) -> NDArray[np.float32]:
    try:
        vector = np.array(values, dtype=np.float32)
    except ValueError:
        raise DataError(
            "not all values after the word are numbers; separate a word and its numbers by single spaces.",
            path=path,
            line=number,
        ) from None
    if not np.isfinite(vector).all():
        raise DataError(
            "the vector holds NaN or infinity; remove the line.", path=path, line=number
        )
    return vector
