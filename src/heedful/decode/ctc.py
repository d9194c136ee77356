"""Connectionist temporal classification (CTC): loss, best labels of each frame, and forced alignment.

A path has one symbol a frame: a label or the blank. Its labelling is the path with runs of equal symbols reduced to
one symbol and the blanks removed. The probability of a labelling is the sum over all its paths (Graves et al. 2006,
"Connectionist Temporal Classification").
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from heedful.errors import OptionError, ShapeError

Numbers = NDArray[np.float64]
"""(frames, symbols): the log-probabilities of one sequence."""


class LabelSpan(NamedTuple):
    """The frames of one label in an alignment."""

    label: int
    start: int
    """Its first frame, from 0."""
    end: int
    """The frame after its last one."""
    log_probability: float
    """The sum of the label's log-probabilities in these frames."""


def minimum_frames(labels: Sequence[int]) -> int:
    """Return the least number of frames that can carry a labelling.

    One frame a label, and a blank between two equal labels next to each other, which would otherwise be one.

    >>> minimum_frames([5, 6, 6, 7])
    5
    """
    return len(labels) + sum(a == b for a, b in itertools.pairwise(labels))


def ctc_loss(
    log_probabilities: Tensor, lengths: Tensor, labels: Tensor, label_lengths: Tensor, *, blank: int
) -> Tensor:
    r"""Return :math:`-\ln p(y \mid x)` of each sequence, the negative logarithm of the sum over all paths.

    Args:
        log_probabilities: (batch, frames, symbols), normalised over the symbols.
        lengths: (batch,) frames of each sequence.
        labels: (batch, labels), padded on the right.
        label_lengths: (batch,).
        blank: the symbol of no label.

    Returns: (batch,), infinite for labels that the frames cannot carry; see `minimum_frames`.

    Raises:
        ShapeError: the log-probabilities are not (batch, frames, symbols), or the other shapes do not agree.

    >>> import torch
    >>> uniform = torch.full((1, 2, 3), 1 / 3).log()
    >>> loss = ctc_loss(uniform, torch.tensor([2]), torch.tensor([[1]]), torch.tensor([1]), blank=0)
    >>> round(float((-loss).exp() * 9))
    3
    """
    if log_probabilities.dim() != 3:
        raise ShapeError(
            f"log_probabilities have shape {tuple(log_probabilities.shape)}; expected (batch, frames, symbols)."
        )
    batch = log_probabilities.shape[0]
    if labels.dim() != 2 or {len(labels), *lengths.shape, *label_lengths.shape} != {batch}:
        raise ShapeError(
            f"lengths, labels and label_lengths have shapes {tuple(lengths.shape)}, {tuple(labels.shape)} and "
            f"{tuple(label_lengths.shape)}; expected ({batch},), ({batch}, labels) and ({batch},)."
        )
    return functional.ctc_loss(
        log_probabilities.transpose(0, 1).float(),
        labels,
        lengths,
        label_lengths,
        blank=blank,
        reduction="none",
        zero_infinity=False,
    )


def collapse(path: Sequence[int], blank: int) -> list[int]:
    """Return the labelling of a path: runs reduced to one symbol, then blanks removed.

    >>> collapse([0, 5, 5, 0, 5, 6, 6], blank=0)
    [5, 5, 6]
    """
    changed = [True, *(a != b for a, b in itertools.pairwise(path))]
    return [symbol for symbol, new in zip(path, changed, strict=False) if new and symbol != blank]


def best_path(log_probabilities: Numbers, *, blank: int) -> tuple[list[int], float]:
    """Return the labelling of the most probable path, and that path's log-probability (greedy decoding).

    Args:
        log_probabilities: (frames, symbols) of one sequence.
        blank: the symbol of no label.

    >>> labels, score = best_path(np.log(np.array([[0.1, 0.9], [0.2, 0.8], [0.6, 0.4]])), blank=0)
    >>> labels, round(float(np.exp(score)), 3)
    ([1], 0.432)
    """
    check_sequence(log_probabilities, blank)
    path = log_probabilities.argmax(axis=1)
    score = float(log_probabilities[np.arange(len(path)), path].sum())
    return collapse(path.tolist(), blank), score


def align_labels(
    log_probabilities: Numbers, labels: Sequence[int], *, blank: int
) -> list[LabelSpan]:
    """Return the frames of each label in the most probable path of a known labelling (Viterbi).

    Args:
        log_probabilities: (frames, symbols) of one sequence.
        labels: the labelling, without blanks.
        blank: the symbol of no label.

    Raises:
        ShapeError: too few frames for the labels; see `minimum_frames`.
        OptionError: a label is the blank or not a symbol.

    >>> probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    >>> [(span.label, span.start, span.end) for span in align_labels(np.log(probabilities), [1, 2], blank=0)]
    [(1, 1, 3), (2, 3, 4)]
    """
    check_sequence(log_probabilities, blank)
    frames, symbols = log_probabilities.shape
    wrong = [label for label in labels if label == blank or not 0 <= label < symbols]
    if wrong:
        raise OptionError(
            f"label {wrong[0]} cannot be aligned; labels are below {symbols} and not the blank, {blank}."
        )
    if frames < minimum_frames(labels):
        raise ShapeError(
            f"{len(labels)} labels need at least {minimum_frames(labels)} frames; got {frames}."
        )
    if not labels:
        return []
    path = _viterbi(log_probabilities, labels, blank)
    spans = []
    for number, label in enumerate(labels):
        [where] = np.nonzero(path == 2 * number + 1)
        start, end = int(where[0]), int(where[-1]) + 1
        spans.append(LabelSpan(label, start, end, float(log_probabilities[start:end, label].sum())))
    return spans


def _viterbi(log_probabilities: Numbers, labels: Sequence[int], blank: int) -> NDArray[np.int64]:
    """Return the state of each frame: 2n + 1 for label n, an even number for a blank before, between or after."""
    states = np.full(2 * len(labels) + 1, blank)
    states[1::2] = labels
    # A blank may be skipped between two labels that differ.
    skips = np.zeros(len(states), dtype=bool)
    skips[3::2] = states[3::2] != states[1:-2:2]
    emitted = log_probabilities[:, states]
    best = np.full(len(states), -np.inf)
    best[:2] = emitted[0, :2]
    choices = np.zeros(emitted.shape, dtype=np.int8)
    candidates = np.full((3, len(states)), -np.inf)
    for frame in range(1, len(emitted)):
        candidates[0] = best
        candidates[1, 1:] = best[:-1]
        candidates[2, 2:] = np.where(skips[2:], best[:-2], -np.inf)
        choices[frame] = candidates.argmax(axis=0)
        best = candidates.max(axis=0) + emitted[frame]
    path = np.empty(len(emitted), dtype=np.int64)
    path[-1] = len(states) - 1 if best[-1] > best[-2] else len(states) - 2
    for frame in range(len(emitted) - 1, 0, -1):
        path[frame - 1] = path[frame] - choices[frame, path[frame]]
    return path


def check_sequence(log_probabilities: Numbers, blank: int) -> None:
    """Raise ShapeError unless these are (frames, symbols), OptionError unless the blank is one of the symbols."""
    if log_probabilities.ndim != 2 or not log_probabilities.shape[1]:
        raise ShapeError(
            f"log_probabilities have shape {log_probabilities.shape}; expected (frames, symbols)."
        )
    if not 0 <= blank < log_probabilities.shape[1]:
        raise OptionError(
            f"blank is {blank}; expected one of the {log_probabilities.shape[1]} symbols, counted from 0."
        )
