"""What a model has to beat: the mean, the nearest neighbour, and trees on descriptors, without attention or epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.answers.label import Label
from heedful.answers.number import Number
from heedful.data.dataset import Dataset
from heedful.errors import OptionError, unknown_choice
from heedful.inputs.molecules import Molecules
from heedful.tasks.base import Task

Numbers = NDArray[np.float64]
Columns = Callable[[Sequence[Any], Sequence[Any], Numbers, bool, int], Numbers]
"""(training inputs, other inputs, one column of targets, whether they are labels 0 and 1, seed) -> values of the other
inputs, numbers or probabilities."""

SMALLEST: Final = 1e-6
"""Probabilities are kept from 0 and 1 by this."""


@dataclass(frozen=True)
class Baseline:
    """A way to predict that learns each target by itself."""

    predict: Columns
    title: str
    input: type[Any] | None = None
    """The input that it reads; None: any."""


def _mean(
    train: Sequence[Any], others: Sequence[Any], targets: Numbers, is_label: bool, seed: int
) -> Numbers:
    return np.full(len(others), targets.mean())


def _neighbour(
    train: Sequence[Any], others: Sequence[Any], targets: Numbers, is_label: bool, seed: int
) -> Numbers:
    from heedful.data.molecules.fingerprints import similarities

    found = similarities(others, train)
    is_nearest = found == found.max(axis=1, keepdims=True)
    # The mean of those that are equally near.
    return np.asarray((is_nearest * targets).sum(axis=1) / is_nearest.sum(axis=1))


def _forest(
    train: Sequence[Any], others: Sequence[Any], targets: Numbers, is_label: bool, seed: int
) -> Numbers:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    if is_label:
        model = RandomForestClassifier(500, random_state=seed)
    else:
        model = RandomForestRegressor(500, max_features=1 / 3, random_state=seed)
    return _fitted(model, train, others, targets, is_label)


def _boosting(
    train: Sequence[Any], others: Sequence[Any], targets: Numbers, is_label: bool, seed: int
) -> Numbers:
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    kind = GradientBoostingClassifier if is_label else GradientBoostingRegressor
    model = kind(
        n_estimators=500, learning_rate=0.05, max_depth=4, subsample=0.5, max_features=0.3, random_state=seed
    )  # fmt: skip
    return _fitted(model, train, others, targets, is_label)


def _fitted(
    model: Any, train: Sequence[str], others: Sequence[str], targets: Numbers, is_label: bool
) -> Numbers:
    """Fit an estimator of scikit-learn on RDKit's descriptors and return its predictions."""
    from heedful.data.molecules.descriptors import descriptor_names, descriptors

    if is_label and len(set(targets.tolist())) == 1:
        return np.full(len(others), targets[0])
    names = descriptor_names()
    limit = float(np.finfo(np.float32).max)
    known, wanted = (
        # Trees only ask which side of a threshold a value is on: what cannot be computed is one more value.
        np.nan_to_num(np.clip(descriptors(each, names), -limit, limit), nan=0.0)
        for each in (train, others)
    )
    model.fit(known, targets)
    found = model.predict_proba(wanted)[:, 1] if is_label else model.predict(wanted)
    return np.asarray(found, dtype=np.float64)


BASELINES: Final[Mapping[str, Baseline]] = {
    "mean": Baseline(_mean, "the mean of the training targets, or the shares of the labels"),
    "neighbour": Baseline(_neighbour, "the most similar molecule by ECFP4", Molecules),
    "forest": Baseline(_forest, "random forest on RDKit's descriptors", Molecules),
    "boosting": Baseline(_boosting, "gradient boosting on RDKit's descriptors", Molecules),
}
"""Name on the command line -> baseline."""


def check_baseline(name: str, task: Task) -> None:
    """Check that a baseline can be measured on a task.

    Raises: OptionError for an unknown baseline, or one that does not read the task's inputs or give its answers.
    """
    if name not in BASELINES:
        raise unknown_choice("baseline", name, BASELINES)
    if not issubclass(task.answer, Label | Number):
        raise OptionError(
            f"the baseline {name} predicts labels and numbers of whole inputs, which {task.name} has not; leave it out"
        )
    wanted = BASELINES[name].input
    if wanted is not None and not issubclass(task.input, wanted):
        raise OptionError(
            f"the baseline {name} reads molecules, which {task.name} has not; leave it out"
        )


def fit_baseline(
    name: str, task: Task, config: Any, train: Dataset, seed: int
) -> tuple[Any, Callable[[Dataset], list[Any]]]:
    """Return the answer learned from training data, and a function from other data to predictions.

    A target that is missing in a row is left out there.
    """
    answer: Any = task.answer.learn(config, train.answers)
    targets = np.array(answer.targets(train), dtype=np.float64)
    columns, is_label = _columns(answer, targets)

    def predict(data: Dataset) -> list[Any]:
        values = []
        for column in columns.T:
            known = np.flatnonzero(~np.isnan(column))
            inputs = [train.inputs[row] for row in known.tolist()]
            fit = BASELINES[name].predict
            values.append(fit(inputs, data.inputs, column[known], is_label, seed))
        scores = torch.from_numpy(_scores(answer, np.stack(values, axis=1)))
        found: list[Any] = answer.predictions(scores, None)
        return found

    return answer, predict


def _columns(answer: Any, targets: Numbers) -> tuple[Numbers, bool]:
    """Return targets of (examples, outputs), with 0 and 1 for labels, and whether they are labels."""
    if not isinstance(answer, Label):
        return targets.reshape(len(targets), -1), False
    if answer.multi_label:
        return targets, True
    return np.eye(len(answer.labels))[targets[:, 0].astype(int)], True


def _scores(answer: Any, values: Numbers) -> Numbers:
    """Return the scores that a network would give, of numbers or probabilities."""
    if not isinstance(answer, Label):
        return values
    likely = np.clip(values, SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(likely / (1 - likely)) if answer.multi_label else np.log(likely))
