"""What a model has to beat, without attention or epochs: the table of baselines, and how one is fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch

from heedful.answers.label import Label
from heedful.answers.number import Number
from heedful.compare.baseline import Baseline, Numbers, Targets, by_column
from heedful.compare.molecule_baselines import boosting, forest, kernel, neighbour
from heedful.compare.node_baselines import linear, propagation
from heedful.data.dataset import Dataset
from heedful.errors import OptionError, unknown_choice
from heedful.inputs.molecules import Molecules
from heedful.inputs.nodes import Nodes
from heedful.tasks.base import Task

SMALLEST: Final = 1e-6
"""Probabilities are kept from 0 and 1 by this."""


@by_column
def _mean(train: Any, others: Any, targets: Numbers, is_label: bool, seed: int) -> Numbers:
    return np.full(len(others), targets.mean())


BASELINES: Final[Mapping[str, Baseline]] = {
    "mean": Baseline(_mean, "the mean of the training targets, or the shares of the labels"),
    "neighbour": Baseline(neighbour, "the most similar molecule by ECFP4", Molecules, "molecules"),
    "forest": Baseline(forest, "random forest on RDKit's descriptors", Molecules, "molecules"),
    "boosting": Baseline(
        boosting, "gradient boosting on RDKit's descriptors", Molecules, "molecules"
    ),
    "kernel": Baseline(
        kernel, "kernel ridge regression on RDKit's descriptors", Molecules, "molecules"
    ),
    "linear": Baseline(
        linear,
        "logistic regression on the features of a node, or ridge regression of numbers",
        Nodes,
        "nodes",
    ),
    "propagation": Baseline(
        propagation, "label propagation: answers spread along the edges", Nodes, "nodes"
    ),
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
    baseline = BASELINES[name]
    if baseline.input is not None and not issubclass(task.input, baseline.input):
        raise OptionError(
            f"the baseline {name} reads {baseline.reads}, which {task.name} has not; leave it out"
        )


def fit_baseline(
    name: str, task: Task, config: Any, train: Dataset, seed: int
) -> tuple[Any, Callable[[Dataset], list[Any]]]:
    """Return the answer learned from training data, and a function from other data to predictions.

    A target that is missing in a row is left out there.
    """
    answer: Any = task.answer.learn(config, train.answers)
    targets = _targets(answer, np.array(answer.targets(train), dtype=np.float64), config, seed)

    def predict(data: Dataset) -> list[Any]:
        values = BASELINES[name].predict(train.inputs, data.inputs, targets)
        scores = torch.from_numpy(_scores(answer, values))
        found: list[Any] = answer.predictions(scores, None)
        return found

    return answer, predict


def _targets(answer: Any, targets: Numbers, config: Any, seed: int) -> Targets:
    """Return targets of (examples, outputs), with 0 and 1 for labels."""
    if not isinstance(answer, Label):
        return Targets(targets.reshape(len(targets), -1), "number", config, seed)
    if answer.multi_label:
        return Targets(targets, "labels", config, seed)
    return Targets(np.eye(len(answer.labels))[targets[:, 0].astype(int)], "label", config, seed)


def _scores(answer: Any, values: Numbers) -> Numbers:
    """Return the scores that a network would give, of numbers or probabilities."""
    if not isinstance(answer, Label):
        return values
    likely = np.clip(values, SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(likely / (1 - likely)) if answer.multi_label else np.log(likely))
