"""The next steps of a series, beside what costs nothing: the last value again, and that of a season before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import torch
from torch import Tensor

from heedful.answers.base import HeadAnswer, Metric, Numbers, Rows, Values
from heedful.data.dataset import Dataset
from heedful.data.series.series import last_known
from heedful.data.standardize import Standardizer
from heedful.errors import OptionError
from heedful.models.encoders import Encoder
from heedful.models.heads import PooledHead, PoolingConfig
from heedful.models.model import Model

TARGETS: Final = "forecast.json"
"""The file of a run folder that holds mean and scale of each feature."""


@dataclass(frozen=True, kw_only=True)
class ForecastScores:
    """Errors in the units of the series, over all features and steps ahead."""

    windows: int
    rmse: float
    mae: float
    persistence_rmse: float
    """Of the last known value, again and again."""
    seasonal_rmse: float | None
    """Of the value one season before; None without a season, or where less than one is read."""
    skill: float
    """1 - squared error / squared error of persistence: above 0 is better than persistence."""
    rmse_by_step: tuple[float | None, ...]
    """None for a step ahead of which no value is known."""


@dataclass(frozen=True, eq=False)
class Forecasted:
    """The forecast of one series."""

    values: Numbers
    """(horizon, features), in the units of the series."""


@dataclass(frozen=True, eq=False)
class Forecast(HeadAnswer[Forecasted]):
    """The next `horizon` steps of every feature.

    Reads the section pooling (`PoolingConfig`), and data.horizon, data.season and data.steps.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric("loss"),
        "rmse": Metric("RMSE", ".4g"),
        "mae": Metric("MAE", ".4g"),
        "skill": Metric("skill", ".3f"),
    }
    charts: ClassVar[Sequence[tuple[str, ...]]] = (("rmse", "mae"), ("skill",))
    primary_metric: ClassVar[str] = "rmse"

    horizon: int
    season: int
    """Steps of a season, for the baseline of one season before; 0: there is none."""
    pooling: PoolingConfig
    standardizer: Standardizer
    """Of the training steps."""

    @classmethod
    def check(cls, config: Any, train: Dataset, valid: Dataset) -> None:
        if config.data.season > config.data.steps:
            raise OptionError(
                f"data.season={config.data.season} is more than data.steps={config.data.steps}, so that no season "
                f"before is read; set data.steps={config.data.season} or more."
            )

    @classmethod
    def learn(cls, config: Any, answers: Sequence[Numbers]) -> Self:
        return cls._of(config, Standardizer.fit(np.concatenate(list(answers))))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls._of(config, Standardizer.load(folder / TARGETS)[0])

    @classmethod
    def _of(cls, config: Any, standardizer: Standardizer) -> Self:
        return cls(config.data.horizon, config.data.season, config.pooling, standardizer)

    def save(self, folder: Path) -> None:
        self.standardizer.save(folder / TARGETS)

    def targets(self, data: Dataset) -> list[Numbers]:
        """Return standardised steps (horizon, features); NaN where one is missing."""
        return [self.standardizer.apply(answer) for answer in data.answers]

    def collate(self, targets: Sequence[Numbers]) -> Tensor:
        return torch.from_numpy(np.stack(targets)).float().flatten(1)

    def head(self, encoder: Encoder) -> PooledHead:
        return PooledHead(self.pooling, encoder, self.horizon * len(self.standardizer.mean))

    def network_loss(self, model: Any, batch: Any, targets: Tensor) -> Tensor:
        """Mean squared error of the standardised steps that are known, summed over the batch."""
        scores, penalty = self.scores_and_penalty(model, batch)
        known = ~targets.isnan()
        errors = (scores - targets.nan_to_num()).square() * known
        return (errors.sum(1) / known.sum(1).clamp(min=1)).sum() + penalty

    def predictions(self, scores: Tensor, batch: Any) -> list[Forecasted]:
        steps = scores.double().cpu().numpy().reshape(len(scores), self.horizon, -1)
        levels = batch.levels.cpu().numpy()[:, None]
        return [Forecasted(each) for each in levels + self.standardizer.invert(steps)]

    def empty(self) -> Forecasted:
        return Forecasted(np.tile(self.standardizer.mean, (self.horizon, 1)))

    def score(
        self,
        predicted: Sequence[Forecasted],
        data: Dataset,
        in_vocabulary: Sequence[Sequence[bool]] | None = None,
    ) -> ForecastScores:
        wanted, season = np.stack(data.answers), self.season
        errors = np.stack([each.values for each in predicted]) - wanted
        last = np.stack(
            [persistence(each, len(wanted[0]), self.standardizer.mean) for each in data.inputs]
        )
        mse, persistent = np.nanmean(errors**2), np.nanmean((last - wanted) ** 2)
        seasons = None
        if 0 < season <= min(map(len, data.inputs)):
            before = np.stack(
                [
                    seasonal(each, len(wanted[0]), season, self.standardizer.mean)
                    for each in data.inputs
                ]
            )
            seasons = float(np.sqrt(np.nanmean((before - wanted) ** 2)))
        return ForecastScores(
            windows=len(data),
            rmse=float(np.sqrt(mse)),
            mae=float(np.nanmean(np.abs(errors))),
            persistence_rmse=float(np.sqrt(persistent)),
            seasonal_rmse=seasons,
            skill=float(1 - mse / persistent) if persistent > 0 else 0.0,
            rmse_by_step=tuple(_rmse(errors[:, step]) for step in range(errors.shape[1])),
        )

    def tables(self, found: ForecastScores) -> list[Rows]:
        rows = [
            ["RMSE", f"{found.rmse:.4g}", ""],
            ["MAE", f"{found.mae:.4g}", ""],
            ["RMSE of persistence", f"{found.persistence_rmse:.4g}", "the last value again"],
        ]
        if found.seasonal_rmse is not None:
            before = f"the value {self.season} steps before"
            rows.append(["RMSE of the season", f"{found.seasonal_rmse:.4g}", before])
        rows.append(["skill", f"{found.skill:.3f}", "1 - squared error / that of persistence"])
        steps = [
            [f"{n}", "–" if rmse is None else f"{rmse:.4g}"]
            for n, rmse in enumerate(found.rmse_by_step, start=1)
        ]
        return [rows, [["steps ahead", "RMSE"], *steps]]

    def statistics(self, predicted: Sequence[Forecasted], data: Dataset) -> Numbers:
        """Squared errors of each window, summed over what is known, and how much that is."""
        errors = np.stack([each.values for each in predicted]) - np.stack(data.answers)
        known = ~np.isnan(errors)
        return np.stack([np.nansum(errors**2, axis=(1, 2)), known.sum(axis=(1, 2))], axis=1)

    @classmethod
    def value(cls, sums: Numbers) -> Numbers:
        return np.asarray(np.sqrt(super().value(sums)))

    def to_text(self, prediction: Forecasted) -> str:
        first = ", ".join(f"{value:.4g}" for value in prediction.values[:, 0][:6])
        return f"{first}{', …' if len(prediction.values) > 6 else ''}"

    def to_json(self, prediction: Forecasted) -> Values:
        return {"forecast": prediction.values.tolist()}

    def cells(self, prediction: Forecasted) -> list[Any]:
        return [" ".join(f"{value:.6g}" for value in row) for row in prediction.values]

    def columns(self, name: str) -> list[str]:
        return [f"{name}_{step}" for step in range(1, self.horizon + 1)]

    def explained_score(
        self, model: Model, features: Tensor, batch: Any, prediction: Any
    ) -> Tensor:
        """Return the sum of all steps that are forecast, standardised."""
        scores, _ = model.score_features(features, batch)
        return scores.sum()


