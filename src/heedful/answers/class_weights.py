"""Weights of the classes in the training loss, for labels that are unevenly frequent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from heedful import run_folder
from heedful.data.indicator_columns import unknown_labels
from heedful.errors import RunError
from heedful.stored_files import read_json
from heedful.strict_json import to_strict_json

CLASS_WEIGHTS: Final = "class_weights.json"
"""The file of a run folder that holds the weights, for resuming its training."""
_FORMAT: Final = "heedful class weights 1"

Weights = tuple[tuple[float, ...], ...]
"""One row with the weight of each label; with several labels per example, a row (absent, present) for each label."""


def balanced_weights(counts: Sequence[int], beta: float) -> list[float]:
    """Return weights proportional to 1 / count, so that every class counts the same; `beta` is unused.

    >>> balanced_weights([1100, 100], 0.0)[1]
    6.0
    """
    return _normalized(counts, [1 / count if count else 0.0 for count in counts])


def effective_weights(counts: Sequence[int], beta: float) -> list[float]:
    r"""Return weights proportional to :math:`(1 - \beta) / (1 - \beta^n)`, the inverse effective number of examples.

    Cui et al. 2019, https://arxiv.org/abs/1901.05555. At β = 0 all are 1; as β approaches 1 they become those of
    `balanced_weights`.

    >>> [round(weight, 2) for weight in effective_weights([1100, 100], 0.999)]
    [0.67, 4.67]
    """
    return _normalized(
        counts, [(1 - beta) / (1 - beta**count) if count else 0.0 for count in counts]
    )


def _normalized(counts: Sequence[int], weights: Sequence[float]) -> list[float]:
    """Scale weights to mean 1 over the examples, so that they do not change the learning rate."""
    total = sum(count * weight for count, weight in zip(counts, weights, strict=True))
    return [weight * sum(counts) / total for weight in weights]


WEIGHTINGS: Final[Mapping[str, Callable[[Sequence[int], float], list[float]]]] = {
    "balanced": balanced_weights,
    "effective": effective_weights,
}
"""Name, as in `training.class_weights` -> (examples of each class, beta) -> weight of each class."""


def learn_weights(
    answers: Sequence[Sequence[str]],
    labels: Sequence[str],
    weighting: str,
    beta: float,
    *,
    multi_label: bool,
) -> Weights | None:
    """Return the weights of the classes of training answers; None for the weighting "none".

    With several labels per example each label is a class of its own against its absence.
    """
    if weighting == "none":
        return None
    weigh, occurrences = WEIGHTINGS[weighting], Counter(label for each in answers for label in each)
    counts = [occurrences[label] for label in labels]
    if not multi_label:
        return (tuple(weigh(counts, beta)),)
    unknown = Counter(label for each in answers for label in unknown_labels(each))
    known = [len(answers) - unknown[label] for label in labels]
    pairs = zip(known, counts, strict=True)
    return tuple(tuple(weigh([number - count, count], beta)) for number, count in pairs)


def extend_weights(
    weights: Weights, labels: Sequence[str], extended: Sequence[str], *, multi_label: bool
) -> Weights:
    """Return the weights of `labels` in the order of `extended`, which has labels that no training example has, too.

    >>> extend_weights(((0.5, 2.0),), ["a", "b"], ["b", "old", "a"], multi_label=False)
    ((2.0, 0.0, 0.5),)
    >>> extend_weights(((0.5, 2.0),), ["a"], ["old", "a"], multi_label=True)
    ((1.0, 0.0), (0.5, 2.0))
    """
    if multi_label:
        rows = dict(zip(labels, weights, strict=True))
        return tuple(rows.get(label, (1.0, 0.0)) for label in extended)
    of_label = dict(zip(labels, weights[0], strict=True))
    return (tuple(of_label.get(label, 0.0) for label in extended),)


def weights_of(weights: Weights, targets: Tensor, *, multi_label: bool) -> Tensor:
    """Return the weight of each target: of indices (batch,), or with `multi_label` of 0 and 1 (batch, labels)."""
    table = torch.tensor(weights, device=targets.device)
    if multi_label:
        return torch.where(targets > 0, table[:, 1], table[:, 0])
    return table[0][targets]


def save_weights(folder: Path, labels: Sequence[str], weights: Weights | None) -> None:
    """Write the weights to a run folder, or remove its file if there are none."""
    if weights is None:
        (folder / CLASS_WEIGHTS).unlink(missing_ok=True)
    else:
        content = {"format": _FORMAT, "labels": list(labels), "weights": weights}
        run_folder.write_text(
            folder / CLASS_WEIGHTS, to_strict_json(content, ensure_ascii=False) + "\n"
        )


def load_weights(folder: Path, weighting: str) -> Weights | None:
    """Read what `save_weights` wrote; None for the weighting "none".

    Raises: RunError for a missing or damaged file.
    """
    if weighting == "none":
        return None
    path = folder / CLASS_WEIGHTS
    content: Any = read_json(path)
    try:
        if content["format"] == _FORMAT:
            return tuple(tuple(map(float, row)) for row in content["weights"])
    except (ValueError, TypeError, KeyError):
        pass
    raise RunError(f"{path} is damaged; copy the run folder again or retrain")
