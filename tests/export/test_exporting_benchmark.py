"""The search of the benchmark of exported models, on steps whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.exporting import END, batch_axis, greedy


def counting(ends: list[int]) -> Any:
    """Return a step whose row n writes 10 n + its place until it has written `ends[n]` tokens; the state is checked."""

    def step(token: np.ndarray, place: Any, hidden: Any) -> list[Any]:
        assert len(token) == len(place) == hidden.shape[1]
        np.testing.assert_array_equal(hidden[0, :, 0], place[:, 0])
        scores = np.zeros((len(token), 100))
        for row, (number, written) in enumerate(place):
            scores[row, END if written == ends[number] else 10 * number + 10 + written] = 1
        return [scores, np.add(place, [0, 1]), hidden]

    return step


def test_rows_that_have_ended_are_dropped_with_their_states() -> None:
    place = np.array([[0, 0], [1, 0], [2, 0]])
    hidden = place[None, :, :1].repeat(2, 0)
    written = greedy(counting([2, 0, 9]), [place, hidden], np.array([8, 8, 4]))
    assert written == [[10, 11], [], [30, 31, 32, 33]]


def test_the_axis_of_rows() -> None:
    assert batch_axis(np.zeros((2, 3, 4)), 3) == 1  # layers, rows, hidden
    assert batch_axis(np.zeros((3, 7, 4)), 3) == 0
    assert batch_axis(np.zeros((3, 2, 5, 4)), 3) == 0