def _rmse(errors: Numbers) -> float | None:
    return None if np.isnan(errors).all() else float(np.sqrt(np.nanmean(errors**2)))


def persistence(read: Numbers, horizon: int, unknown: Numbers | float = 0.0) -> Numbers:
    """Return the last known value of each feature, `horizon` times; `unknown` where there is none.

    >>> persistence(np.array([[1.0, 5.0], [2.0, np.nan]]), 2).tolist()
    [[2.0, 5.0], [2.0, 5.0]]
    """
    last = last_known(read)
    return np.tile(np.where(np.isnan(last), unknown, last), (horizon, 1))


def seasonal(read: Numbers, horizon: int, season: int, unknown: Numbers | float = 0.0) -> Numbers:
    """Return the values of one season before; of a series shorter than a season the last known ones.

    In the place of a missing value is the one before it, or else the first that is known.

    >>> seasonal(np.array([[1.0], [2.0], [3.0]]), 4, 2)[:, 0].tolist()
    [2.0, 3.0, 2.0, 3.0]
    """
    if len(read) < season:
        return persistence(read, horizon, unknown)
    last = _filled(read, unknown)[-season:]
    return last[np.arange(horizon) % season]


def _filled(read: Numbers, unknown: Numbers | float) -> Numbers:
    found, first = read.copy(), last_known(read[::-1])
    before = np.where(np.isnan(first), unknown, first)
    for step in found:
        step[:] = before = np.where(np.isnan(step), before, step)
    return found
