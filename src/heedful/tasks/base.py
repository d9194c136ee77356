"""What a task answers, so that one loop trains every task and one set of commands serves it."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel
from torch import Tensor, nn

from heedful.errors import OptionError, RunError
from heedful.tasks import run_folder
from heedful.tasks.batches import Batches
from heedful.tasks.configuration import read_configuration, write_toml

Scores = dict[str, float]
"""What the validation data say of some weights, by the names of `Task.figures`; "loss" is always there."""

LESS_IS_BETTER = frozenset({"loss", "rmse", "mae"})


@dataclass(frozen=True)
class Figure:
    """How a figure of merit is shown to people."""

    title: str
    form: str = ".3f"
    """As in format strings."""


def rank(scores: Mapping[str, float], metric: str) -> tuple[float, float]:
    """Return the figure `metric`, turned so that more is better; the loss decides between equals.

    Early in a training some figures, BLEU among them, are 0 for many epochs, and those are not as good
    as each other.

    >>> rank({"loss": 2.0, "bleu": 0.0}, "bleu") > rank({"loss": 3.0, "bleu": 0.0}, "bleu")
    True
    """
    value = scores[metric]
    return (-value if metric in LESS_IS_BETTER else value), -scores["loss"]


class Predictor(abc.ABC):
    """A model with what turns a person's data into its inputs, and its configuration."""

    task: ClassVar[str]
    """The word after `heedful train`, and the marker of the run folder."""
    configuration: ClassVar[type[BaseModel]]
    """Of the task; it has a section `training` (a `TrainingConfig`)."""
    config: Any
    """A `configuration`."""
    model: nn.Module

    @classmethod
    @abc.abstractmethod
    def reload(cls, config: Any, folder: Path) -> Self:
        """Read the vocabularies of a run folder, and build the model with fresh weights."""

    @classmethod
    def load_config(cls, run: str | Path) -> Any:
        """Read the configuration of a run folder.

        Raises: RunError for a folder that is missing, foreign or has an unusable configuration.
        """
        folder = run_folder.check(run, cls.task)
        try:
            return read_configuration(cls.configuration, folder / run_folder.CONFIGURATION)
        except OptionError as error:
            raise RunError(f"the run's configuration cannot be used: {error}") from None

    @classmethod
    def load(cls, run: str | Path) -> Self:
        """Read a run folder, ready to predict.

        Raises: RunError for a folder that is missing, foreign, truncated or corrupt.
        """
        folder = Path(run)
        trained = cls.reload(cls.load_config(folder), folder)
        trained.load_weights(folder / run_folder.WEIGHTS)
        trained.model.eval()
        return trained

    @abc.abstractmethod
    def save_resources(self, folder: Path) -> None:
        """Write what was learned from the training data beside the weights (vocabularies, labels)."""

    @abc.abstractmethod
    def sizes(self) -> dict[str, int]:
        """Name the vocabularies and count their entries, for people."""

    def save(self, folder: Path) -> None:
        """Write configuration and vocabularies, not the weights, into a run folder."""
        run_folder.write_text(folder / run_folder.CONFIGURATION, write_toml(self.config))
        self.save_resources(folder)

    def save_weights(self, path: str | Path) -> None:
        """Write the weights as safetensors."""
        run_folder.write_tensors(Path(path), self.model.state_dict())

    def load_weights(self, path: str | Path) -> None:
        """Read the weights that `save_weights` wrote.

        Raises: RunError for a truncated or corrupt file, or weights of another model.
        """
        tensors, _ = run_folder.read_tensors(Path(path))
        try:
            self.model.load_state_dict(tensors)
        except RuntimeError as error:
            raise RunError(
                f"{path} holds the weights of another model than {run_folder.CONFIGURATION} "
                f"describes: {str(error).splitlines()[-1].strip()}"
            ) from None


class Loss(nn.Module, abc.ABC):
    """Model and loss as one module, so that Fabric can wrap them as one."""

    model: nn.Module

    @abc.abstractmethod
    def forward(self, batch: Any) -> Tensor:
        """Return the summed loss of the batch's `count(batch)` predictions."""

    @staticmethod
    @abc.abstractmethod
    def count(batch: Any) -> int:
        """Count the predictions (tokens, labels) that a batch asks for."""

    @classmethod
    def tokens(cls, batch: Any) -> int:
        """Count the tokens by which speed is told; they are the predictions, unless a task says otherwise."""
        return cls.count(batch)


Configuration = TypeVar("Configuration", bound=BaseModel)
Data = TypeVar("Data", bound=Sized)
Trained = TypeVar("Trained", bound=Predictor)


class Task(abc.ABC, Generic[Configuration, Data, Trained]):
    """One kind of answer: its data, its model and loss, its figures, and how it is kept in a run folder.

    `Data` is what the task's readers return.
    """

    predictor: type[Trained]
    figures: ClassVar[Mapping[str, Figure]]
    """Of `Scores`, in the order in which they are shown."""
    charts: ClassVar[Sequence[tuple[str, ...]]]
    """The figures that a report draws by epoch, beside the loss; each entry is one chart."""
    examples: ClassVar[str]
    """What a person calls the examples: pairs, sentences, texts."""

    @abc.abstractmethod
    def learn(self, config: Configuration, train: Data) -> Trained:
        """Build vocabularies from the training data, and the model with fresh weights."""

    @abc.abstractmethod
    def batches(self, trained: Trained, data: Data, *, training: bool) -> Batches[Any, Any]:
        """Encode data; when training, what is longer than the configuration allows is left out.

        Raises: DataError when all of it is left out.
        """

    @abc.abstractmethod
    def loss(self, trained: Trained) -> Loss:
        """Return the training loss around the predictor's model."""

    @abc.abstractmethod
    def measure(self, trained: Trained, data: Data) -> Scores:
        """Predict and compare: the figures beside the loss."""

    @abc.abstractmethod
    def texts(self, data: Data) -> Sequence[Sequence[str]]:
        """Return every text of the data, by which a resumed training knows its data again."""

    @property
    def name(self) -> str:
        """The task's name, which is its predictor's."""
        return self.predictor.task

    def check(self, config: Configuration, train: Data, valid: Data) -> None:
        """Raise DataError for data that cannot serve, beyond being empty."""
