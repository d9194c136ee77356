"""A table of molecules with an answer each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from heedful.data.texts import Texts


@dataclass(frozen=True)
class MoleculeTable(Texts):
    """The SMILES of one or several tables, in order.

    >>> MoleculeTable([]).input_of_length(3)
    'CCC'
    """

    example: ClassVar[str] = "molecule"

    @classmethod
    def of(cls, texts: Texts) -> Self:
        """Return the texts of a table as molecules."""
        return cls(texts.rows, texts.name, texts.skipped)

    def input_of_length(self, length: int) -> str:
        """Return a chain of carbon atoms."""
        return "C" * length

    def showcase(self, count: int) -> list[str]:
        return list(dict.fromkeys(self.inputs))[:count]
