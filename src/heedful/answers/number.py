"""Regression: one number per input or several, standardized for training and predicted in the units of the targets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from heedful import run_folder
from heedful.answers.base import HeadAnswer, Metric, Numbers, Rows, Values
from heedful.answers.class_output import ClassOutput
from heedful.answers.intervals import MIN_EXAMPLES, REPORTED, Intervals, save_intervals
from heedful.answers.sequence_metrics import NumberScores, score_targets
from heedful.data.dataset import Dataset
from heedful.data.number import parse_number
from heedful.data.standardize import Standardizer
from heedful.data.text_rows import split_names
from heedful.errors import OptionError, RunError, shown
from heedful.models.encoders import Encoder
from heedful.models.heads import PooledHead, PoolingConfig
from heedful.models.model import Batch, Model

TARGET: Final = "target.json"
"""File in the run folder with mean and scale of the training targets."""


@dataclass(frozen=True)
class PredictedNumber:
    """The predicted number of one input, or with several targets one for each."""

    values: tuple[float | None, ...]
    """In the units of the targets; None for an input without positions."""
    deviations: tuple[float, ...] = ()
    """Of an ensemble: the standard deviation between its members, of each target."""

    @property
    def value(self) -> float | None:
        """The number, with several targets the first one."""
        return self.values[0]


@dataclass(frozen=True)
class Number(HeadAnswer[PredictedNumber]):
    """One number per input, such as a rating or a price, or several.

    With several targets an example may lack some, which are left out of the loss.

    Reads the section pooling (`PoolingConfig`) and data.target.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric("loss"),
        "rmse": Metric("RMSE", ".4g"),
        "mae": Metric("MAE", ".4g"),
        "r2": Metric("R²", ".4f"),
    }
    charts: ClassVar[Sequence[tuple[str, ...]]] = (("rmse", "mae"), ("r2",))
    primary_metric: ClassVar[str] = "rmse"
    command_options: ClassVar[frozenset[str]] = frozenset({"interval"})
    has_calibration: ClassVar[bool] = True
    uncalibrated_what: ClassVar[str] = "the predictions have no intervals"

    pooling: PoolingConfig
    standardizer: Standardizer
    """Of one target, or of each of several."""
    names: tuple[str, ...] = ("target",)
    """Of the targets."""
    intervals: Intervals | None = None
    """None: the run has none."""

    @classmethod
    def check(cls, config: Any, train: Dataset, valid: Dataset) -> None:
        numbers = _numbers(train)
        _numbers(valid)
        names = _names(config, numbers.shape[1])
        for name, column in zip(names, numbers.T, strict=True):
            distinct = set(column[~np.isnan(column)].tolist())
            if len(distinct) < 2:
                of = f" of {shown(name)}" if len(names) > 1 else ""
                got = f"every training target{of} is {distinct.pop():g}" if distinct else ""
                raise OptionError(
                    f"{got or f'no training text has the target {shown(name)}'}; expected at least two different values"
                )

    @classmethod
    def learn(cls, config: Any, answers: Sequence[Sequence[str]]) -> Self:
        numbers = np.array([[float(written or "nan") for written in each] for each in answers])
        count = numbers.shape[1]
        standardizer = Standardizer.fit(numbers[:, 0] if count == 1 else numbers)
        return cls(config.pooling, standardizer, _names(config, count))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        standardizer = _from_weights(folder) or Standardizer.load(folder / TARGET)[0]
        names = _names(config, standardizer.mean.size)
        return cls(config.pooling, standardizer, names, Intervals.load(folder, len(names)))

    @classmethod
    def load_finished(cls, config: Any, folder: Path, answers: Sequence[Any]) -> Self:
        return cls.load(config, folder).uncalibrated()

    def extend(self, initial: Self) -> Self:
        return initial.uncalibrated()

    def save(self, folder: Path) -> None:
        self.standardizer.save(folder / TARGET)
        save_intervals(folder, self.intervals)

    def targets(self, data: Dataset) -> list[list[float]]:
        """Return the standardised targets; NaN for those that are missing."""
        return self.standardizer.apply(_numbers(data)).tolist()  # type: ignore[no-any-return]

    def collate(self, targets: Sequence[list[float]]) -> Tensor:
        return torch.tensor(targets)

    def count_predictions(self, batch: Any, targets: Tensor) -> int:
        return int((~targets.isnan()).sum())

    def head(self, encoder: Encoder) -> PooledHead:
        return PooledHead(self.pooling, encoder, len(self.names))

    def network_loss(self, model: Any, batch: Any, targets: Tensor) -> Tensor:
        """Squared error of the standardized targets that are known."""
        scores, penalty = self.scores_and_penalty(model, batch)
        # A missing target equals its score, so its error is 0.
        filled = torch.where(targets.isnan(), scores.detach(), targets.to(scores.dtype))
        return F.mse_loss(scores, filled, reduction="sum") + penalty

    def predict(self, model: Any, batch: Batch, **search: Any) -> list[PredictedNumber]:
        if len(model.members) == 1:
            return super().predict(model, batch, **search)
        # Each member by itself, for the deviation between them; their mean is the score of the ensemble.
        scores = torch.stack([self.finite_scores(member, batch) for member in model.members])
        found = self.predictions(scores.mean(dim=0), batch)
        deviations = (scores.double().std(dim=0).cpu().numpy() * self.standardizer.scale).tolist()
        return [
            replace(one, deviations=tuple(each))
            for one, each in zip(found, deviations, strict=True)
        ]

    def predictions(self, scores: Tensor, batch: Batch) -> list[PredictedNumber]:
        rows = self.standardizer.invert(scores.double().cpu().numpy())
        return [PredictedNumber(tuple(row)) for row in rows.tolist()]

    def calibrated(self, predicted: Sequence[PredictedNumber], data: Dataset) -> tuple[Self, str]:
        """Fit intervals, see `heedful.answers.intervals`."""
        values, deviations = _filled(predicted, np.array(np.nan)), self._deviations(predicted)
        intervals = Intervals.fit(values, _numbers(data), deviations)
        reason = "" if intervals else f"they need {MIN_EXAMPLES} validation examples of each target"
        return replace(self, intervals=intervals), reason

    def uncalibrated(self) -> Self:
        return replace(self, intervals=None)

    def _deviations(self, predicted: Sequence[PredictedNumber]) -> Numbers:
        """Return the deviations between members, (inputs, targets); 0 without an ensemble."""
        none = (0.0,) * len(self.names)
        return np.array([each.deviations or none for each in predicted], dtype=np.float64)

    def interval(self, prediction: PredictedNumber, level: float) -> list[tuple[float, float]]:
        """Return for each target the interval that holds it with the probability `level`.

        Raises: OptionError for a run without intervals, or a level that its validation examples cannot give.
        """
        if self.intervals is None:
            raise OptionError(
                f"this run has no intervals: they are made at the end of a training with {MIN_EXAMPLES} or more "
                "validation examples; train anew"
            )
        [half] = self.intervals.half_widths(level, self._deviations([prediction])).tolist()
        pairs = zip(prediction.values, half, strict=True)
        return [(value - each, value + each) for value, each in pairs if value is not None]

    def empty(self) -> PredictedNumber:
        return PredictedNumber((None,) * len(self.names))

    def explained_score(
        self, model: Model, features: Tensor, batch: Any, prediction: Any
    ) -> Tensor:
        return model.score_features(features, batch)[0].sum()

    def score(
        self,
        predicted: Sequence[PredictedNumber],
        data: Dataset,
        in_vocabulary: Sequence[Sequence[bool]] | None = None,
    ) -> NumberScores:
        # The training mean stands in for inputs without positions, which have no prediction.
        values, wanted = _filled(predicted, self.standardizer.mean), _numbers(data)
        scores = score_targets(self.names, values, wanted)
        if self.intervals is None or not self.intervals.can_give(REPORTED):
            return scores
        half = self.intervals.half_widths(REPORTED, self._deviations(predicted))
        known = ~np.isnan(wanted)
        is_inside = np.abs(values - wanted)[known] <= half[known]
        return replace(
            scores, coverage=float(is_inside.mean()), interval_width=float(2 * half[known].mean())
        )

    def tables(self, metrics: NumberScores) -> list[Rows]:
        rows = [
            ["RMSE", f"{metrics.rmse:.4g}"],
            ["MAE", f"{metrics.mae:.4g}"],
            ["R²", f"{metrics.r2:.4f}"],
        ]
        if metrics.coverage is not None:
            rows.append([f"{REPORTED:.0%} intervals hold", f"{metrics.coverage:.1%}"])
            rows.append(["their mean width", f"{metrics.interval_width:.4g}"])
        if not metrics.by_target:
            return [rows]
        each = [
            [name, f"{of.texts:,}", f"{of.rmse:.4g}", f"{of.mae:.4g}", f"{of.r2:.4f}"]
            for name, of in metrics.by_target.items()
        ]
        mean = ["mean", "", *(row[1] for row in rows[:3])]
        table = [["target", "examples", *(row[0] for row in rows[:3])], *each, mean]
        return [table, rows[3:]] if rows[3:] else [table]

    def statistics(self, predicted: Sequence[PredictedNumber], data: Dataset) -> Numbers:
        """Return (squared error, 1) of each target; 0 of a missing one.

        The mean target stands in for missing predictions.
        """
        targets = _numbers(data)
        known = ~np.isnan(targets)
        mean = np.nan_to_num(targets).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        errors = np.where(known, _filled(predicted, mean) - targets, 0.0)
        return np.concatenate([errors**2, known], axis=1)

    @classmethod
    def value(cls, sums: Numbers) -> Numbers:
        """Return the mean over the targets of the root of their mean squared error."""
        squared, counts = np.split(sums, 2, axis=-1)
        return np.asarray(np.sqrt(squared / np.maximum(counts, 1e-12)).mean(axis=-1))

    def to_text(self, prediction: PredictedNumber) -> str:
        shown = ["–" if value is None else f"{value:.6g}" for value in prediction.values]
        if len(shown) == 1:
            return shown[0]
        return ", ".join(f"{name} {each}" for name, each in zip(self.names, shown, strict=True))

    def to_json(self, prediction: PredictedNumber) -> Values:
        if len(self.names) == 1:
            return {"answer": prediction.value}
        return {"answer": dict(zip(self.names, prediction.values, strict=True))}

    def columns(self, name: str) -> list[str]:
        return [name] if len(self.names) == 1 else [f"{name}_{each}" for each in self.names]

    def cells(self, prediction: PredictedNumber) -> list[Any]:
        return ["" if value is None else value for value in prediction.values]

    def check_classes(self, output: ClassOutput, *, json: bool) -> None:
        if output.interval is not None:
            self.interval(PredictedNumber((0.0,) * len(self.names)), output.interval)

    def class_columns(self, name: str, output: ClassOutput) -> list[str]:
        if output.interval is None:
            return []
        return [f"{each}_{end}" for each in self.columns(name) for end in ("low", "high")]

    def class_cells(self, prediction: PredictedNumber, output: ClassOutput) -> list[Any]:
        if output.interval is None:
            return []
        ends = [end for pair in self.interval(prediction, output.interval) for end in pair]
        return ends or [""] * (2 * len(self.names))

    def class_values(self, prediction: PredictedNumber, output: ClassOutput) -> Values:
        if output.interval is None:
            return {}
        pairs: list[Any] = [list(each) for each in self.interval(prediction, output.interval)]
        pairs = pairs or [None] * len(self.names)
        return {
            "interval": pairs[0] if len(pairs) == 1 else dict(zip(self.names, pairs, strict=True))
        }


