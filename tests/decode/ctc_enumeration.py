"""CTC by definition: sums over all paths, one at a time."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np

from heedful.decode.ctc import Numbers, collapse


def random_frames(frames: int, symbols: int, seed: int = 0) -> Numbers:
    """Log-probabilities of one sequence, far from uniform."""
    scores = np.random.default_rng(seed).normal(scale=2.0, size=(frames, symbols))
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))


def labellings(log_probabilities: Numbers, blank: int = 0) -> dict[tuple[int, ...], float]:
    """The probability of every labelling that has one."""
    frames, symbols = log_probabilities.shape
    found: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(symbols), repeat=frames):
        score = log_probabilities[np.arange(frames), list(path)].sum()
        found[tuple(collapse(path, blank))] += float(np.exp(score))
    return dict(found)


def best_path_of(
    log_probabilities: Numbers, labels: tuple[int, ...], blank: int = 0
) -> tuple[float, tuple[int, ...]]:
    """The most probable path of one labelling, and its log-probability."""
    frames, symbols = log_probabilities.shape
    return max(
        (float(log_probabilities[np.arange(frames), list(path)].sum()), path)
        for path in itertools.product(range(symbols), repeat=frames)
        if tuple(collapse(path, blank)) == labels
    )
