"""Series of vectors of numbers as an input, standardised by the training data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from heedful.data.series.series import Values, as_values, last_known
from heedful.data.standardize import Standardizer
from heedful.errors import DataError
from heedful.inputs.base import EmbeddedInput
from heedful.models.config import Section
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear

SCALES: Final = "series.json"
"""The file of a run folder that holds mean and scale of each feature."""


class SeriesInputsConfig(Section):
    """How a step of a series becomes features."""

    width: int = Field(
        32,
        ge=0,
        description="Features that a learned map makes of a step; 0: the numbers as they are.",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Probability of dropping a feature.")


class SeriesBatch(NamedTuple):
    """Series, padded on the right with zeros."""

    values: Tensor
    """(batch, length, features), standardised; a missing value is 0. With missing values in training as many features
    again, which are 1 where the value is missing."""
    lengths: Tensor
    """(batch,), long."""
    levels: Tensor
    """(batch, features), double: what was taken off each series before it was standardised."""


class EncodedSeries(NamedTuple):
    """One series as the model reads it."""

    values: Values
    """(length, features), as in `SeriesBatch`."""
    level: Values
    """(features,)."""


class SeriesFeatures(nn.Module):
    """A learned linear map of each step, with dropout: a `SeriesBatch` -> (batch, length, width).

    >>> features = SeriesFeatures(SeriesInputsConfig(width=4), 3)
    >>> features(SeriesBatch(torch.ones(2, 5, 3), torch.tensor([5, 2]), torch.zeros(2, 3))).shape
    torch.Size([2, 5, 4])
    """

    def __init__(self, config: SeriesInputsConfig, features: int):
        super().__init__()
        self.width = config.width or features
        self.map = Linear(features, config.width) if config.width else nn.Identity()
        if isinstance(self.map, Linear):
            nn.init.xavier_uniform_(self.map.weight)
            nn.init.zeros_(self.map.bias)
        self.dropout = Dropout(config.dropout)

    def forward(self, batch: SeriesBatch) -> Tensor:
        output: Tensor = self.dropout(self.map(batch.values))
        return output


@dataclass(frozen=True, eq=False)
class SeriesInput(EmbeddedInput[Values, EncodedSeries]):
    """Series of (length, features), each feature less its training mean and divided by its training deviation.

    Reads the section inputs (`SeriesInputsConfig`), and data.window and data.is_relative.

    >>> series = SeriesInput.of([np.array([[1.0], [3.0]]), np.array([[np.nan]])], SeriesInputsConfig())
    >>> series.encode([np.array([[3.0], [np.nan]])])[0].values.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    standardizer: Standardizer
    """Of the training steps, a feature each."""
    has_missing: bool
    """Whether the training series have missing values, so that the model is shown which are."""
    options: SeriesInputsConfig
    longest: int | None = None
    """Of longer series the last so many steps are read; None: all."""
    relative: bool = False
    """Whether the last known values are taken off a series first."""

    @classmethod
    def learn(cls, config: Any, examples: Sequence[Values]) -> Self:
        return cls.of(examples, config.inputs, config.data.window, relative=config.data.is_relative)

    @classmethod
    def of(
        cls,
        examples: Sequence[Values],
        options: SeriesInputsConfig,
        longest: int | None = None,
        *,
        relative: bool = False,
    ) -> Self:
        """Take mean and deviation of the training series, which are relative already if `relative`.

        Raises: DataError for a feature without a single value.
        """
        steps = np.concatenate(list(examples))
        there = ~np.isnan(steps)
        if not there.any(axis=0).all():
            empty = int(np.flatnonzero(~there.any(axis=0))[0]) + 1
            raise DataError(f"feature {empty} of the series has no value in all of the training.")
        return cls(Standardizer.fit(steps), bool((~there).any()), options, longest, relative)

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        standardizer, values = Standardizer.load(folder / SCALES)
        has_missing, data = bool(values.get("has_missing")), config.data
        return cls(standardizer, has_missing, config.inputs, data.window, data.is_relative)

    def save(self, folder: Path) -> None:
        self.standardizer.save(folder / SCALES, has_missing=self.has_missing)

    def encode(self, examples: Sequence[Values]) -> list[EncodedSeries]:
        return [self._encoded(self._read(each)) for each in examples]

    def _read(self, example: Values) -> Values:
        values = as_values(example)
        return values if self.longest is None else values[-self.longest :]

    def _encoded(self, values: Values) -> EncodedSeries:
        if values.shape[1] != len(self.standardizer.mean):
            raise DataError(
                f"the series has {values.shape[1]} features; the model was trained on {len(self.standardizer.mean)}."
            )
        level = last_known(values) if self.relative else np.zeros(len(self.standardizer.mean))
        if np.isnan(level).any():
            empty = int(np.flatnonzero(np.isnan(level))[0]) + 1
            raise DataError(
                f"feature {empty} of the series has no value in the last {len(values)} steps, which are read."
            )
        missing = np.isnan(values)
        standardized = np.where(missing, 0.0, self.standardizer.apply(values - level))
        if self.has_missing:
            standardized = np.concatenate([standardized, missing], axis=1)
        return EncodedSeries(standardized, level)

    def length(self, encoded: EncodedSeries) -> int:
        return len(encoded.values)

    def collate(self, encoded: Sequence[EncodedSeries]) -> SeriesBatch:
        lengths = torch.tensor([len(each.values) for each in encoded])
        values = torch.zeros(len(encoded), int(lengths.max()), encoded[0].values.shape[1])
        for row, each in zip(values, encoded, strict=True):
            row[: len(each.values)] = torch.from_numpy(each.values)
        return SeriesBatch(values, lengths, torch.from_numpy(np.stack([e.level for e in encoded])))

    def embedding(self) -> SeriesFeatures:
        return SeriesFeatures(
            self.options, len(self.standardizer.mean) * (2 if self.has_missing else 1)
        )

    def sizes(self) -> dict[str, int]:
        return {"features": len(self.standardizer.mean)}

    def positions(self, example: Values) -> list[str]:
        return [str(number) for number in range(1, len(self._read(example)) + 1)]

    def title(self, example: Values) -> str:
        return f"{len(self._read(example)):,} steps"