def _names(config: Any, count: int) -> tuple[str, ...]:
    """Return the names of the targets; a single one may have a comma in its name."""
    written = getattr(config.data, "target", "target")
    return split_names(written) if count > 1 else (written,)


def _filled(predicted: Sequence[PredictedNumber], average: Numbers) -> Numbers:
    """Return the predicted numbers, (inputs, targets), and the average for inputs without positions."""
    found = np.array([each.values for each in predicted], dtype=np.float64)
    return np.where(np.isnan(found), average, found)


def _numbers(data: Dataset) -> Numbers:
    """Return the targets: (examples, targets), NaN where one of several is missing.

    Raises: DataError naming file and line, see `parse_number`.
    """
    rows = [
        [
            parse_number(each, partial(data.error, row)) if each or len(written) == 1 else math.nan
            for each in written
        ]
        for row, written in enumerate(data.answers)
    ]
    found = np.array(rows)
    for row in np.flatnonzero(np.isnan(found).all(axis=1)):
        raise data.error(int(row), f"the {data.example} has no target; remove it.")
    return found


def _from_weights(folder: Path) -> Standardizer | None:
    """Return the mean and scale of a format 1 run, which stores them among the weights; None for later formats."""
    if run_folder.read_format(folder) > 1:
        return None
    path, names = folder / run_folder.WEIGHTS, ("target_mean", "target_scale")
    tensors, _ = run_folder.read_tensors(path)
    if not set(names) <= set(tensors):
        raise RunError(f"{path} holds no {' and '.join(names)}; copy the run folder again")
    mean, scale = (tensors[name].double().numpy() for name in names)
    standardizer = Standardizer(mean, scale)
    standardizer.check(path)
    return standardizer
