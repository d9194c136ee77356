"""Series of numbers, in their own units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from heedful.export.program import Given
from heedful.export.reading.base import BATCH, LENGTH, Code, Reading
from heedful.inputs.series import SeriesBatch


class SeriesReading(Reading):
    """`values` (batch, length, features), double, in the units of the training data with NaN where one is missing and
    anything at padding; `lengths` (batch,).
    """

    @property
    def features(self) -> int:
        """How many numbers a step has."""
        return len(self.input.standardizer.mean)

    @property
    def given(self) -> Sequence[Given]:
        values = torch.zeros(BATCH, LENGTH, self.features, dtype=torch.float64)
        return [
            Given("values", ("batch", "length", self.features), values),
            Given("lengths", ("batch",), torch.full((BATCH,), LENGTH)),
        ]

    def batch(self, *tensors: Tensor) -> Any:
        values, lengths = tensors
        mean, scale = (
            torch.from_numpy(each)
            for each in (self.input.standardizer.mean, self.input.standardizer.scale)
        )
        levels = torch.zeros_like(values[:, 0])
        if self.input.relative:
            levels = _last_known(values, lengths)
        missing = values.isnan()
        standardized = ((values - levels[:, None] - mean) / scale).masked_fill(missing, 0.0)
        if self.input.has_missing:
            standardized = torch.cat([standardized, missing.double()], dim=2)
        return SeriesBatch(standardized.float(), lengths, levels)

    def code(self) -> Code:
        window = self.input.longest
        steps = min(window or 20, 20)
        return Code(
            [],
            [
                f"values = np.sin(np.arange({steps * self.features})).reshape(1, {steps}, {self.features})  # a series",
                "lengths = np.array([values.shape[1]])",
            ],
        )

    @property
    def notes(self) -> str:
        last = self.input.longest
        window = f" Of a longer series give the last {last} steps." if last else ""
        missing = "NaN stands for a missing value. " if self.input.has_missing else ""
        return (
            f"`values` are series of {self.features} numbers a step, in the units of the training data. {missing}Pad "
            f"shorter series of a batch with anything at the end.{window}"
        )


def _last_known(values: Tensor, lengths: Tensor) -> Tensor:
    """Return the last value of each feature that is not missing, (batch, features)."""
    places = torch.arange(values.shape[1])[:, None]
    known = ~values.isnan() & (places < lengths[:, None, None])
    last = torch.where(known, places, 0).amax(1)
    return values.gather(1, last[:, None])[:, 0]
