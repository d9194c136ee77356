"""Object queries and the loss of a set."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from heedful.errors import OptionError
from heedful.models.encoders import ENCODER_CONFIGS, ENCODERS, Encoder, build_encoder
from heedful.models.query_head import ObjectsConfig, QueryHead
from heedful.models.set_loss import set_loss
from heedful.ops.grid import Grid

CONFIG = ObjectsConfig(queries=5, heads=2, feed_forward=8, groups=4)


def encoder() -> Encoder:
    return ENCODERS["none"](ENCODER_CONFIGS["none"](hidden=8), 4).eval()


def perfect_scores(labels: list[Tensor], boxes: list[Tensor], queries: int, count: int) -> Tensor:
    """Scores of an almost certain and right prediction, with the objects in the last queries."""
    scores = torch.zeros(len(labels), queries, count + 1 + 4, dtype=torch.float64)
    scores[..., count] = 40.0
    scores[..., -4:] = 0.5
    for image, (of_labels, of_boxes) in enumerate(zip(labels, boxes, strict=True)):
        for number, (label, box) in enumerate(zip(of_labels, of_boxes, strict=True)):
            scores[image, -1 - number, count] = 0.0
            scores[image, -1 - number, label] = 40.0
            scores[image, -1 - number, -4:] = box
    return scores


TARGETS = (
    [torch.tensor([0, 2]), torch.tensor([], dtype=torch.long), torch.tensor([1])],
    [
        torch.tensor([[0.2, 0.2, 0.2, 0.3], [0.7, 0.6, 0.3, 0.2]], dtype=torch.float64),
        torch.zeros(0, 4, dtype=torch.float64),
        torch.tensor([[0.5, 0.5, 0.4, 0.4]], dtype=torch.float64),
    ],
)


def test_padding_never_matters() -> None:
    torch.manual_seed(0)
    of, values = encoder(), torch.randn(2, 9, 4)
    head, lengths = QueryHead(CONFIG, of, 3).eval(), torch.tensor([9, 4])
    output = head(of(values, lengths), return_weights=True)
    spoilt = values.clone()
    spoilt[1, 4:] = torch.nan
    assert torch.equal(head(of(spoilt, lengths)).scores, output.scores)
    assert output.weights is not None
    assert output.weights.shape == (2, 2, 5, 9)
    assert not output.weights[1, ..., 4:].any()
    alone = head(of(values[1:, :4], lengths[1:])).scores
    torch.testing.assert_close(alone[:, 0], output.scores[:, 1])
    boxes = output.scores[..., -4:]
    assert bool(((boxes > 0) & (boxes < 1)).all())


def test_key_bias_is_heard() -> None:
    of = encoder()
    head, states = QueryHead(CONFIG, of, 3).eval(), of(torch.randn(1, 6, 4), torch.tensor([6]))
    bias = torch.zeros(1, 6)
    bias[0, 2] = -torch.inf
    weights = head(states, key_bias=bias, return_weights=True).weights
    assert weights is not None
    assert not weights[..., 2].any()


def test_the_loss_of_a_perfect_set_is_zero_in_any_order() -> None:
    scores = perfect_scores(*TARGETS, queries=5, count=3)
    assert float(set_loss(scores, *TARGETS, CONFIG)) == pytest.approx(0, abs=1e-6)
    order = torch.randperm(5)
    assert float(set_loss(scores[:, order], *TARGETS, CONFIG)) == pytest.approx(0, abs=1e-6)


def test_each_part_of_the_loss_counts() -> None:
    labels, boxes = TARGETS
    right = perfect_scores(labels, boxes, queries=5, count=3)
    moved = [box + 0.05 for box in boxes]
    far = float(set_loss(right, labels, moved, CONFIG))
    # three objects in three images: one an image
    distance = 5.0 * 3 * 4 * 0.05
    assert far > distance
    only_distance = CONFIG.model_copy(update={"overlap_cost": 0.0})
    assert float(set_loss(right, labels, moved, only_distance)) == pytest.approx(distance, abs=1e-6)
    wrong = [(label + 1) % 3 for label in labels]
    assert float(set_loss(right, wrong, boxes, CONFIG)) > 10
    louder = CONFIG.model_copy(update={"no_object": 10.0})
    missing = right.clone()
    missing[1, 0, 0] = 80.0  # an object where there is none
    assert float(set_loss(missing, labels, boxes, louder)) > float(
        set_loss(missing, labels, boxes, CONFIG)
    )


def test_gradients_reach_every_parameter() -> None:
    of = encoder()
    head = QueryHead(CONFIG, of, 3).train()
    output = head(of(torch.randn(3, 6, 4), torch.tensor([6, 2, 4]))).scores
    boxes = [box.float() for box in TARGETS[1]]
    loss = sum(set_loss(layer, TARGETS[0], boxes, CONFIG) for layer in output)
    assert isinstance(loss, Tensor)
    loss.backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name


def test_more_objects_than_queries() -> None:
    with pytest.raises(OptionError, match="6 objects, but the model 5 queries"):
        set_loss(torch.zeros(1, 5, 8), [torch.zeros(6).long()], [torch.rand(6, 4)], CONFIG)


def test_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(OptionError, match="objects.heads"):
        QueryHead(ObjectsConfig(heads=3), encoder(), 3)


def test_the_loss_of_what_is_not_finite_is_not_finite() -> None:
    scores = perfect_scores(*TARGETS, queries=5, count=3)
    scores[0] = torch.nan
    assert not set_loss(scores, *TARGETS, CONFIG).isfinite()


def test_groups_of_queries_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    of = encoder()
    head, states = QueryHead(CONFIG, of, 3), of(torch.randn(2, 6, 4), torch.tensor([6, 4]))
    together = head.train()(states).scores
    assert together.shape[2] == 5 * CONFIG.groups
    torch.testing.assert_close(together[:, :, :5], head.eval()(states).scores)


def grid_encoder(rows: int, columns: int) -> Encoder:
    config = ENCODER_CONFIGS["transformer"](kind="transformer", width=8, heads=2)
    return build_encoder(config, 4, Grid(rows, columns)).eval()


def test_queries_start_at_the_most_promising_cells() -> None:
    torch.manual_seed(0)
    of = grid_encoder(4, 6)
    head = QueryHead(CONFIG, of, 3).eval()
    with torch.no_grad():
        # Without what the decoder moves, a query has the box of the cell where it started.
        assert head.cells is not None
        head.cells.box[-1].bias.copy_(torch.tensor([0.1, -0.1, 0.3, 0.2]))
        head.cells.box[-1].weight.normal_()
        found = head.find(of(torch.randn(2, 24, 4), torch.tensor([24, 24])))
    assert found.cells is not None
    assert found.cells.shape == (2, 24, 3 + 1 + 4)
    nothing = found.cells[..., :-4].softmax(-1)[..., -1]
    for image in range(2):
        best = nothing[image].argsort()[:5]
        torch.testing.assert_close(found.scores[0, image, :, -4:], found.cells[image, best, -4:])


def test_a_cell_predicts_a_box_from_its_own_place() -> None:
    torch.manual_seed(0)
    of = grid_encoder(2, 3)
    found = QueryHead(CONFIG, of, 3).eval().find(of(torch.randn(1, 6, 4), torch.tensor([6])))
    assert found.cells is not None
    centers = [((column + 0.5) / 3, (row + 0.5) / 2) for row in range(2) for column in range(3)]
    wanted = torch.tensor([[x, y, 1 / 3, 1 / 3] for x, y in centers])
    torch.testing.assert_close(found.cells[0, :, -4:], wanted)


def test_the_start_of_queries_reaches_every_parameter_and_groups_share_it() -> None:
    torch.manual_seed(0)
    of = grid_encoder(4, 4)
    head, states = QueryHead(CONFIG, of, 3).train(), of(torch.randn(3, 16, 4), torch.full((3,), 16))
    for prediction in (head.prediction, head.cells):
        assert prediction is not None
        torch.nn.init.normal_(prediction.box[-1].weight, std=0.1)
    found = head.find(states)
    assert found.scores.shape[2] == 5 * CONFIG.groups
    alone = head.eval().find(states)
    torch.testing.assert_close(found.scores[:, :, :5], alone.scores)
    assert found.cells is not None
    torch.testing.assert_close(found.cells, alone.cells)
    torch.testing.assert_close(head(states).scores, alone.scores)
    boxes = [box.float() for box in TARGETS[1]]
    losses = [set_loss(layer[:, :5], TARGETS[0], boxes, CONFIG) for layer in found.scores]
    losses.append(set_loss(found.cells, TARGETS[0], boxes, CONFIG, matches=2))
    torch.stack(losses).sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert name == "queries" or bool(parameter.grad.any()), name


def test_an_image_of_fewer_cells_than_queries() -> None:
    with pytest.raises(
        OptionError, match=r"objects.queries is 5, but the image has 4 cells.*learned"
    ):
        QueryHead(CONFIG, grid_encoder(2, 2), 3)
    learned = CONFIG.model_copy(update={"start": "learned"})
    assert QueryHead(learned, grid_encoder(2, 2), 3).cells is None
    assert QueryHead(CONFIG, encoder(), 3).cells is None


def test_several_predictions_are_matched_with_an_object() -> None:
    labels, boxes = TARGETS
    scores = perfect_scores(labels, boxes, queries=5, count=3)
    for image in range(3):  # every object twice
        count = len(labels[image])
        scores[image, :count] = scores[image, 5 - count :].flip(0)
    assert float(set_loss(scores, labels, boxes, CONFIG, matches=2)) == pytest.approx(0, abs=1e-6)
    assert float(set_loss(scores, labels, boxes, CONFIG)) > 1
    # Not as many as asked for where there are too few.
    few = float(set_loss(scores, labels, boxes, CONFIG, matches=9))
    assert few == pytest.approx(float(set_loss(scores, labels, boxes, CONFIG, matches=2)))


def test_a_box_begins_at_its_reference_and_a_head_attends_near_it() -> None:
    from heedful.models.query_head import reference_boxes

    torch.manual_seed(0)
    of = grid_encoder(8, 8)
    head = QueryHead(CONFIG.model_copy(update={"start": "learned"}), of, 3).eval()
    scores = head(of(torch.randn(1, 64, 4), torch.tensor([64]))).scores
    boxes = scores[0, 0, :, -4:]
    torch.testing.assert_close(boxes, reference_boxes(5))
    near = head._near(0, boxes[None], None)
    assert near is not None
    assert near.shape == (1, 2, 5, 64)
    offsets = (head.places - boxes[:, None, :2]) / boxes[:, None, 2:]
    expected = -offsets.square().sum(-1)
    for number, nearness in enumerate(torch.nn.functional.softplus(head.nearness[0])):
        torch.testing.assert_close(near[0, number], nearness * expected)
    bias = torch.zeros(1, 1, 1, 64)
    bias[..., 3] = -torch.inf
    both = head._near(0, boxes[None], bias)
    assert both is not None
    assert bool(both[..., 3].isinf().all())
    assert bool(both[..., 4].isfinite().all())
