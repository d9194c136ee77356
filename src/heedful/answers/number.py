"""Regression: one number per input, standardized for training and predicted in the units of the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from heedful import run_folder
from heedful.answers.base import HeadAnswer, Metric, Numbers, Rows, Values
from heedful.answers.sequence_metrics import NumberScores, score_numbers
from heedful.data.dataset import Dataset, parse_number
from heedful.data.standardize import Standardizer
from heedful.errors import OptionError
from heedful.models.encoders import Encoder
from heedful.models.heads import PooledHead, PoolingConfig
from heedful.models.model import Batch

TARGET: Final = "target.json"
"""File in the run folder with mean and scale of the training targets."""


@dataclass(frozen=True)
class PredictedNumber:
    """The predicted number of one input."""

    value: float | None
    """In the units of the targets; None for an input without positions."""


@dataclass(frozen=True)
class Number(HeadAnswer[PredictedNumber]):
    """One number per input, such as a rating or a price.

    Reads the section pooling (`PoolingConfig`).
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric("loss"),
        "rmse": Metric("RMSE", ".4g"),
        "mae": Metric("MAE", ".4g"),
        "r2": Metric("R²", ".4f"),
    }
    charts: ClassVar[Sequence[tuple[str, ...]]] = (("rmse", "mae"), ("r2",))
    primary_metric: ClassVar[str] = "rmse"

    pooling: PoolingConfig
    standardizer: Standardizer

    @classmethod
    def check(cls, config: Any, train: Dataset, valid: Dataset) -> None:
        targets = set(_numbers(train))
        _numbers(valid)
        if len(targets) == 1:
            raise OptionError(
                f"every training target is {targets.pop():g}; expected at least two different values"
            )

    @classmethod
    def learn(cls, config: Any, answers: Sequence[Sequence[str]]) -> Self:
        numbers = np.array([float(text) for [text] in answers])
        return cls(config.pooling, Standardizer.fit(numbers))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls(config.pooling, _from_weights(folder) or Standardizer.load(folder / TARGET)[0])

    def save(self, folder: Path) -> None:
        self.standardizer.save(folder / TARGET)

    def targets(self, data: Dataset) -> list[list[float]]:
        return self.standardizer.apply(np.array(_numbers(data))[:, None]).tolist()  # type: ignore[no-any-return]

    def collate(self, targets: Sequence[list[float]]) -> Tensor:
        return torch.tensor(targets)

    def head(self, encoder: Encoder) -> PooledHead:
        return PooledHead(self.pooling, encoder, 1)

    def network_loss(self, model: Any, batch: Any, targets: Tensor) -> Tensor:
        """Squared error of the standardized target."""
        scores, penalty = self.scores_and_penalty(model, batch)
        return F.mse_loss(scores, targets.to(scores.dtype), reduction="sum") + penalty

    def predictions(self, scores: Tensor, batch: Batch) -> list[PredictedNumber]:
        values = self.standardizer.invert(scores.double().cpu().numpy()[:, 0])
        return [PredictedNumber(value) for value in values.tolist()]

    def empty(self) -> PredictedNumber:
        return PredictedNumber(None)

    def score(
        self,
        predicted: Sequence[PredictedNumber],
        data: Dataset,
        in_vocabulary: Sequence[Sequence[bool]] | None = None,
    ) -> NumberScores:
        # The training mean stands in for inputs without positions, which have no prediction.
        mean = float(self.standardizer.mean)
        values = [mean if each.value is None else each.value for each in predicted]
        return score_numbers(values, _numbers(data))

    def tables(self, metrics: NumberScores) -> list[Rows]:
        rows = [
            ["RMSE", f"{metrics.rmse:.4g}"],
            ["MAE", f"{metrics.mae:.4g}"],
            ["R²", f"{metrics.r2:.4f}"],
        ]
        return [rows]

    @classmethod
    def statistics(cls, predicted: Sequence[PredictedNumber], data: Dataset) -> Numbers:
        """Return (squared error, 1); the mean target stands in for missing predictions."""
        targets = np.array(_numbers(data))
        values = np.array([np.nan if p.value is None else p.value for p in predicted])
        errors = np.where(np.isnan(values), targets.mean(), values) - targets
        return np.stack([errors**2, np.ones_like(errors)], axis=1)

    @classmethod
    def value(cls, sums: Numbers) -> Numbers:
        return np.asarray(np.sqrt(super().value(sums)))

    def to_text(self, prediction: PredictedNumber) -> str:
        return "–" if prediction.value is None else f"{prediction.value:.6g}"

    def to_json(self, prediction: PredictedNumber) -> Values:
        return {"answer": prediction.value}

    def cells(self, prediction: PredictedNumber) -> list[Any]:
        return ["" if prediction.value is None else prediction.value]


def _numbers(data: Dataset) -> list[float]:
    """Return the targets.

    Raises: DataError naming file and line, see `parse_number`.
    """
    return [parse_number(text, partial(data.error, row)) for row, [text] in enumerate(data.answers)]


def _from_weights(folder: Path) -> Standardizer | None:
    """Return the mean and scale of a format 1 run, which stores them among the weights; None for later formats."""
    if run_folder.read_format(folder) > 1:
        return None
    tensors, _ = run_folder.read_tensors(folder / run_folder.WEIGHTS)
    mean, scale = (tensors[name].double().numpy() for name in ("target_mean", "target_scale"))
    return Standardizer(mean, scale)
