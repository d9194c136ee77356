"""Temperature scaling of class probabilities, and the expected calibration error."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

import torch
from torch import Tensor

from heedful import run_folder
from heedful.errors import RunError, count
from heedful.stored_files import read_json
from heedful.strict_json import to_strict_json

CALIBRATION: Final = "calibration.json"
"""The file of a run folder that holds the temperature; a run without one has temperature 1."""
MIN_EXAMPLES: Final = 20
"""Fewer validation examples than this fit no temperature."""
TEMPERATURES: Final = (0.05, 20.0)
"""Smallest and largest temperature."""
LARGEST: Final = 1e6
"""Temperatures above this are no temperatures that were fitted."""
BINS: Final = 15
_FORMAT: Final = "heedful calibration 1"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A temperature fitted on validation data, and the calibration error there."""

    temperature: float
    """Scores are divided by it before softmax or sigmoid: above 1 less confident, below 1 more."""
    examples: int
    error_before: float
    """Expected calibration error on the validation data at temperature 1."""
    error_after: float

    def save(self, folder: Path) -> None:
        """Write `CALIBRATION` to a run folder."""
        text = to_strict_json({"format": _FORMAT, **asdict(self)})
        run_folder.write_text(folder / CALIBRATION, text + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read what `save` wrote; None for a run that has no such file.

        Raises: RunError for a damaged file.
        """
        path = folder / CALIBRATION
        if not path.exists():
            return None
        content: Any = read_json(path)
        try:
            known = content.pop("format") == _FORMAT
            read = cls(**content)
            valid = known and 0 < read.temperature <= LARGEST
        except (TypeError, AttributeError, KeyError):
            valid = False
        if not valid:
            raise RunError(f"{path} is damaged; copy the run folder again or retrain")
        return read


def save_calibration(folder: Path, calibration: Calibration | None) -> None:
    """Write the calibration to a run folder, or remove its file if there is none."""
    if calibration is None:
        (folder / CALIBRATION).unlink(missing_ok=True)
    else:
        calibration.save(folder)


def class_probabilities(scores: Tensor, *, multi_label: bool, temperature: float = 1.0) -> Tensor:
    """Return probabilities of scores (examples, labels): softmax, or with `multi_label` a sigmoid of each.

    >>> class_probabilities(torch.tensor([[2.0, 0.0]]), multi_label=False, temperature=1e9)
    tensor([[0.5000, 0.5000]])
    """
    scaled = scores / temperature
    return scaled.sigmoid() if multi_label else scaled.softmax(-1)


def fit_temperature(scores: Tensor, targets: Tensor, *, multi_label: bool) -> float | None:
    r"""Return the temperature T that minimizes the negative log-likelihood of `targets` under scores / T.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599. The likelihood is convex in :math:`\beta = 1 / T`, with the
    derivative :math:`\sum_n (\sum_k p_{nk} z_{nk} - z_{n y_n})`, whose root is found by bisection.

    Args:
        scores: (examples, labels), before softmax or sigmoid.
        targets: (examples, labels), 1 for the labels of an example, 0 otherwise, NaN for what is not known.
        multi_label: whether each label is independent of the others.

    Returns: the temperature, within `TEMPERATURES`; None if the best would be lower still, as where every target has
        the largest score.

    >>> scores = torch.tensor([[2.0, 0.0]] * 4)
    >>> targets = torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 1.0]])
    >>> round(fit_temperature(scores, targets, multi_label=False), 3)  # 2 / log 3
    1.82
    """
    scores, targets = scores.double(), targets.double()

    def slope(beta: float) -> float:
        p = class_probabilities(scores, multi_label=multi_label, temperature=1 / beta)
        return float((p - targets).mul(scores).nan_to_num(0.0).sum())

    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    if slope(low) >= 0:
        return TEMPERATURES[1]
    if slope(high) <= 0:
        return None
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / math.sqrt(low * high)


def fit_calibration(
    scores: Tensor, targets: Tensor, example: str, *, multi_label: bool
) -> tuple[Calibration | None, str]:
    """Return the calibration of validation scores, or None and the reason why there is none.

    Args:
        scores: as for `fit_temperature`.
        targets: as for `fit_temperature`.
        example: the word for one example, for the reason.
        multi_label: as for `fit_temperature`.
    """
    if len(scores) < MIN_EXAMPLES:
        return None, f"there are only {count(len(scores), f'validation {example}')}"
    temperature = fit_temperature(scores, targets, multi_label=multi_label)
    if temperature is None:
        return None, f"every validation {example} is answered correctly, so more is not known"
    before, after = (
        calibration_error(scores, targets, multi_label=multi_label, temperature=each)
        for each in (1.0, temperature)
    )
    calibration = Calibration(
        temperature=temperature, examples=len(scores), error_before=before, error_after=after
    )
    return calibration, ""


def calibration_error(
    scores: Tensor, targets: Tensor, *, multi_label: bool, temperature: float = 1.0
) -> float:
    r"""Return the expected calibration error :math:`\sum_b \frac{n_b}{n} |\text{accuracy}_b - \text{confidence}_b|`.

    Over `BINS` bins of equal width; the confidence is the probability of the predicted label. With `multi_label` each
    pair of an example and a label counts, with the label's probability and whether the example has it.

    Args:
        scores: (examples, labels).
        targets: (examples, labels), 1 for the labels of an example, 0 otherwise, NaN for what is not known.
        multi_label: as for `fit_temperature`.
        temperature: as for `class_probabilities`.

    >>> scores, targets = torch.tensor([[30.0, 0.0]] * 2), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> round(calibration_error(scores, targets, multi_label=False), 6)
    0.5
    """
    p = class_probabilities(scores.double(), multi_label=multi_label, temperature=temperature)
    if multi_label:
        known = ~targets.isnan()
        confidence, right = p[known], targets[known].double()
    else:
        confidence, best = p.max(-1)
        right = targets.double().gather(-1, best[:, None])[:, 0]
    bins = (confidence * BINS).long().clamp(max=BINS - 1)
    gaps = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, right - confidence)
    return float(gaps.abs().sum()) / max(1, len(confidence))
