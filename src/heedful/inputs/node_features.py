"""What the columns of a table of nodes become: numbers, categories and words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from heedful.atomic_files import write_text
from heedful.data.graphs.graph import Column, SparseNumbers
from heedful.data.lexicon import RESERVED, Lexicon
from heedful.data.number import number_advice, read_number
from heedful.data.words import canonical
from heedful.errors import DataError, RunError, listed, shown
from heedful.stored_files import read_json
from heedful.strict_json import to_strict_json

Kind = Literal["number", "category", "text", "sparse"]
_WORD: Final = re.compile(r"\w+")
_WORDS_OF_A_TEXT: Final = 1.5
"""Words a field from which on a column is a text."""
_LARGEST: Final = 1e18


@dataclass(frozen=True)
class ColumnSpec:
    """What is learned of one column."""

    name: str
    kind: Kind
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    entries: tuple[str, ...] = ()
    """Words or categories."""
    width: int = 0
    """Of sparse numbers."""

    @property
    def numbers(self) -> int:
        """How many numbers it has of a node."""
        return len(self.mean)

    @property
    def size(self) -> int:
        """How many entries it knows."""
        return self.width if self.kind == "sparse" else len(self.entries)


Values = Mapping[str, Column | SparseNumbers]


@dataclass(frozen=True)
class FeatureTable:
    """What is learned of all columns: how rows become numbers and entries.

    >>> table = FeatureTable.learn({"age": ["1", "3"], "words": ["a b", "b c"]}, min_frequency=1)
    >>> numbers, entries = table.encode({"age": ["3", ""], "words": ["c c d", "a"]}, 2)
    >>> numbers.tolist(), entries.columns.tolist(), entries.values.tolist()
    ([[1.0], [0.0]], [2, 1], [1.0, 1.0])
    """

    columns: tuple[ColumnSpec, ...]
    of: str = "nodes"
    """What the rows are, for errors."""

    @classmethod
    def learn(
        cls,
        values: Values,
        *,
        of: str = "nodes",
        categories: Sequence[str] = (),
        texts: Sequence[str] = (),
        min_frequency: int = 1,
    ) -> Self:
        """Tell numbers, categories and texts apart, and learn each.

        Raises: DataError for numbers that are not finite.
        """
        found = []
        for name, column in values.items():
            if isinstance(column, SparseNumbers):
                found.append(ColumnSpec(name, "sparse", width=column.width))
            elif isinstance(column, np.ndarray):
                found.append(_number_spec(name, _as_matrix(column)))
            else:
                found.append(_learn_texts(name, column, categories, texts, min_frequency))
        return cls(tuple(found), of)

    @property
    def numbers(self) -> int:
        """How many numbers a row has."""
        return sum(column.numbers for column in self.columns)

    @property
    def size(self) -> int:
        """How many entries are known."""
        return sum(column.size for column in self.columns)

    def encode(self, values: Values, rows: int) -> tuple[NDArray[np.float32], SparseNumbers]:
        """Return standardized numbers (rows, numbers), 0 where they are missing, and the entries of each row.

        Raises: DataError for a column that is missing or of another kind, and for a field that is no number.
        """
        numbers, parts, first = [np.zeros((rows, 0), np.float32)], [], 0
        for spec in self.columns:
            if spec.name not in values:
                raise DataError(
                    f"the {self.of} have no feature {shown(spec.name)}; their features are: {listed(values) or 'none'}."
                )
            column = values[spec.name]
            if spec.kind == "number":
                numbers.append(_standardized(spec, column))
            else:
                parts.append(_entries(spec, column, first))
                first += spec.size
        return np.concatenate(numbers, axis=1), _joined(parts, rows, self.size)

    def save(self, path: Path) -> None:
        """Write the columns as JSON."""
        columns = [
            {"name": each.name, "kind": each.kind, "mean": each.mean, "scale": each.scale, "entries": each.entries,
             "width": each.width}
            for each in self.columns
        ]  # fmt: skip
        write_text(path, to_strict_json({"columns": columns}, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path, of: str = "nodes") -> Self:
        """Read what `save` wrote.

        Raises: RunError for a file that is missing or damaged.
        """
        content = read_json(path)
        try:
            return cls(tuple(map(_spec_of, content["columns"])), of)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise RunError(f"{path} is damaged; copy the run folder again or train anew") from None


def _spec_of(values: Any) -> ColumnSpec:
    mean, scale = (tuple(map(float, values[name])) for name in ("mean", "scale"))
    spec = ColumnSpec(
        values["name"], values["kind"], mean, scale, tuple(values["entries"]), int(values["width"])
    )
    entries = set(spec.entries)
    right = (
        isinstance(spec.name, str)
        and spec.kind in ("number", "category", "text", "sparse")
        and len(mean) == len(scale)
        and all(isinstance(each, str) for each in entries)
        and len(entries) == len(spec.entries)
        and bool(np.isfinite([*mean, *scale]).all())
        and all(each > 0 for each in scale)
        and 0 <= spec.width < 2**31
    )
    if not right:
        raise ValueError(spec.name)
    return spec


def _as_matrix(column: NDArray[np.float32]) -> NDArray[np.float32]:
    return column[:, None] if column.ndim == 1 else column


def _number_spec(name: str, matrix: NDArray[Any]) -> ColumnSpec:
    if np.isinf(matrix).any() or (np.abs(matrix[~np.isnan(matrix)]) > _LARGEST).any():
        raise DataError(
            f"the feature {shown(name)} holds infinity or numbers above {_LARGEST:g}; correct or rescale it."
        )
    wide = matrix.astype(np.float64)
    known = ~np.isnan(wide)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, wide, 0).sum(axis=0) / count
    scale = np.sqrt(np.where(known, (wide - mean) ** 2, 0).sum(axis=0) / count)
    return ColumnSpec(
        name, "number", tuple(mean.tolist()), tuple(np.where(scale > 0, scale, 1.0).tolist())
    )


def _learn_texts(
    name: str, column: Sequence[str], categories: Sequence[str], texts: Sequence[str], minimum: int
) -> ColumnSpec:
    if name in categories:
        return _lexicon_spec(name, "category", column, minimum)
    if name in texts:
        return _lexicon_spec(name, "text", column, minimum)
    # The column may be long: it is read field by field, as often as needed.
    written = sum(1 for field in column if field.strip())
    if written and all(read_number(field) is not None for field in column if field.strip()):
        return _number_spec(name, _parsed(name, column))
    words = sum(len(_WORD.findall(field)) for field in column)
    many = words > _WORDS_OF_A_TEXT * written
    return _lexicon_spec(name, "text" if many else "category", column, minimum)


def _lexicon_spec(name: str, kind: Kind, column: Sequence[str], minimum: int) -> ColumnSpec:
    items = chain.from_iterable(set(_items(kind, field)) for field in column)
    lexicon = Lexicon.learn(items, min_frequency=minimum)
    return ColumnSpec(name, kind, entries=lexicon.entries)


def _items(kind: Kind, field: str) -> list[str]:
    """Return the category, or the distinct words of a field."""
    plain = canonical(field.strip())
    if kind == "category":
        return [plain] if plain else []
    return list(dict.fromkeys(_WORD.findall(plain.lower())))


def _parsed(name: str, column: Sequence[str]) -> NDArray[np.float64]:
    """Return fields as numbers, NaN where they are empty."""
    found = np.full((len(column), 1), np.nan)
    for row, field in enumerate(column):
        if not field.strip():
            continue
        value = read_number(field)
        if value is None:
            raise DataError(
                f"the feature {shown(name)} holds {shown(field)}, and numbers in training; {number_advice(field)}."
            )
        found[row, 0] = value
    return found


def _standardized(spec: ColumnSpec, column: Any) -> NDArray[np.float32]:
    if isinstance(column, SparseNumbers):
        raise DataError(f"the feature {shown(spec.name)} is dense in training, and sparse here.")
    matrix = _as_matrix(column) if isinstance(column, np.ndarray) else _parsed(spec.name, column)
    if matrix.shape[1] != spec.numbers:
        raise DataError(
            f"the feature {shown(spec.name)} has {matrix.shape[1]} numbers a node, in training {spec.numbers}."
        )
    values = (matrix - np.array(spec.mean)) / np.array(spec.scale)
    if np.isinf(values).any():
        raise DataError(f"the feature {shown(spec.name)} holds infinity; correct it.")
    known: NDArray[np.float32] = np.nan_to_num(values, nan=0.0).clip(-1e6, 1e6).astype(np.float32)
    return known


def _entries(spec: ColumnSpec, column: Any, first: int) -> SparseNumbers:
    if spec.kind == "sparse":
        if not isinstance(column, SparseNumbers) or column.width != spec.width:
            raise DataError(
                f"the feature {shown(spec.name)} is a sparse matrix of {spec.width} columns in training."
            )
        return column._replace(columns=column.columns + first)
    lexicon = Lexicon(spec.entries)
    fields = column if not isinstance(column, np.ndarray) else [f"{each:g}" for each in column]
    rows, found, values = [], [], []
    for row, field in enumerate(fields):
        known = [each for each in lexicon.ids(_items(spec.kind, field)) if each >= RESERVED]
        rows += [row] * len(known)
        found += [each - RESERVED + first for each in known]
        values += [1 / max(len(known), 1)] * len(known)
    arrays = np.array(rows, np.int64), np.array(found, np.int64), np.array(values, np.float32)
    return SparseNumbers.of(*arrays, spec.size, len(fields))


def _joined(parts: Sequence[SparseNumbers], rows: int, width: int) -> SparseNumbers:
    """Return the entries of all columns, row by row."""
    if len(parts) == 1:
        return parts[0]._replace(width=width)
    owners = [np.repeat(np.arange(rows), np.diff(part.start)) for part in parts]
    none: Iterator[Any] = iter((np.zeros(0, np.int64),))
    row = np.concatenate([*owners, *none])
    order = np.argsort(row, kind="stable")
    columns = np.concatenate([*(part.columns for part in parts), np.zeros(0, np.int64)])
    values = np.concatenate([*(part.values for part in parts), np.zeros(0, np.float32)])
    return SparseNumbers.of(row[order], columns[order], values[order], width, rows)
