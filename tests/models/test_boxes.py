"""Boxes and matching beside brute force."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from heedful.errors import OptionError
from heedful.models.boxes import (
    box_area,
    centers_from_corners,
    corners_from_centers,
    overlap,
)
from heedful.models.set_matching import MatchingCost, match, match_batch, matching_cost


def random_corners(count: int, size: int = 9) -> Tensor:
    points = torch.randint(0, size, (count, 2, 2)).double().sort(dim=1).values
    return points.flatten(1)


def cells(box: Tensor) -> set[tuple[int, int]]:
    left, top, right, bottom = (int(number) for number in box)
    return set(itertools.product(range(left, right), range(top, bottom)))


def test_overlap_counts_cells() -> None:
    one, other = random_corners(12), random_corners(15)
    found = overlap(one[:, None], other)
    assert found.iou.shape == (12, 15)
    for i, j in itertools.product(range(12), range(15)):
        a, b = cells(one[i]), cells(other[j])
        union = len(a | b)
        iou = len(a & b) / union if union else 0.0
        assert float(found.iou[i, j]) == pytest.approx(iou)
        hull = (
            torch.maximum(one[i, 2:], other[j, 2:]) - torch.minimum(one[i, :2], other[j, :2])
        ).prod()
        wanted = iou - (float(hull) - union) / float(hull) if hull else 0.0
        assert float(found.generalized[i, j]) == pytest.approx(wanted)


def test_gradients_where_boxes_do_not_touch() -> None:
    box = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64, requires_grad=True)
    far = torch.tensor([3.0, 4.0, 5.0, 6.0], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(overlap(box, far).generalized, box)
    assert bool((gradient[2:] > 0).all())  # growing towards the other box helps
    assert torch.autograd.gradcheck(lambda b: overlap(b, far).generalized, box)


def test_boxes_without_area_have_no_nan() -> None:
    point = torch.tensor([2.0, 2.0, 2.0, 2.0], requires_grad=True)
    found = overlap(point, torch.tensor([2.0, 2.0, 2.0, 2.0]))
    assert float(found.iou.detach()) == 0
    (gradient,) = torch.autograd.grad(found.generalized, point)
    assert bool(gradient.isfinite().all())


def test_centers_and_corners_are_inverse() -> None:
    boxes = random_corners(20)
    torch.testing.assert_close(corners_from_centers(centers_from_corners(boxes)), boxes)
    assert torch.equal(box_area(boxes), centers_from_corners(boxes)[:, 2:].prod(-1))


@given(st.integers(1, 5), st.integers(0, 5), st.integers(0, 10**6))
def test_matching_is_the_best_of_all(queries: int, objects: int, seed: int) -> None:
    cost = torch.rand(queries, objects, generator=torch.Generator().manual_seed(seed)) - 0.5
    if objects > queries:
        with pytest.raises(
            OptionError, match=f"{objects} objects, but the model {queries} queries"
        ):
            match(cost)
        return
    rows, columns = match(cost)
    assert len(set(rows.tolist())) == objects
    assert sorted(columns.tolist()) == list(range(objects))
    best = min(
        sum(float(cost[row, column]) for column, row in enumerate(chosen))
        for chosen in itertools.permutations(range(queries), objects)
    )
    assert float(cost[rows, columns].sum()) == pytest.approx(best, abs=1e-6)


def test_the_cost_is_its_formula() -> None:
    scores, boxes = torch.randn(4, 3), torch.rand(4, 4)
    labels, wanted = torch.tensor([1, 0]), torch.rand(2, 4)
    cost = matching_cost(scores, boxes, labels, wanted, MatchingCost(2.0, 3.0, 0.5))
    for i, j in itertools.product(range(4), range(2)):
        giou = overlap(corners_from_centers(boxes[i]), corners_from_centers(wanted[j])).generalized
        value = (
            -2.0 * scores[i].softmax(-1)[labels[j]]
            + 3.0 * (boxes[i] - wanted[j]).abs().sum()
            - 0.5 * giou
        )
        assert float(cost[i, j]) == pytest.approx(float(value), abs=1e-5)


def test_a_batch_is_matched_image_by_image() -> None:
    scores, boxes = torch.randn(3, 5, 3), torch.rand(3, 5, 4)
    labels = [torch.tensor([0, 1]), torch.tensor([], dtype=torch.long), torch.tensor([1])]
    wanted = [torch.rand(len(each), 4) for each in labels]
    found = match_batch(scores, boxes, labels, wanted, MatchingCost())
    assert found.image.tolist() == [0, 0, 2]
    assert sorted(found.target.tolist()) == [0, 1, 2]
    rows, columns = match(matching_cost(scores[2], boxes[2], labels[2], wanted[2], MatchingCost()))
    assert (found.query[2], found.target[2] - 2) == (rows[0], columns[0])
