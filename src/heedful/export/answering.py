"""What exported programs return for each kind of answer, and how the README of an export shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from heedful.answers.boxes import Boxes
from heedful.answers.calibration import class_probabilities
from heedful.answers.forecast import Forecast
from heedful.answers.label import Label
from heedful.answers.link import Link
from heedful.answers.number import Number
from heedful.answers.token_label import PositionLabel
from heedful.errors import OptionError
from heedful.models.boxes import corners_from_centers


class Answering(NamedTuple):
    """How scores become what a program returns."""

    outputs: Sequence[str]
    finish: Callable[[Any, Any, Tensor], Any]
    """(predictor, batch, scores) -> a tensor for each output; one alone as it is."""
    lines: Callable[[Any], Sequence[str]]
    """predictor -> lines of Python that show the outputs."""
    note: str


def _probabilities(predictor: Any, batch: Any, scores: Tensor) -> Tensor:
    answer = predictor.answer
    return class_probabilities(
        scores, multi_label=answer.multi_label, temperature=answer.temperature
    )


def _values(predictor: Any, batch: Any, scores: Tensor) -> Tensor:
    told = predictor.answer.standardizer
    mean, scale = (torch.as_tensor(each) for each in (told.mean, told.scale))
    return mean + scale * scores.double()


def _forecast(predictor: Any, batch: Any, scores: Tensor) -> Tensor:
    horizon = predictor.answer.horizon
    steps = _values(predictor, batch, scores.unflatten(1, (horizon, -1)))
    found: Tensor = batch.levels[:, None] + steps
    return found


def _positions(predictor: Any, batch: Any, scores: Tensor) -> Any:
    return scores, predictor.model.members[0].lengths(batch)


def _boxes(predictor: Any, batch: Any, scores: Tensor) -> Any:
    corners = corners_from_centers(scores[..., -4:]).clamp(0, 1)
    return scores[..., :-4].softmax(-1)[..., :-1], corners


def _links(predictor: Any, batch: Any, scores: Tensor) -> Tensor:
    return scores


def _show_labels(predictor: Any) -> list[str]:
    return ['print(dict(zip(vocabulary["labels"], probabilities[0].tolist())))']


def _show_positions(predictor: Any) -> list[str]:
    if not predictor.answer.options.chain:
        return ['print([vocabulary["labels"][n] for n in scores[0].argmax(-1)])']
    return [
        'chain = {name: np.array(each) for name, each in json.load(open("chain.json")).items()}',
        'reached, before = chain["first"] + scores[0, 0], []',
        "for emitted in scores[0, 1 : positions[0]]:",
        '    through = reached[:, None] + chain["transitions"]',
        "    before.append(through.argmax(0))",
        "    reached = through.max(0) + emitted",
        'best = [int((reached + chain["last"]).argmax())]',
        "for each in reversed(before):",
        "    best.insert(0, int(each[best[0]]))",
        'print([vocabulary["labels"][n] for n in best])',
    ]


def _show_boxes(predictor: Any) -> list[str]:
    return [
        "for shares, corners in zip(probabilities[0], boxes[0]):",
        f"    if shares.max() >= {predictor.answer.threshold}:",
        '        print(vocabulary["labels"][shares.argmax()], shares.max(), corners.tolist())',
    ]


ANSWERINGS: Final[dict[type[Any], Answering]] = {
    Label: Answering(
        ("probabilities",),
        _probabilities,
        _show_labels,
        "`probabilities` (batch, labels), calibrated if the training had enough validation examples for it.",
    ),
    Number: Answering(
        ("predicted",),
        _values,
        lambda predictor: ["print(predicted[0].tolist())"],
        "`predicted` (batch, targets), in the units of the training data.",
    ),
    PositionLabel: Answering(
        ("scores", "positions"),
        _positions,
        _show_positions,
        "`scores` (batch, positions, labels), of which the largest is the label, and `positions` (batch,), how many "
        "each input has.",
    ),
    Forecast: Answering(
        ("forecast",),
        _forecast,
        lambda predictor: ["print(forecast[0].tolist())"],
        "`forecast` (batch, steps, features), in the units of the series.",
    ),
    Boxes: Answering(
        ("probabilities", "boxes"),
        _boxes,
        _show_boxes,
        "`probabilities` (batch, queries, labels), whose rest to 1 is that there is no object, and `boxes` (batch, "
        "queries, 4): left, top, right and bottom in shares of the image.",
    ),
    Link: Answering(
        ("scores",),
        _links,
        lambda predictor: ["print(scores.tolist())"],
        "`scores` (answers, candidates): the larger, the more probable.",
    ),
}
"""Kind of answer -> what is returned for it."""


def answering_of(predictor: Any) -> Answering:
    """Return what is returned for the answer of a model.

    Raises: OptionError for an answer that no program makes.
    """
    for kind in type(predictor.answer).__mro__:
        if kind in ANSWERINGS:
            return ANSWERINGS[kind]
    raise OptionError(
        f"the task {predictor.task.name!r} is not exported: no program makes its answer; the answers that are made: "
        f"{', '.join(sorted(kind.__name__ for kind in ANSWERINGS))}."
    )
