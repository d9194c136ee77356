"""The search of the benchmark of exported models, on steps whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.exporting import END, greedy


def counting(ends: list[int]) -> Any:
    """Return a step whose row n writes 10 n + its place until it has written `ends[n]` tokens; the state is checked."""

    def step(token: np.ndarray, hidden: Any, place: Any) -> list[Any]:
        assert len(token) == len(place) == hidden.shape[1]
        np.testing.assert_array_equal(hidden[0, :, 0], place[:, 0])
        scores = np.zeros((len(token), 100))
        for row, (number, written) in enumerate(place):
            scores[row, END if written == ends[number] else 10 * number + 10 + written] = 1
        return [scores, hidden, np.add(place, [0, 1])]

    return step


def test_rows_that_have_ended_are_dropped_with_their_states() -> None:
    place = np.array([[0, 0], [1, 0], [2, 0]])
    hidden = place[None, :, :1].repeat(2, 0)  # two layers, as many as rows are left later
    written = greedy(counting([2, 0, 9]), [hidden, place], np.array([8, 8, 4]), recurrent=1)
    assert written == [[10, 11], [], [30, 31, 32, 33]]
