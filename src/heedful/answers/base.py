"""Base classes of answers: targets, head, loss, prediction, metrics, output and explanation."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heedful.answers.class_output import ClassOutput
from heedful.data.dataset import Dataset
from heedful.errors import NonFiniteError, OptionError
from heedful.inputs.base import Lengths
from heedful.models.encoders import Encoder
from heedful.models.model import Batch, Model
from heedful.ops.finite import all_finite

Scores = dict[str, float]
"""Validation metrics by the names of `Answer.metrics`; always includes "loss"."""
Numbers = NDArray[np.float64]
Rows = list[list[str]]
"""Rows of cells of a table."""
Values = dict[str, Any]
"""A prediction as a JSON object."""

LOWER_IS_BETTER = frozenset({"loss", "rmse", "mae", "wer", "cer", "perplexity"})


@dataclass(frozen=True)
class Metric:
    """Display title and number format of a metric."""

    title: str
    format_spec: str = ".3f"
    """Python format specification."""


class ReportTable(NamedTuple):
    """A table of a run's report."""

    heading: str
    columns: Sequence[str]
    rows: Rows
    note: str = ""
    is_matrix: bool = False
    """Whether its cells are counts whose share of their row is shown by a colour."""


def rank(scores: Mapping[str, float], metric: str) -> tuple[float, float]:
    """Return a sort key, larger is better: the value of `metric`, negated if lower is better, then the negative loss.

    The loss breaks ties because metrics such as BLEU may stay 0 for many epochs. A value that is not finite ranks
    below every other.

    >>> rank({"loss": 2.0, "bleu": 0.0}, "bleu") > rank({"loss": 3.0, "bleu": 0.0}, "bleu")
    True
    >>> rank({"loss": 2.0, "bleu": float("nan")}, "bleu") < rank({"loss": 3.0, "bleu": 0.0}, "bleu")
    True
    """
    value = scores[metric]
    keys = (-value if metric in LOWER_IS_BETTER else value), -scores["loss"]
    return tuple(key if math.isfinite(key) else -math.inf for key in keys)  # type: ignore[return-value]


Prediction = TypeVar("Prediction")


