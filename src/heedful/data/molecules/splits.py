"""Divide molecules into training, validation and test parts: at random, by scaffold, and into folds."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from heedful.data.molecules.molecule import parse_smiles
from heedful.errors import DataError, OptionError, unknown_choice


class Split(NamedTuple):
    """Rows of the training, validation and test parts, each in ascending order."""

    train: tuple[int, ...]
    valid: tuple[int, ...]
    test: tuple[int, ...]


Sizes = tuple[float, float, float]
"""Shares of the training, validation and test parts; they sum to 1."""


def scaffold(smiles: str) -> str:
    """Return the SMILES of the Bemis–Murcko scaffold: the rings and what joins them, without side chains or chirality.

    Molecules without a ring share the empty scaffold. This is RDKit's `MurckoScaffoldSmiles`; its `MurckoDecompose`
    groups otherwise.

    >>> scaffold("CCOc1ccccc1"), scaffold("CCO")
    ('c1ccccc1', '')
    """
    from rdkit.Chem.Scaffolds import MurckoScaffold

    of: Any = MurckoScaffold.MurckoScaffoldSmiles
    text: str = of(mol=parse_smiles(smiles), includeChirality=False)
    return text


def random_split(smiles: Sequence[str], sizes: Sizes, seed: int) -> Split:
    """Shuffle the rows by `seed` and cut them.

    >>> [len(part) for part in random_split(["C"] * 10, (0.8, 0.1, 0.1), seed=0)]
    [8, 1, 1]
    """
    rows = list(range(len(smiles)))
    random.Random(seed).shuffle(rows)
    first, second = round(sizes[0] * len(rows)), round((sizes[0] + sizes[1]) * len(rows))
    return _split(rows[:first], rows[first:second], rows[second:])


def scaffold_split(smiles: Sequence[str], sizes: Sizes, seed: int = 0) -> Split:
    """Deal out groups of one scaffold, the largest first, each to the first part that has room: the same for any seed.

    The groups of equal size come in the order of their first molecule, latest first, as in MoleculeNet
    (Wu et al. 2018, https://arxiv.org/abs/1703.00564).
    """
    groups = sorted(_groups(smiles), key=lambda rows: (len(rows), rows[0]), reverse=True)
    return _deal(groups, sizes, len(smiles))


def balanced_scaffold_split(smiles: Sequence[str], sizes: Sizes, seed: int) -> Split:
    """Deal out groups of one scaffold in an order drawn by `seed`, as chemprop does.

    Groups larger than half of the validation or test part come first, so that they go to training.
    """
    groups = _groups(smiles)
    half = min(sizes[1], sizes[2]) * len(smiles) / 2
    large = [rows for rows in groups if len(rows) > half]
    small = [rows for rows in groups if len(rows) <= half]
    generator = random.Random(seed)
    generator.shuffle(large)
    generator.shuffle(small)
    return _deal(large + small, sizes, len(smiles))


SPLITS: Final[dict[str, Callable[[Sequence[str], Sizes, int], Split]]] = {
    "random": random_split,
    "scaffold": scaffold_split,
    "scaffold_balanced": balanced_scaffold_split,
}


def split_molecules(
    smiles: Sequence[str], kind: str, *, sizes: Sizes = (0.8, 0.1, 0.1), seed: int = 0
) -> Split:
    """Divide molecules; no part that is asked for is empty.

    Args:
        smiles: the molecules.
        kind: a name from `SPLITS`.
        sizes: shares of the three parts; a share of 0 leaves a part out.
        seed: of the splits that have several outcomes.

    Raises: OptionError for another kind, for shares that are no shares, or for a part that would be empty.
    """
    if kind not in SPLITS:
        raise unknown_choice("split", kind, SPLITS)
    if len(sizes) != 3 or min(sizes) < 0 or abs(sum(sizes) - 1) > 1e-6:
        raise OptionError(f"the sizes of the parts are {sizes}; give three shares that sum to 1.")
    found = SPLITS[kind](smiles, sizes, seed)
    for part, size, name in zip(found, sizes, Split._fields, strict=True):
        if size and not part:
            raise OptionError(
                f"the {kind} split of {len(smiles)} molecules leaves nothing for {name}; give more molecules, or "
                "another split."
            )
    return found


def folds(smiles: Sequence[str], count: int, seed: int) -> list[Split]:
    """Return `count` splits: each has one fold for test, the next one for validation, and trains on the others.

    Raises: OptionError for fewer than 3 folds, or more folds than molecules.
    """
    if not 3 <= count <= len(smiles):
        raise OptionError(
            f"{count} folds of {len(smiles)} molecules; give 3 or more, at most one a molecule."
        )
    rows = list(range(len(smiles)))
    random.Random(seed).shuffle(rows)
    parts = [rows[start::count] for start in range(count)]
    found = []
    for number in range(count):
        others = [part for i, part in enumerate(parts) if i not in (number, (number + 1) % count)]
        train = [row for part in others for row in part]
        found.append(_split(train, parts[(number + 1) % count], parts[number]))
    return found


def save_splits(path: Path, splits: Sequence[Split]) -> None:
    """Write the text of `splits_to_json` to a file."""
    path.write_text(splits_to_json(splits), encoding="utf-8", newline="\n")


def splits_to_json(splits: Sequence[Split]) -> str:
    """Return splits as JSON: a list of objects with the rows of train, val and test, counted from 0, as chemprop's."""
    content = [{"train": s.train, "val": s.valid, "test": s.test} for s in splits]
    return json.dumps(content) + "\n"


def load_splits(path: Path, count: int) -> list[Split]:
    """Read what `save_splits` wrote, or chemprop's file: rows as lists, or as text such as "0-9,12".

    Args:
        path: the file.
        count: number of molecules.

    Raises: DataError for another content, a row outside the table, or a row in two parts.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        splits = [
            Split(*(_rows(each.get(part, []), count) for part in ("train", "val", "test")))
            for each in content
        ]
    except (ValueError, AttributeError, TypeError, OverflowError, RecursionError):
        raise DataError(
            'expected a list of objects such as {"train": [0, 1], "val": [2], "test": [3]}.',
            path=path,
        ) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}.", path=path) from None
    for number, split in enumerate(splits, start=1):
        rows = [row for part in split for row in part]
        outside = next((row for row in rows if not 0 <= row < count), None)
        if outside is not None:
            raise DataError(
                f"split {number} names row {outside}; the table has rows 0 to {count - 1}.",
                path=path,
            )
        if len(set(rows)) < len(rows):
            raise DataError(f"split {number} names a row twice.", path=path)
    return splits


def _rows(written: Any, count: int) -> tuple[int, ...]:
    """Return the rows of a part; of a range that leaves the table the first row outside is the last one.

    Raises: ValueError for what is no row.
    """
    found: list[int] = []
    if isinstance(written, str):
        for part in filter(None, written.split(",")):
            first, _, last = part.partition("-")
            found += range(int(first), min(int(last or first), max(int(first), count)) + 1)
    else:
        for row in written:
            if isinstance(row, bool) or row != (found_row := int(row)):
                raise ValueError
            found.append(found_row)
    return tuple(sorted(found))


def _groups(smiles: Sequence[str]) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for row, each in enumerate(smiles):
        groups.setdefault(scaffold(each), []).append(row)
    return list(groups.values())


def _deal(groups: Sequence[Sequence[int]], sizes: Sizes, count: int) -> Split:
    """Put each group into training while it has room, else into validation while it has, else into test."""
    train: list[int] = []
    valid: list[int] = []
    test: list[int] = []
    for rows in groups:
        if len(train) + len(rows) <= sizes[0] * count:
            train += rows
        elif len(valid) + len(rows) <= sizes[1] * count:
            valid += rows
        else:
            test += rows
    return _split(train, valid, test)


def _split(train: Sequence[int], valid: Sequence[int], test: Sequence[int]) -> Split:
    return Split(*(tuple(sorted(part)) for part in (train, valid, test)))
