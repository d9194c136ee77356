"""The predictor of a run of texts, and how its answers are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heedful.data.text_tables import Value
from heedful.tasks.classifying import Classified, Classifier
from heedful.tasks.regressing import Regressor
from heedful.tasks.run_folder import read_task
from heedful.tasks.text_predictor import TextPredictor

PREDICTORS: dict[str, type[TextPredictor]] = {each.task: each for each in (Classifier, Regressor)}
Answer = Classified | float | None


def predictor_of(run: Path) -> type[TextPredictor]:
    """Return what loads a run."""
    return PREDICTORS[read_task(run)]


def added_columns(predictor: TextPredictor, name: str | None = None) -> list[str]:
    """Name the columns that predictions are written in; without a name as the run's configuration says."""
    name = predictor.config.prediction.column if name is None else name
    single = isinstance(predictor, Classifier) and not predictor.several
    return [name, f"{name}_probability"] if single else [name]


def added_values(answer: Answer, columns: Sequence[str], *, several: bool) -> dict[str, Value]:
    """Return the values of these columns; empty ones where the text was empty."""
    if isinstance(answer, float):
        return {columns[0]: answer}
    if answer is None or not (answer.labels or several):
        return dict.fromkeys(columns, "")
    if several:
        return {columns[0]: answer.labels}
    return dict(zip(columns, (answer.labels[0], answer.probabilities[0]), strict=True))


def shown(answer: Answer) -> str:
    """Write an answer for people."""
    if answer is None:
        return "–"
    return f"{answer:.6g}" if isinstance(answer, float) else " + ".join(answer.labels) or "–"