class Answer(abc.ABC, Generic[Prediction]):
    """One type of answer, with the state learned from the training answers (label set, mean and scale).

    Subclasses read their own sections of the task's configuration.
    """

    metrics: ClassVar[Mapping[str, Metric]]
    """Name in `Scores` -> display format, in display order."""
    charts: ClassVar[Sequence[tuple[str, ...]]]
    """Metrics that a report plots by epoch in addition to the loss; one chart per entry."""
    primary_metric: ClassVar[str]
    """The metric that `value` computes and that models are compared by."""
    search_options: ClassVar[frozenset[str]] = frozenset()
    """Keyword arguments of `predict` after model and batch; command options have the same names."""
    command_options: ClassVar[frozenset[str]] = frozenset()
    """Further options of evaluate, predict and explain that this answer supports."""
    has_report_tables: ClassVar[bool] = False
    """Whether `report_tables` returns any."""
    is_explained: bool = True
    """Whether there is something that says which positions a prediction comes from."""
    has_calibration: ClassVar[bool] = False
    """Whether `calibrated` does anything."""
    uncalibrated_what: ClassVar[str] = "the probabilities are not calibrated"
    """What to say where `calibrated` could not."""
    depends_on_batch: ClassVar[bool] = False
    """Whether the loss of an example depends on the other examples of its batch."""
    misfit_advice: ClassVar[str] = ""
    """How to mend what `misfit` finds."""
    validation_search: ClassVar[Mapping[str, Any]] = {}
    """Search options used for validation during training."""

    @classmethod
    def check(cls, config: Any, train: Dataset, valid: Dataset) -> None:
        """Check the reference answers before training.

        Raises: DataError naming file and line; OptionError for answers that cannot be learned from.
        """

    @classmethod
    @abc.abstractmethod
    def learn(cls, config: Any, answers: Sequence[Any]) -> Self:
        """Build the answer from the training answers."""

    @classmethod
    @abc.abstractmethod
    def load(cls, config: Any, folder: Path) -> Self:
        """Load from a run folder what `save` wrote."""

    @classmethod
    def load_finished(cls, config: Any, folder: Path, answers: Sequence[Any]) -> Self:
        """Load from the folder of a finished run, to train it further on `answers`; default: as `load`."""
        return cls.load(config, folder)

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Write the learned state to a run folder."""

    def extend(self, initial: Self) -> Self:
        """Return what a model trained on these answers from the weights of `initial` predicts; see `Input.extend`."""
        return initial

    def sizes(self) -> dict[str, int]:
        """Return the sizes of vocabularies or label sets by name, for display."""
        return {}

    @property
    def labels(self) -> tuple[str, ...]:
        """The label set; empty for answers that are not labels."""
        return ()

    def check_test(self, data: Dataset) -> None:
        """Check that reference answers of test data can be predicted.

        Raises: DataError naming file and line, if they cannot.
        """

    @abc.abstractmethod
    def targets(self, data: Dataset) -> Sequence[Any]:
        """Encode the reference answers.

        Raises: DataError naming file and line for an invalid answer.
        """

    def lengths(self, targets: Sequence[Any]) -> Lengths | None:
        """Return the number of tokens of each target; None if targets have no length of their own."""
        return None

    def fits(self, lengths: Lengths, max_length: int) -> NDArray[np.bool_]:
        """Return for each of `lengths` whether it is short enough for training; longer examples are dropped."""
        return lengths <= max_length

    def misfit(self, target: Any, positions: int) -> str:
        """Return what is wrong with a target for an input of so many positions; default: nothing, an empty string."""
        return ""

    def augmentation(self) -> Callable[[Any, np.random.Generator], Any] | None:
        """Return what makes a random variant of a training target each epoch; default None: nothing.

        It draws from the generator alone, as `Input.augmentation` does, and after it.
        """
        return None

    @abc.abstractmethod
    def collate(self, targets: Sequence[Any]) -> Any:
        """Pad targets into one batch."""

    @abc.abstractmethod
    def loss(self, model: Any, batch: Any, targets: Any) -> Tensor:
        """Return the summed loss of a batch; smoothing and penalties apply only if `model.training`."""

    @abc.abstractmethod
    def count_predictions(self, batch: Any, targets: Any) -> int:
        """Return the number of predictions in a batch; the summed loss is divided by it."""

    def count_tokens(self, batch: Any, targets: Any) -> int:
        """Return the number of positions in a batch, the unit of training speed."""
        return int(batch.lengths.sum())

    @abc.abstractmethod
    def predict(self, model: Any, batch: Any, **search: Any) -> list[Prediction]:
        """Return the prediction of each row of a batch."""

    def of_rows(self, search: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
        """Return the search options for some of the inputs of a call, by number; default: the same for all."""
        return dict(search)

    def copies_unknown(self, search: Mapping[str, Any]) -> bool:
        """Whether parts of predictions are copied from the inputs afterwards, see `heedful.tasks.copying`."""
        return False

    def placed(self, predictions: list[Prediction], encoded: Sequence[Any]) -> list[Prediction]:
        """Return predictions with their places in the inputs, of which these are the encodings; default: unchanged."""
        return predictions

    @abc.abstractmethod
    def empty(self) -> Prediction:
        """Return the prediction for an input without positions."""

    def check_search(self, search: Mapping[str, Any]) -> None:
        """Check the search options of `predict`.

        Raises: OptionError for an unknown option or a value out of range.
        """
        for name in search:
            if name not in self.search_options:
                raise OptionError(f"{name} has no effect on this type of answer; leave it out.")

    @abc.abstractmethod
    def score(
        self,
        predicted: Sequence[Prediction],
        data: Dataset,
        in_vocabulary: Sequence[Sequence[bool]] | None = None,
    ) -> Any:
        """Return the metrics, a dataclass, of predictions against reference answers.

        Args:
            predicted: one prediction per example.
            data: the examples.
            in_vocabulary: for each position, whether its token is in the vocabulary; None without a vocabulary.
        """

    def scores(self, metrics: Any) -> Scores:
        """Return the values of `self.metrics`, except the loss, by name."""
        return {name: getattr(metrics, name) for name in self.metrics if name != "loss"}

    @abc.abstractmethod
    def tables(self, metrics: Any) -> list[Rows]:
        """Return the metrics as display tables."""

    def report_tables(self, metrics: Any) -> list[ReportTable]:
        """Return further tables of metrics for the report of a run; default: none."""
        return []

    def warnings(self, predicted: Sequence[Prediction], data: Dataset) -> list[str]:
        """Return warnings about predictions of examples with reference answers; default: none."""
        return []

    def calibrated(self, predicted: Sequence[Prediction], data: Dataset) -> tuple[Self, str]:
        """Return this answer with probabilities calibrated on held-out data, and if that fails the reason.

        Args:
            predicted: the predictions of this answer, which is not yet calibrated.
            data: the examples.

        The default, for an answer that `has_calibration` says to have none, is unchanged.
        """
        return self, ""

    def uncalibrated(self) -> Self:
        """Return this answer with its probabilities as the model gives them; the default has no others."""
        return self

    @abc.abstractmethod
    def statistics(self, predicted: Sequence[Prediction], data: Dataset) -> Numbers:
        """Return sufficient statistics (examples, statistics); `value` computes the metric from their sum."""

    @classmethod
    def value(cls, sums: Numbers) -> Numbers:
        """Return `primary_metric` from summed statistics: (..., statistics) -> (...).

        The default is the ratio of the first two, such as correct over all answers.
        """
        return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1e-12))

    @classmethod
    def sign(cls) -> int:
        """Return 1 if a higher `primary_metric` is better, -1 if a lower one is."""
        return -1 if cls.primary_metric in LOWER_IS_BETTER else 1

    @abc.abstractmethod
    def to_text(self, prediction: Prediction) -> str:
        """Return a prediction as display text."""

    @abc.abstractmethod
    def to_json(self, prediction: Prediction) -> Values:
        """Return a prediction as a JSON object."""

    def columns(self, name: str) -> list[str]:
        """Return the names of the predicted columns of a table; the first is `name`."""
        return [name]

    def cells(self, prediction: Prediction) -> list[Any]:
        """Return the fields of these columns: strings, numbers or lists of strings."""
        return [self.to_text(prediction)]

    def check_classes(self, output: ClassOutput, *, json: bool) -> None:
        """Check that `output` can be written, as JSON or in the format of the input.

        Raises: OptionError if it cannot.
        """

    def class_columns(self, name: str, output: ClassOutput) -> list[str]:
        """Return the names of the table columns of `output`; see `ClassOutput.columns`."""
        return []

    def class_cells(self, prediction: Prediction, output: ClassOutput) -> list[Any]:
        """Return the fields of these columns."""
        return []

    def class_values(self, prediction: Prediction, output: ClassOutput) -> Values:
        """Return `output` of a prediction as JSON values."""
        return {}


class HeadAnswer(Answer[Prediction]):
    """An answer predicted by a head on encoder states: every answer except generated text."""

    per_position: ClassVar[bool] = False
    """Whether each position has an answer, rather than the whole input."""

    @abc.abstractmethod
    def head(self, encoder: Encoder) -> nn.Module:
        """Return the module that maps the encoder's `States` to a `heedful.models.heads.HeadOutput`."""

    def loss(self, model: Any, batch: Any, targets: Any) -> Tensor:
        """Return the summed loss; for a training ensemble the mean of its members' losses."""
        if not model.training:
            return self.network_loss(model, batch, targets)
        losses = [self.network_loss(member, batch, targets) for member in model.members]
        return torch.stack(losses).mean()

    @abc.abstractmethod
    def network_loss(self, model: Any, batch: Any, targets: Any) -> Tensor:
        """Return the summed loss of one network; in validation, of the mean scores of an ensemble."""

    def count_predictions(self, batch: Any, targets: Any) -> int:
        return len(targets)

    @staticmethod
    def scores_and_penalty(model: Any, batch: Any) -> tuple[Tensor, Tensor]:
        """Return the scores and the summed penalty of a network; the penalty is 0 in validation."""
        if model.training:
            output: tuple[Tensor, Tensor] = model.scores_and_penalty(batch)
            return output
        scores: Tensor = model(batch)
        return scores, scores.new_zeros(())

    @abc.abstractmethod
    def predictions(self, scores: Tensor, batch: Batch) -> list[Prediction]:
        """Return the prediction of each row of the model's scores, which are on its device."""

    def predict(self, model: Any, batch: Batch, **search: Any) -> list[Prediction]:
        return self.predictions(self.finite_scores(model, batch), batch)

    def final_scores(self, model: Any, batch: Batch) -> Tensor:
        """Return the model's scores that a prediction is made of, (batch, ...)."""
        scores: Tensor = model(batch)
        return scores

    def finite_scores(self, model: Any, batch: Batch) -> Tensor:
        """Return the model's scores of a batch.

        Raises: NonFiniteError for a row with NaN or infinity, padding aside.
        """
        scores = self.final_scores(model, batch)
        if all_finite(scores):
            return scores
        is_finite = scores.isfinite().flatten(2 if self.per_position else 1).all(-1)
        if self.per_position:
            positions = torch.arange(is_finite.shape[1], device=is_finite.device)
            lengths = model.members[0].lengths(batch)
            is_finite = (is_finite | (positions >= lengths[:, None])).all(-1)
        if not is_finite.all():
            raise NonFiniteError(int(is_finite.logical_not().nonzero()[0]))
        return scores

    def row_names(self, positions: Sequence[str], prediction: Prediction) -> list[str]:
        """Return the row labels of attention and saliency plots: the answer, or the answer of each position."""
        return [self.to_text(prediction)]

    def explained_score(
        self, model: Model, features: Tensor, batch: Any, prediction: Any
    ) -> Tensor:
        """Return the sum of the scores whose gradients explain the prediction; default: the maximum score.

        Args:
            model: one network.
            features: (rows, length, width), the features of one example repeated for each row label.
            batch: the batch of that one example.
            prediction: the prediction to explain.
        """
        return model.score_features(features, batch)[0].max()
