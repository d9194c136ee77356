"""Whether each measure of an explanation names what the prediction rests on: positions are hidden in its order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.answers.label import Label
from heedful.answers.number import Number
from heedful.answers.text_base import TextAnswer
from heedful.answers.token_label import PositionLabel
from heedful.decode.evaluation_mode import evaluation_mode
from heedful.explore.erasure_table import Erasure
from heedful.explore.explanation import Explanation
from heedful.explore.faithfulness import prediction_support
from heedful.explore.schema import AttentionRecord
from heedful.explore.translation import word_axis
from heedful.tasks.predictor import Predictor

KINDS: Final = ("cross", "pooling", "encoder")
"""Kinds of attention whose columns are the positions of the input."""
RANDOM_ORDERS: Final = 10
BATCH: Final = 64

Numbers = NDArray[np.float64]
Support = Callable[[Sequence[Any]], list[float]]
"""Encoded variants of the input -> how much each supports the prediction."""


def erasures(
    predictor: Predictor, explanation: Explanation, records: Sequence[AttentionRecord]
) -> tuple[Erasure, ...]:
    """Return the faithfulness of each record whose columns are the positions of the input, by hiding them in order.

    The heat of a position is the mean of its column over heads and rows; sub-words of a word are hidden together, and
    the end token never. DeYoung et al. 2020, https://aclanthology.org/2020.acl-main.408, call the fall
    comprehensiveness. None of inputs that cannot be hidden, of fewer than two positions, and of labels whose
    probabilities are not known (a chain).
    """
    if not predictor.input.can_hide:
        return ()
    groups = _groups(predictor, explanation)
    found = _support(predictor, explanation)
    if found is None or len(groups) < 2:
        return ()
    support, name = found
    [encoded] = predictor.input.encode([explanation.input])
    known: dict[frozenset[int], float] = {}

    def falls(orders: Sequence[Sequence[int]]) -> list[float]:
        counts = range(1, (len(groups) + 1) // 2 + 1)
        wanted = [[frozenset(order[:count]) for count in counts] for order in orders]
        hidden = {frozenset[int](), *(each for sets in wanted for each in sets)} - known.keys()
        new = sorted(hidden, key=sorted)
        variants = [
            predictor.input.hide(encoded, [at for each in sorted(part) for at in groups[each]])
            for part in new
        ]
        known.update(zip(new, support(variants), strict=True))
        whole = known[frozenset()]
        return [whole - float(np.mean([known[each] for each in sets])) for sets in wanted]

    draw = np.random.default_rng(0)
    orders = [draw.permutation(len(groups)).tolist() for _ in range(RANDOM_ORDERS)]
    random = float(np.mean(falls(orders)))
    fitting = [record for record in records if _fits(record, len(groups))]
    ranked = [np.argsort(-_heat(each, len(groups)), kind="stable").tolist() for each in fitting]
    return tuple(
        Erasure(record.measure, record.kind, record.layer, fall, random, name)
        for record, fall in zip(fitting, falls(ranked), strict=True)
    )


def _groups(predictor: Predictor, explanation: Explanation) -> list[list[int]]:
    """Return the positions that are hidden together: each alone, or those of the sub-words of a word."""
    inputs = predictor.input
    if not isinstance(predictor.answer, TextAnswer):
        return [[position] for position in range(len(inputs.positions(explanation.input)))]
    axis = word_axis(inputs.spelled(explanation.input), inputs.vocabulary.kind, "auto")
    groups: list[list[int]] = [[] for _ in axis.words]
    for position, word in enumerate(axis.index):
        groups[word].append(position)
    return groups


def _fits(record: AttentionRecord, positions: int) -> bool:
    """Whether the columns are the positions, and perhaps an end token."""
    return record.kind in KINDS and positions <= len(record.key_tokens) <= positions + 1


def _heat(record: AttentionRecord, positions: int) -> Numbers:
    heat: Numbers = record.weights.mean(axis=(0, 1), dtype=np.float64)[:positions]
    return heat


def _support(predictor: Predictor, explanation: Explanation) -> tuple[Support, str] | None:
    """Return what tells how much variants support the prediction, and its name."""
    answer: Any = predictor.answer
    if isinstance(answer, TextAnswer):
        return _text_support(predictor, explanation), "mean probability of the target's tokens"
    if isinstance(answer, Label | Number):

        def of(found: Any) -> float:
            return prediction_support(answer, explanation.prediction, found)

        name = "probability of the predicted label"
        if isinstance(answer, Number):
            name = "minus the change of the prediction, in deviations of the targets"
        return _predicted(predictor, of), name
    if isinstance(answer, PositionLabel) and not answer.options.chain:
        labels = explanation.prediction.labels

        def mean(found: Any) -> float:
            pairs = zip(found.probabilities, labels, strict=True)
            return float(np.mean([each[label] for each, label in pairs]))

        return _predicted(predictor, mean), "mean probability of the predicted labels"
    return None


def _predicted(predictor: Predictor, of: Callable[[Any], float]) -> Support:
    def support(variants: Sequence[Any]) -> list[float]:
        values: list[float] = []
        for first in range(0, len(variants), BATCH):
            batch = predictor.input.collate(variants[first : first + BATCH])
            with evaluation_mode(predictor.model), torch.inference_mode():
                found = predictor.answer.predict(predictor.model, predictor.to_device(batch))
            values += [of(each) for each in found]
        return values

    return support


def _text_support(predictor: Predictor, explanation: Explanation) -> Support:
    """Return the mean probability of the tokens of the target, its end among them."""
    model, answer = predictor.model, predictor.answer
    [ids] = answer.encode([explanation.target])
    target = torch.tensor([[int(each) for each in ids]])

    def support(variants: Sequence[Any]) -> list[float]:
        values: list[float] = []
        for first in range(0, len(variants), BATCH):
            rows = variants[first : first + BATCH]
            batch = predictor.to_device(predictor.input.collate(rows))
            given = target.expand(len(rows), -1).to(batch.lengths.device)
            with evaluation_mode(model), torch.inference_mode():
                states = model(batch.ids, batch.lengths, given[:, :-1]).states
                scores = model.output(states).float().softmax(-1)
            each = scores.gather(-1, given[:, 1:, None])[..., 0]
            values += each.mean(dim=1).tolist()
        return values

    return support
