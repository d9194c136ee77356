"""How faithful weights are: what hiding the positions of the largest weights does to the predicted label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.answers.label import Label
from heedful.decode.evaluation_mode import evaluation_mode
from heedful.explore.chart import Series
from heedful.explore.record import recording
from heedful.explore.saliency import gradient_saliency
from heedful.tasks.predictor import Predictor

SHARES: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
"""Shares of the positions that are hidden."""
ATTENTION, GRADIENT, RANDOM = "attention", "gradient", "random"


def can_measure(predictor: Predictor) -> bool:
    """Return whether the answer is a label, and positions of the input can be hidden."""
    return isinstance(predictor.answer, Label) and predictor.input.can_hide


def erasure_curves(
    predictor: Predictor,
    examples: Sequence[Any],
    *,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
) -> list[Series]:
    """Return the mean probability of the predicted label by the share of the positions that are hidden.

    The positions are hidden in the order of the weights of the pooling (mean over its heads), of gradient × input
    saliency, and at random. The steeper a curve falls, the more the prediction depends on the positions that its
    measure names first (DeYoung et al. 2020, comprehensiveness, https://aclanthology.org/2020.acl-main.408). A hidden
    position reads 0, the mean of normalized features. A model without attention has the last two curves.

    Args:
        predictor: a model for which `can_measure` is true.
        examples: inputs; of each the prediction of the model is explained.
        shares: of the positions, from 0 to below 1.
        seed: of the random order.
    """
    sums: dict[str, NDArray[Any]] = {}
    rng = np.random.default_rng(seed)
    predictions = list(predictor.predict(examples))
    for encoded, prediction in zip(predictor.input.encode(examples), predictions, strict=True):
        for name, weights in _measures(predictor, encoded, prediction, rng).items():
            curve = _probabilities(predictor, encoded, prediction, weights, shares)
            sums[name] = sums.get(name, np.zeros(len(shares))) + curve
    return [
        Series(name, list(zip(shares, (total / len(examples)).tolist(), strict=True)))
        for name, total in sums.items()
    ]


def _measures(
    predictor: Predictor, encoded: Any, prediction: Any, rng: np.random.Generator
) -> Mapping[str, NDArray[Any]]:
    """Return the weights of the positions by each measure."""
    batch = predictor.to_device(predictor.input.collate([encoded]))
    model = predictor.model
    with evaluation_mode(model), torch.no_grad(), recording(model) as recorder:
        model(batch)
    found: dict[str, NDArray[Any]] = {}
    if "pooling" in recorder.kinds:
        pooled = [each.weights for each in recorder.records() if each.kind == "pooling"]
        found[ATTENTION] = np.mean([np.asarray(each).mean(axis=(0, 1)) for each in pooled], axis=0)
    saliency = gradient_saliency(predictor, batch, [""], prediction)[0].cpu().numpy()
    found[GRADIENT] = saliency
    found[RANDOM] = rng.random(len(saliency))
    return found


def _probabilities(
    predictor: Predictor,
    encoded: Any,
    prediction: Any,
    weights: NDArray[Any],
    shares: Sequence[float],
) -> NDArray[Any]:
    """Return the probability of the predicted labels after hiding each share of the positions."""
    order = np.argsort(-weights, kind="stable")
    variants = [
        predictor.input.hide(encoded, order[: int(np.ceil(share * len(order)))].tolist())
        for share in shares
    ]
    batch = predictor.to_device(predictor.input.collate(variants))
    with evaluation_mode(predictor.model), torch.inference_mode():
        found = predictor.answer.predictions(predictor.model(batch), batch)
    return np.array(
        [
            np.mean([each.all_probabilities[label] for label in prediction.labels] or [0.0])
            for each in found
        ]
    )
