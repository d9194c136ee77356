"""Whether an explanation of an image names the cells that the prediction rests on: deletion and insertion curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heedful.answers.label import Label
from heedful.data.images.picture import Picture
from heedful.errors import OptionError
from heedful.explore.cells import one_row
from heedful.explore.explain import explain
from heedful.explore.saliency import saliency
from heedful.explore.schema import AttentionRecord
from heedful.inputs.patches import PatchInput
from heedful.tasks.predictor import Predictor

RANDOM: Final = "random"
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """The mean curves of a way to rank cells, over several images.

    Each curve is the probability of the label that is predicted for the whole image, as a share of cells is replaced by
    the mean colour of the training images, the highest ranked first (deletion), or put back (insertion), Petsiuk et al.
    2018, https://arxiv.org/abs/1806.07421.
    """

    shares: Numbers
    """(steps + 1,) of the cells that are replaced or put back, from 0 to 1."""
    deletion: Numbers
    """(steps + 1,) mean probabilities; the sooner they fall, the better the ranking."""
    insertion: Numbers
    """(steps + 1,) mean probabilities; the sooner they rise, the better."""

    @property
    def deletion_area(self) -> float:
        """The area under the deletion curve, from 0 to 1; smaller is better."""
        return float(np.trapezoid(self.deletion, self.shares))

    @property
    def insertion_area(self) -> float:
        """The area under the insertion curve, from 0 to 1; greater is better."""
        return float(np.trapezoid(self.insertion, self.shares))


def measure_faithfulness(
    predictor: Predictor, pictures: Sequence[Picture], *, steps: int = 10, seed: int = 0
) -> dict[str, Faithfulness]:
    """Measure rankings of cells by attention, by gradient × input and at random.

    Args:
        predictor: a trained classifier of images.
        pictures: the images.
        steps: in how many equal steps the cells are replaced.
        seed: of the random ranking.

    Returns: way of ranking -> curves. "pooling" is the attention of the pooling, "encoder" that of the last layer
        towards each cell, "rollout" that of all layers, "gradient" is gradient × input; those that the model has not
        are left out.

    Raises: OptionError for a model that gives an image no single label, or no pictures.
    """
    images = predictor.input
    if not isinstance(images, PatchInput) or not isinstance(predictor.answer, Label):
        raise OptionError(
            f"faithfulness is measured of classifiers of images; this model is of the task {predictor.task.name!r}"
        )
    if not pictures or predictor.answer.multi_label:
        raise OptionError("faithfulness wants pictures, and a classifier with one label per image")
    draw = np.random.default_rng(seed)
    shares = np.linspace(0, 1, steps + 1)
    found: dict[str, list[tuple[Numbers, Numbers]]] = {}
    for picture in pictures:
        [prediction] = predictor.predict([picture])
        ranks = rankings(predictor, picture, prediction)
        ranks[RANDOM] = draw.random(len(next(iter(ranks.values()))))
        for name, heat in ranks.items():
            curves = _curves(predictor, picture, prediction.labels[0], heat, shares)
            found.setdefault(name, []).append(curves)
    return {
        name: Faithfulness(shares, *(np.mean(each, axis=0) for each in zip(*curves, strict=True)))
        for name, curves in found.items()
    }


def rankings(predictor: Predictor, picture: Picture, prediction: Any) -> dict[str, Numbers]:
    """Return for each way of ranking the heat of the cells, (cells,)."""
    explanation = explain(predictor, picture, prediction)
    assert explanation.view is not None
    prefix = explanation.view.grid.prefix
    last: dict[str, AttentionRecord] = {each.kind: each for each in explanation.records}
    heats = {
        kind: one_row(record, prefix).weights.mean(axis=0)[0, prefix:].astype(np.float64)
        for kind, record in last.items()
        if kind != "saliency"
    }
    gradient = saliency(predictor, picture, prediction)
    heats["gradient"] = gradient[0, prefix:].double().cpu().numpy()
    return heats


def _curves(
    predictor: Predictor, picture: Picture, label: str, heat: Numbers, shares: Numbers
) -> tuple[Numbers, Numbers]:
    """Return the probabilities of a label under deletion and insertion."""
    images = predictor.input
    pixels, grid = images.view(picture)
    order = np.argsort(-heat, kind="stable")
    blank = np.broadcast_to(np.rint(images.statistics.mean).astype(np.uint8), pixels.shape)
    altered = []
    for share in shares:
        chosen = np.zeros(grid.cells, bool)
        chosen[order[: round(share * grid.cells)]] = True
        mask = chosen.reshape(grid.frames, grid.rows, grid.columns)
        mask = mask.repeat(images.patch, axis=1).repeat(images.patch, axis=2)[..., None]
        altered += [np.where(mask, blank, pixels), np.where(mask, pixels, blank)]
    predicted = predictor.predict([Picture.of(each, picture.name) for each in altered])
    probabilities = np.array([each.all_probabilities[label] for each in predicted])
    return probabilities[::2], probabilities[1::2]
