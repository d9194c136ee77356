"""Base classes of inputs: learn vocabularies and statistics, encode, pad, embed, save and load."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from heedful.models.frequency import WordFrequency
from heedful.models.model import Batch, Model
from heedful.ops.grid import Grid

if TYPE_CHECKING:
    from heedful.data.audio.spectrogram import Spectrogram

Example = TypeVar("Example")
Encoded = TypeVar("Encoded")
Lengths = NDArray[np.int32]
"""The length of each of several examples."""


class Input(abc.ABC, Generic[Example, Encoded]):
    """One type of input, with the state learned from the training data (vocabularies, means).

    Subclasses read their own sections of the task's configuration.
    """

    depends_on_batch: ClassVar[bool] = False
    """Whether what is read of a training example depends on the other examples of its batch."""

    @classmethod
    @abc.abstractmethod
    def learn(cls, config: Any, examples: Sequence[Example]) -> Self:
        """Build the input from the training examples.

        Raises: DataError or OptionError for examples that cannot be learned from.
        """

    @classmethod
    @abc.abstractmethod
    def load(cls, config: Any, folder: Path) -> Self:
        """Load from a run folder what `save` wrote.

        Raises: RunError for files that are missing or damaged.
        """

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Write the learned state to a run folder."""

    def extend(self, initial: Self) -> Self:
        """Return what a model trained on these data from the weights of `initial` reads.

        Ids of `initial` stay; new entries follow. By default nothing is added to `initial`: subwords cover every
        text, and weights keep their meaning only under the statistics they were trained with.
        """
        return initial

    @abc.abstractmethod
    def encode(self, examples: Sequence[Example]) -> Sequence[Encoded]:
        """Encode examples for `collate`.

        An example without content, such as an empty text, has an empty encoding, of length 0. Prediction answers it
        with `Answer.empty` without calling the model; in training and evaluation of the loss it is an error.

        Raises: DataError for an example that the model cannot read, such as one with other features.
        """

    @abc.abstractmethod
    def length(self, encoded: Encoded) -> int:
        """Return the number of positions of an encoded example."""

    def lengths(self, encoded: Sequence[Encoded]) -> Lengths:
        """Return the number of positions of each encoded example."""
        return np.fromiter(map(self.length, encoded), np.int32, len(encoded))

    def positions_left(self, encoded: Encoded, *, training: bool) -> int:
        """Return the number of positions that the encoder sees of an example; default: `length`.

        An input that sub-samples has fewer. In training it is that of the shortest variant of `augmentation`.
        """
        return self.length(encoded)

    def fits(self, lengths: Lengths, max_length: int) -> NDArray[np.bool_]:
        """Return for each of `lengths` whether it is short enough for training; longer examples are dropped."""
        return lengths <= max_length

    def augmentation(self) -> Callable[[Encoded, np.random.Generator], Encoded] | None:
        """Return what makes a random variant of a training example each epoch; default None: nothing.

        It draws from the generator alone, which is seeded by training.seed, the epoch and the example, so that a
        resumed run sees the same variants. A variant may be longer than the example.
        """
        return None

    def pair_augmentation(
        self,
    ) -> Callable[[Encoded, Any, np.random.Generator], tuple[Encoded, Any]] | None:
        """Return what makes a random variant of a training example and its target; default: as `augmentation`.

        An input overrides it whose changes move the target too, such as boxes in an image.
        """
        change = self.augmentation()
        if change is None:
            return None
        return lambda encoded, target, generator: (change(encoded, generator), target)

    def data_notices(self, examples: Sequence[Example]) -> list[str]:
        """Return what to say about training examples before training; default: nothing."""
        return []

    @abc.abstractmethod
    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        """Pad encoded examples into one batch."""

    @classmethod
    def notices(cls, config: Any, examples: int) -> list[str]:
        """Return lines about what is learned from this number of training examples, for display; default: none."""
        return []

    @abc.abstractmethod
    def sizes(self) -> dict[str, int]:
        """Return the sizes of vocabularies by name, for display."""

    @abc.abstractmethod
    def positions(self, example: Example) -> list[str]:
        """Return the label of each position, for plots."""

    @property
    def can_hide(self) -> bool:
        """Whether `hide` is there."""
        return False

    def hide(self, encoded: Encoded, positions: Sequence[int]) -> Encoded:
        """Return an encoded example of which the model cannot read some positions; only where `can_hide`."""
        raise NotImplementedError

    def spectrogram(self, example: Example) -> Spectrogram | None:
        """Return what is drawn and played of a recording; None for other inputs."""
        return None

    def explains(self, member: Model) -> bool:
        """Return whether the positions that a network reads are those of `positions`; default: of every network."""
        return True

    def structure(self, example: Example) -> str | None:
        """Return the SMILES of an input that is drawn as a molecule, whose positions are its atoms; None of others."""
        return None

    @property
    def is_graph(self) -> bool:
        """Whether the positions of an example are nodes, the first of which is answered, and attention is on edges."""
        return False

    def drawn_edges(self, example: Example) -> NDArray[np.int64] | None:
        """Return the edges (2, edges) between the positions of an input that is a whole graph; None of others."""
        return None

    def explained(self, example: Any) -> Any:
        """Return what is shown of an example whose positions are nodes; default: the example."""
        return example

    def title(self, example: Example) -> str:
        """Return the plot title of an example."""
        return " ".join(self.positions(example))

    def view(self, example: Example) -> tuple[Any, Grid] | None:
        """Return the pixels and the grid of cells of an input that is an image; None of others."""
        return None

    def in_vocabulary(self, examples: Sequence[Example]) -> list[list[bool]] | None:
        """Return for each position whether its token is in the vocabulary; None without a vocabulary."""
        return None


class EmbeddedInput(Input[Example, Encoded]):
    """An input with its own embedding: every input except the source of an encoder–decoder."""

    @abc.abstractmethod
    def embedding(self) -> nn.Module:
        """Return a module that maps a batch to features (batch, length, width) and has the attribute `width`."""

    def frequency(self) -> WordFrequency | None:
        """Return the module that handles word frequencies; None for inputs that are not words."""
        return None
