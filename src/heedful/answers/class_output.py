"""What `predict` writes of the classes beside the predicted labels: every probability, and the most probable labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Top = Sequence[tuple[str, float]]
"""Labels with their probabilities, most probable first."""


def most_probable(probabilities: Mapping[str, float], count: int) -> tuple[tuple[str, float], ...]:
    """Return the `count` most probable labels; of equal ones the first.

    >>> most_probable({"a": 0.2, "b": 0.5, "c": 0.3}, 2)
    (('b', 0.5), ('c', 0.3))
    """
    return tuple(sorted(probabilities.items(), key=lambda each: -each[1])[:count])


@dataclass(frozen=True, kw_only=True)
class ClassOutput:
    """The classes to write for each prediction.

    >>> output = ClassOutput(probabilities=True, top_k=1)
    >>> output.columns("predicted", ["a", "b"])
    ['predicted_probability_a', 'predicted_probability_b', 'predicted_top_1', 'predicted_top_1_probability']
    >>> output.cells(["a", "b"], {"a": 0.2, "b": 0.8}, [("b", 0.8)])
    [0.2, 0.8, 'b', 0.8]
    >>> output.values({"a": 0.2, "b": 0.8}, [("b", 0.8)])
    {'all_probabilities': {'a': 0.2, 'b': 0.8}, 'top': [{'label': 'b', 'probability': 0.8}]}
    """

    probabilities: bool = False
    """Whether to write the probability of every label."""
    top_k: int = 0
    """How many of the most probable labels to write."""
    interval: float | None = None
    """Of numbers: the probability with which the interval that is written holds the true one; None: no interval."""

    def columns(self, name: str, labels: Sequence[str]) -> list[str]:
        """Return the names of the added columns of a table."""
        columns = [f"{name}_probability_{label}" for label in labels if self.probabilities]
        for place in range(1, self.top_k + 1):
            columns += [f"{name}_top_{place}", f"{name}_top_{place}_probability"]
        return columns

    def cells(
        self, labels: Sequence[str], probabilities: Mapping[str, float], top: Top
    ) -> list[Any]:
        """Return the fields of these columns; all empty for an input without prediction."""
        cells: list[Any] = []
        if self.probabilities:
            cells += [probabilities.get(label, "") for label in labels]
        shown = [cell for pair in top for cell in pair]
        return [*cells, *shown, *[""] * (2 * self.top_k - len(shown))]

    def values(self, probabilities: Mapping[str, float], top: Top) -> dict[str, Any]:
        """Return the classes as JSON values."""
        values: dict[str, Any] = {}
        if self.probabilities:
            values["all_probabilities"] = dict(probabilities)
        if self.top_k:
            values["top"] = [{"label": label, "probability": p} for label, p in top]
        return values
