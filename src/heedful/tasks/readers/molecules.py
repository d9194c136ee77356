"""Tables of molecules as SMILES with an answer each, divided by file, by a column, at random or by scaffold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from heedful.data.dataset import Dataset
from heedful.data.molecules.molecule import parse_smiles
from heedful.data.molecules.splits import SPLITS, Split, load_splits, split_molecules
from heedful.data.molecules.table import MoleculeTable
from heedful.data.parts import check_filled, rows_by_part
from heedful.data.texts import TextColumns, Texts
from heedful.errors import DataError, OptionError
from heedful.models.config import OneOf
from heedful.tasks.readers.base import Part, Rows
from heedful.tasks.readers.texts import TextData, TextReader


class MoleculeData(TextData):
    """Files and columns of the molecules, and how they are divided."""

    text: str = Field("smiles", description="SMILES column.")
    max_length: int = Field(
        256, ge=1, description="Maximum atoms; larger molecules are left out of training."
    )
    split: Annotated[str, OneOf("split", SPLITS, "none")] = Field(
        "none",
        description="How the training table is divided into parts for training, validation and test: random; scaffold, "
        "by ring systems, the same for any seed; scaffold_balanced, by ring systems in random order; none: a share is "
        "split off for validation only.",
    )
    split_sizes: tuple[float, float, float] = Field(
        (0.8, 0.1, 0.1), description="Shares of the three parts."
    )
    split_seed: int = Field(0, ge=0, description="Random seed of the parts.")
    splits_file: str = Field(
        "",
        description="File of the parts, as `heedful split` and chemprop write it: JSON with the rows of train, val and "
        "test.",
    )
    split_index: int = Field(0, ge=0, description="Which of the splits of the file, from 0.")
    splits_column: str = Field(
        "", description="Column of the training table that says train, val or test."
    )

    @model_validator(mode="after")
    def _one_split(self) -> Self:
        given = [
            name
            for name, value in (
                ("data.valid", self.valid),
                ("data.split", self.split != "none"),
                ("data.splits_file", self.splits_file),
                ("data.splits_column", self.splits_column),
            )
            if value
        ]
        if len(given) > 1:
            raise OptionError(
                f"{' and '.join(given)} divide the data in two ways; give one of them"
            )
        return self

    def molecule_columns(self, answer: str, separator: str, *, is_label: bool) -> TextColumns:
        """Return the columns of the tables; a SMILES that cannot be read is an error, or is skipped."""
        return TextColumns(
            self.text,
            answer,
            separator,
            answer_is_label=is_label,
            encoding=self.encoding,
            max_line=self.max_line,
            skip_bad=self.skip_bad,
            part=self.splits_column,
            check=parse_smiles,
        )

    @property
    def has_test(self) -> bool:
        """Whether a part of the training table is kept for the test."""
        return bool(self.split != "none" or self.splits_file or self.splits_column)


class MoleculeReader(TextReader):
    """Reads tables with a SMILES and its answer per row, and writes them with predicted columns appended."""

    train_hint = "--train FILE.csv"
    test_hint = "a table of molecules"
    input_hint = "a SMILES"
    skips_inputs = True

    def to_input(self, given: Any, data: Any, name: str) -> Any:
        smiles = super().to_input(given, data, name)
        parse_smiles(smiles, lambda message: DataError(f"{name}: {message}"))
        return smiles

    def read_files(self, paths: Sequence[str], data: Any, part: Part) -> MoleculeTable:
        return MoleculeTable.of(super().read_files(paths, data, part))

    def from_rows(self, rows: Rows, data: Any, name: str) -> MoleculeTable:
        return MoleculeTable.of(super().from_rows(rows, data, name))

    def split(self, train: Texts, data: Any) -> tuple[Texts, Texts]:
        """Divide the training table; by default a share is split off for validation."""
        if not data.has_test:
            chosen, valid = super().split(train, data)
            return MoleculeTable.of(chosen), MoleculeTable.of(valid)
        parts = self._parts(train, data)
        valid = _take(train, parts.valid, "validation part of")
        chosen = _take(train, parts.train, "training part of")
        return replace(chosen, skipped=train.skipped), valid

    def read_test(self, values: Sequence[str] | None, data: Any) -> Dataset:
        """Read test files; without them the test part of the training table."""
        if values or not data.has_test:
            return super().read_test(values, data)
        whole = self.read_files(data.train, data, "train")
        return _take(whole, self._parts(whole, data).test, "test part of")

    def _parts(self, table: Texts, data: Any) -> Split:
        """Return the rows of the parts. Rows of files count all rows, also those that are skipped.

        Raises: OptionError for a split that the file does not have; DataError for a file that is none.
        """
        if data.splits_file:
            return self._listed(table, data)
        if data.splits_column:
            return Split(**rows_by_part(table.rows, data.splits_column, "molecules"))
        return split_molecules(
            table.inputs, data.split, sizes=data.split_sizes, seed=data.split_seed
        )

    @staticmethod
    def _listed(table: Texts, data: Any) -> Split:
        path = Path(data.splits_file)
        count = max((row.row for row in table.rows), default=-1) + 1 + len(table.skipped)
        splits = load_splits(path, count)
        if data.split_index >= len(splits):
            raise OptionError(
                f"data.split_index is {data.split_index}, but {path} holds {len(splits)} splits, numbered from 0"
            )
        index_of = {row.row: index for index, row in enumerate(table.rows)}
        parts = splits[data.split_index]
        found = Split(*(tuple(index_of[row] for row in part if row in index_of) for part in parts))
        check_filled(found._asdict(), str(path), "molecules")
        return found


def _take(table: Texts, rows: Sequence[int], what: str) -> MoleculeTable:
    if not rows:
        raise OptionError(
            f"the {what} {table.name} is empty; divide the data otherwise, or give --test"
        )
    return MoleculeTable([table.rows[row] for row in rows], f"{what} {table.name}")
