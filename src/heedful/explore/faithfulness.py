"""Whether weights name the positions that a prediction rests on: deletion and insertion curves of any input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.answers.label import Label
from heedful.answers.number import Number
from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import OptionError
from heedful.explore.cells import one_row, rollout
from heedful.explore.chart import Series
from heedful.explore.neighbours import flow
from heedful.explore.predicted import record_prediction
from heedful.explore.record import recording
from heedful.explore.saliency import saliency
from heedful.tasks.predictor import Predictor

RANDOM: Final = "random"
SHARES: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
"""Shares of the positions that a report hides."""
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """The mean curves of a way to rank positions, over several inputs.

    Each curve is the support of the prediction as a share of the positions is hidden, the highest ranked first
    (deletion), or only they are shown (insertion), Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421; deletion is
    the comprehensiveness of DeYoung et al. 2020, https://aclanthology.org/2020.acl-main.408. The support of a label is
    its probability; that of a number is minus the distance from the prediction, in deviations of the training targets.
    """

    shares: Numbers
    """(shares,) of the positions, ascending from 0."""
    deletion: Numbers
    """(shares,) mean support; the sooner it falls, the better the ranking."""
    insertion: Numbers
    """(shares,) mean support; the sooner it rises, the better."""

    @property
    def deletion_area(self) -> float:
        """The area under the deletion curve; smaller is better."""
        return float(np.trapezoid(self.deletion, self.shares))

    @property
    def insertion_area(self) -> float:
        """The area under the insertion curve; greater is better."""
        return float(np.trapezoid(self.insertion, self.shares))


def can_measure(predictor: Predictor) -> bool:
    """Return whether the answer is a label or number of the whole input, whose positions can be hidden."""
    answer: Any = predictor.answer
    return isinstance(answer, Label | Number) and bool(predictor.input.can_hide)


def measure_faithfulness(
    predictor: Predictor,
    examples: Sequence[Any],
    *,
    steps: int = 10,
    shares: Sequence[float] | None = None,
    seed: int = 0,
) -> dict[str, Faithfulness]:
    """Measure rankings of positions by attention, by gradient × input and at random.

    What a hidden position reads is the input's matter (`Input.hide`): an image cell the mean colour, a frame the mean
    of its features, an atom or a node none of its features. Of a node its neighbours are hidden, not itself; one
    without neighbours is left out.

    Args:
        predictor: a model for which `can_measure` is true.
        examples: inputs; of each the prediction of the model is explained.
        steps: in how many equal steps all positions are hidden.
        shares: the shares to hide instead.
        seed: of the random ranking.

    Returns: way of ranking -> curves. "pooling" is the attention of the pooling, "encoder" that of the last layer
        towards each position, "rollout" that of all layers (of images and of nodes), "gradient" is gradient × input;
        those that the model has not are left out.

    Raises: OptionError for another model, or no examples.
    """
    if not can_measure(predictor):
        raise OptionError(
            "faithfulness is measured of a label or number of texts, images, recordings, molecules or graphs; this "
            f"model is of the task {predictor.task.name!r}"
        )
    if not examples:
        raise OptionError("faithfulness wants examples; give one or more")
    draw = np.random.default_rng(seed)
    hidden = np.linspace(0, 1, steps + 1) if shares is None else np.asarray(shares, np.float64)
    found: dict[str, list[tuple[Numbers, Numbers]]] = {}
    predictions = list(predictor.predict(examples))
    for example, prediction in zip(examples, predictions, strict=True):
        ranks = rankings(predictor, example, prediction)
        if not next(iter(ranks.values())).size:
            continue  # a node without neighbours
        ranks[RANDOM] = draw.random(len(next(iter(ranks.values()))))
        [encoded] = predictor.input.encode([example])
        for name, heat in ranks.items():
            curves = _curves(predictor, encoded, prediction, heat, hidden)
            found.setdefault(name, []).append(curves)
    return {
        name: Faithfulness(hidden, *(np.mean(each, axis=0) for each in zip(*curves, strict=True)))
        for name, curves in found.items()
    }


def deletion_series(predictor: Predictor, examples: Sequence[Any]) -> list[Series]:
    """Return the deletion curves of a report."""
    measured = measure_faithfulness(predictor, examples, shares=SHARES)
    return [
        Series(name, list(zip(SHARES, each.deletion.tolist(), strict=True)))
        for name, each in measured.items()
    ]


def support_name(predictor: Predictor) -> str:
    """Return what the curves show, for the axis of a chart."""
    if isinstance(predictor.answer, Number):
        return "minus the change of the prediction, in deviations of the targets"
    return "probability of the predicted label"


def rankings(predictor: Predictor, example: Any, prediction: Any) -> dict[str, Numbers]:
    """Return for each way of ranking the heat of the positions, (positions,); a class token is none of them."""
    if predictor.input.is_graph:
        return _neighbour_rankings(predictor, example, prediction)
    view = predictor.input.view(example)
    prefix = 0 if view is None else view[1].prefix
    records = record_prediction(predictor, example, prediction)
    heats: dict[str, Numbers] = {}
    for record in records:
        if record.kind != "saliency":
            heats[record.kind] = one_row(record, prefix).weights.mean(axis=0)[0, prefix:]
    pooled = [each for each in records if each.kind == "pooling"]
    if pooled:  # of an ensemble the mean over its networks
        heats["pooling"] = np.mean(
            [each.weights[:, 0, prefix:].mean(axis=0) for each in pooled], axis=0
        )
    rolled = None if view is None else rollout(records, prefix, "")
    if rolled is not None:
        heats["rollout"] = rolled.weights.mean(axis=0)[0, prefix:]
    gradient = saliency(predictor, example, prediction)
    heats["gradient"] = gradient[0, prefix:].double().cpu().numpy()
    return {name: np.asarray(heat, np.float64) for name, heat in heats.items()}


def _neighbour_rankings(predictor: Predictor, example: Any, prediction: Any) -> dict[str, Numbers]:
    """Return the heat of the neighbours of a node, (neighbours,), the mean over the networks of an ensemble."""
    inputs, model, layers = predictor.input, predictor.model, predictor.config.encoder.layers
    batch = predictor.to_device(inputs.collate(inputs.encode([example])))
    with evaluation_mode(model), torch.no_grad(), recording(model) as recorder:
        model(batch)
    edges, count = recorder.edge_records(), len(inputs.positions(example))
    networks = [edges[first : first + layers] for first in range(0, len(edges), layers)]
    heats = {}
    if networks:
        heats["encoder"] = np.mean([flow(each[-1:], count) for each in networks], axis=0)
        heats["rollout"] = np.mean([flow(each, count) for each in networks], axis=0)
    heats["gradient"] = saliency(predictor, example, prediction)[0].double().cpu().numpy()
    return {name: np.asarray(heat[1:], np.float64) for name, heat in heats.items()}


def _curves(
    predictor: Predictor, encoded: Any, prediction: Any, heat: Numbers, shares: Numbers
) -> tuple[Numbers, Numbers]:
    """Return the support of a prediction under deletion and insertion."""
    hide = predictor.input.hide
    order = np.argsort(-heat, kind="stable").tolist()
    counts = [round(share * len(order)) for share in shares.tolist()]
    variants = [hide(encoded, part) for count in counts for part in (order[:count], order[count:])]
    batch = predictor.to_device(predictor.input.collate(variants))
    with evaluation_mode(predictor.model), torch.inference_mode():
        found = predictor.answer.predict(predictor.model, batch)
    support = np.array([prediction_support(predictor.answer, prediction, each) for each in found])
    return support[::2], support[1::2]


def prediction_support(answer: Any, prediction: Any, found: Any) -> float:
    """Return how much the prediction for altered inputs is that of the whole input."""
    if isinstance(answer, Number):
        scales: Iterable[float] = np.atleast_1d(answer.standardizer.scale).tolist()
        pairs = zip(prediction.values, found.values, scales, strict=True)
        return -float(np.mean([abs(one - other) / scale for one, other, scale in pairs]))
    return float(np.mean([found.all_probabilities[label] for label in prediction.labels] or [0.0]))
