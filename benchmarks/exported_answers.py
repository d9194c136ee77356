"""Answers of Heedful and of exported programs in one form, and how good they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from heedful.answers.label import Label
from heedful.answers.number import Number
from heedful.answers.reply import Reply
from heedful.answers.text import GeneratedText
from heedful.answers.token_label import PositionLabel
from heedful.answers.transcript import TranscribedText


def answer_of(predictor: Any, prediction: Any) -> Any:
    """Return a prediction of Heedful as a text, a label, labels, or rounded numbers."""
    if hasattr(prediction, "candidates"):
        return prediction.candidates[0].text
    if hasattr(prediction, "all_probabilities"):
        return max(prediction.all_probabilities, key=prediction.all_probabilities.get)
    if hasattr(prediction, "labels"):
        return list(prediction.labels)
    return np.round(prediction.values, 3).tolist()


def from_outputs(predictor: Any, outputs: Sequence[Any]) -> list[Any]:
    """Return what a program returned in the same form."""
    first = np.asarray(outputs[0])
    if isinstance(predictor.answer, Label):
        return [predictor.labels[n] for n in first.argmax(-1)]
    if isinstance(predictor.answer, PositionLabel):
        rows = zip(first.argmax(-1), np.asarray(outputs[1]), strict=True)
        return [[predictor.labels[n] for n in row[:length]] for row, length in rows]
    return np.round(first, 3).tolist()


def bleu(found: Sequence[str], wanted: Sequence[str]) -> float:
    """Return sacreBLEU without regard to case, which models of lower-cased words do not have."""
    from sacrebleu import corpus_bleu

    return float(corpus_bleu(found, [wanted], lowercase=True).score)


def accuracy(found: Sequence[str], wanted: Sequence[Sequence[str]]) -> float:
    """Return the percentage of examples with the right label."""
    return 100 * float(np.mean([a in b for a, b in zip(found, wanted, strict=True)]))


def position_accuracy(found: Sequence[Any], wanted: Sequence[Any]) -> float:
    """Return the percentage of positions with the right label."""
    pairs = [pair for a, b in zip(found, wanted, strict=True) for pair in zip(a, b, strict=True)]
    return 100 * float(np.mean([a == b for a, b in pairs]))


def deviation(found: Sequence[Any], wanted: Sequence[Any]) -> float:
    """Return the root of the mean squared error."""
    numbers = [[float(each or "nan") for each in row] for row in wanted]
    return float(np.sqrt(np.nanmean((np.array(found) - np.array(numbers)) ** 2)))


def word_errors(found: Sequence[str], wanted: Sequence[str]) -> float:
    """Return the percentage of words that are wrong."""
    from jiwer import wer

    return 100 * float(wer(list(wanted), list(found)))


QUALITIES: Final[dict[type[Any], tuple[str, Callable[[Any, Any], float]]]] = {
    GeneratedText: ("BLEU, any case", bleu),
    Reply: ("BLEU, any case", bleu),
    TranscribedText: ("word errors %", word_errors),
    Label: ("accuracy %", accuracy),
    PositionLabel: ("accuracy %", position_accuracy),
    Number: ("RMSE", deviation),
}
"""Kind of answer -> the name of what is measured, and what measures it."""
