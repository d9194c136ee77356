"""The contract of every answer: targets, head, loss, prediction, metrics, and how it is written and explained."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heedful.data.dataset import Dataset
from heedful.errors import OptionError
from heedful.models.encoders import Encoder
from heedful.models.model import Batch, Model

Scores = dict[str, float]
"""Metrics of the validation data by the names of `Answer.metrics`; "loss" is always there."""
Numbers = NDArray[np.float64]
Rows = list[list[str]]
"""A table: rows of cells."""
Values = dict[str, Any]
"""A prediction as JSON or as the columns of a table."""

LOWER_IS_BETTER = frozenset({"loss", "rmse", "mae"})


@dataclass(frozen=True)
class Metric:
    """How a metric is shown to people."""

    title: str
    format_spec: str = ".3f"
    """As in format strings."""


def rank(scores: Mapping[str, float], metric: str) -> tuple[float, float]:
    """Return the value of `metric`, negated where less is better; the loss breaks ties.

    Early in a training some metrics, BLEU among them, are 0 for many epochs, which are not equally good.

    >>> rank({"loss": 2.0, "bleu": 0.0}, "bleu") > rank({"loss": 3.0, "bleu": 0.0}, "bleu")
    True
    """
    value = scores[metric]
    return (-value if metric in LOWER_IS_BETTER else value), -scores["loss"]


Prediction = TypeVar("Prediction")


class Answer(abc.ABC, Generic[Prediction]):
    """One kind of answer, with what was learned of the training answers (labels, means).

    A new kind of answer is a subclass. It reads its own sections of the task's configuration.
    """

    metrics: ClassVar[Mapping[str, Metric]]
    """Name in `Scores` -> how it is shown, in the order in which they are shown."""
    charts: ClassVar[Sequence[tuple[str, ...]]]
    """The metrics that a report draws by epoch, beside the loss; each entry is one chart."""
    primary_metric: ClassVar[str]
    """The metric that `value` computes, by which models are compared."""
    search_options: ClassVar[frozenset[str]] = frozenset()
    """The keywords of `predict` beside the model and the batch; options of the commands have the same names."""
    command_options: ClassVar[frozenset[str]] = frozenset()
    """Other options of evaluate, predict and explain that have an effect on this answer."""
    validation_search: ClassVar[Mapping[str, Any]] = {}
    """The values of these keywords while training."""

    @classmethod
    def check(cls, config: Any, train: Dataset, valid: Dataset) -> None:
        """Check the true answers, before anything is learned.

        Raises: DataError naming file and line; OptionError when nothing can be learned from the answers.
        """

    @classmethod
    @abc.abstractmethod
    def learn(cls, config: Any, answers: Sequence[Any]) -> Self:
        """Learn from the training answers."""

    @classmethod
    @abc.abstractmethod
    def load(cls, config: Any, folder: Path) -> Self:
        """Read what `save` wrote into a run folder."""

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Write what was learned into a run folder."""

    def sizes(self) -> dict[str, int]:
        """Name and count what was learned, for people."""
        return {}

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it chooses from; none for other answers."""
        return ()

    def check_test(self, data: Dataset) -> None:
        """Check that the true answers of test data are of the kind that this answer gives.

        Raises: DataError naming file and line of one that is not.
        """

    @abc.abstractmethod
    def targets(self, data: Dataset) -> list[Any]:
        """Encode the true answers.

        Raises: DataError naming file and line for an answer that cannot be used.
        """

    def fits(self, target: Any, longest: int) -> bool:
        """Return whether an example with this target may be trained on."""
        return True

    def length(self, target: Any) -> int:
        """Return what a target adds to a batch; 0: no more than its input."""
        return 0

    @abc.abstractmethod
    def collate(self, targets: Sequence[Any]) -> Any:
        """Pad targets into one batch."""

    @abc.abstractmethod
    def loss(self, model: Any, batch: Any, targets: Any) -> Tensor:
        """Return the summed loss of a batch; `model.training` says whether it is a training loss."""

    @abc.abstractmethod
    def count(self, batch: Any, targets: Any) -> int:
        """Return the number of predictions of a batch, by which the summed loss is divided."""

    def tokens(self, batch: Any, targets: Any) -> int:
        """Return the number of positions of a batch, by which speed is measured."""
        return int(batch.lengths.sum())

    @abc.abstractmethod
    def predict(self, model: Any, batch: Any, **search: Any) -> list[Prediction]:
        """Return the prediction of each row of a batch."""

    @abc.abstractmethod
    def empty(self) -> Prediction:
        """Return the prediction for an input without positions."""

    def check_search(self, search: Mapping[str, Any]) -> None:
        """Check the keywords of `predict`.

        Raises: OptionError for a keyword that this answer does not have, or a value out of its range.
        """
        for name in search:
            if name not in self.search_options:
                raise OptionError(f"{name} has no effect on this kind of answer; leave it out.")

    @abc.abstractmethod
    def score(
        self,
        predicted: Sequence[Prediction],
        data: Dataset,
        known: Sequence[Sequence[bool]] | None = None,
    ) -> Any:
        """Compare predictions with the true answers and return the metrics, a dataclass.

        Args:
            predicted: one for each example.
            data: the examples.
            known: for each position whether training saw its input, where that can be told.
        """

    def scores(self, found: Any) -> Scores:
        """Return the metrics of validation by their names, without the loss."""
        return {name: getattr(found, name) for name in self.metrics if name != "loss"}

    @abc.abstractmethod
    def tables(self, found: Any) -> list[Rows]:
        """Return the tables that show metrics to people."""

    @classmethod
    @abc.abstractmethod
    def statistics(cls, predicted: Sequence[Prediction], data: Dataset) -> Numbers:
        """Return (examples, statistics), from whose sums over examples `value` computes the metric."""

    @classmethod
    def value(cls, sums: Numbers) -> Numbers:
        """Return the metric `primary_metric` of summed statistics: (..., statistics) -> (...).

        By default the ratio of the first two, such as right answers over answers.
        """
        return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1e-12))

    @classmethod
    def sign(cls) -> int:
        """Return 1 where a larger value of `primary_metric` is better, -1 where a smaller one is."""
        return -1 if cls.primary_metric in LOWER_IS_BETTER else 1

    @abc.abstractmethod
    def to_text(self, prediction: Prediction) -> str:
        """Write a prediction for people."""

    @abc.abstractmethod
    def to_json(self, prediction: Prediction) -> Values:
        """Return a prediction as JSON values."""

    def columns(self, name: str) -> list[str]:
        """Name the columns of a table that predictions fill; `name` is the first."""
        return [name]

    def cells(self, prediction: Prediction) -> list[Any]:
        """Return the cells of these columns: texts, numbers or lists of texts."""
        return [self.to_text(prediction)]


class HeadAnswer(Answer[Prediction]):
    """An answer read off the states by a head: everything but generated sequences."""

    each_position: ClassVar[bool] = False
    """Whether there is an answer for each position, rather than one for the whole input."""

    @abc.abstractmethod
    def head(self, encoder: Encoder) -> nn.Module:
        """Return the module that turns the encoder's `States` into `heedful.models.heads.Scored`."""

    def loss(self, model: Any, batch: Any, targets: Any) -> Tensor:
        """Return the mean over the networks of an ensemble: each learns from its own scores."""
        if not model.training:
            return self.cost(model, batch, targets)
        return torch.stack([self.cost(each, batch, targets) for each in model.members]).mean()

    @abc.abstractmethod
    def cost(self, model: Any, batch: Any, targets: Any) -> Tensor:
        """Return the summed loss of a network, or of an ensemble that is validated."""

    def count(self, batch: Any, targets: Any) -> int:
        return len(targets)

    @staticmethod
    def scored(model: Any, batch: Any) -> tuple[Tensor, Tensor]:
        """Return a network's scores and its penalty; of an ensemble in validation the mean scores and 0."""
        if model.training:
            found: tuple[Tensor, Tensor] = model.scored(batch)
            return found
        scores: Tensor = model(batch)
        return scores, scores.new_zeros(())

    @abc.abstractmethod
    def predictions(self, scores: Tensor, batch: Batch) -> list[Prediction]:
        """Return the prediction of each row of the model's scores, which are on the device of the model."""

    def predict(self, model: Any, batch: Batch, **search: Any) -> list[Prediction]:
        return self.predictions(model(batch), batch)

    def row_names(self, positions: Sequence[str], prediction: Prediction) -> list[str]:
        """Name what attention or saliency is shown of: the answer, or the answer of each position."""
        return [self.to_text(prediction)]

    def explained_score(
        self, model: Model, features: Tensor, batch: Any, prediction: Any
    ) -> Tensor:
        """Return the sum of the scores whose gradients explain the prediction; by default the greatest score.

        Args:
            model: one network.
            features: (rows, length, width), a copy of the features of one example for each of `rows`.
            batch: the example, alone in its batch.
            prediction: what is explained.
        """
        return model.score_features(features, batch)[0].max()
