"""The contract of every input: learn from training examples, encode, pad, embed, save and load."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from torch import nn

from heedful.models.frequency import WordFrequency
from heedful.models.model import Batch

Example = TypeVar("Example")
Encoded = TypeVar("Encoded")


class Input(abc.ABC, Generic[Example, Encoded]):
    """One kind of input, with what was learned of the training data (vocabularies, means).

    A new kind of input is a subclass. It reads its own sections of the task's configuration.
    """

    @classmethod
    @abc.abstractmethod
    def learn(cls, config: Any, examples: Sequence[Example]) -> Self:
        """Learn from the training examples, for the configuration of a task.

        Raises: DataError, OptionError for what cannot be learned from.
        """

    @classmethod
    @abc.abstractmethod
    def load(cls, config: Any, folder: Path) -> Self:
        """Read what `save` wrote into a run folder.

        Raises: RunError for files that are missing or damaged.
        """

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Write what was learned into a run folder."""

    @abc.abstractmethod
    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """Turn examples into what `collate` pads; an example may come out empty."""

    @abc.abstractmethod
    def length(self, encoded: Encoded) -> int:
        """Return the number of positions of an encoded example."""

    def fits(self, encoded: Encoded, longest: int) -> bool:
        """Return whether an example may be trained on; longer ones are left out."""
        return self.length(encoded) <= longest

    @abc.abstractmethod
    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        """Pad encoded examples into one batch."""

    @abc.abstractmethod
    def sizes(self) -> dict[str, int]:
        """Name and count what was learned, for people."""

    @abc.abstractmethod
    def positions(self, example: Example) -> list[str]:
        """Name the positions of an encoded example, for pictures."""

    def title(self, example: Example) -> str:
        """Return a heading for pictures of an example."""
        return " ".join(self.positions(example))

    def known(self, examples: Sequence[Example]) -> list[list[bool]] | None:
        """Return for each position whether training saw it; None for inputs without a vocabulary."""
        return None


class EmbeddedInput(Input[Example, Encoded]):
    """An input that brings its own embedding, as all do but the source of an encoder–decoder."""

    @abc.abstractmethod
    def embedding(self) -> nn.Module:
        """Return a module with an attribute `width`: a batch -> features (batch, length, width)."""

    def frequency(self) -> WordFrequency | None:
        """Return what is done about frequent words; None for inputs that are not words."""
        return None
