"""Accuracy by distance: planted memories come out as what they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from heedful.models.encoders import Encoder
from heedful.probe.encoders import Spec
from heedful.probe.model import ProbeModel, accuracy, loss
from heedful.probe.quality import quality
from heedful.probe.tasks import Copy, First, ProbeTask, Recall
from heedful.probe.workshop import Workshop


class Planted(Encoder):
    """Sums what stood up to `reach` positions back, the nearer the heavier."""

    def __init__(self, width: int, reach: int):
        super().__init__(width, width)
        self.reach = reach

    def encode(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        states = torch.zeros_like(inputs)
        for back in range(min(self.reach + 1, inputs.shape[1])):
            states[:, back:] += inputs[:, : inputs.shape[1] - back]
        return states


def planted(task: ProbeTask, reach: int) -> ProbeModel:
    """Symbols are unit vectors and all else is nothing, so that a state counts the symbols it sees."""
    model = ProbeModel(Planted(task.symbols, reach), task)
    with torch.no_grad():
        model.inputs.embedding.weight.zero_()
        model.inputs.embedding.weight[: task.symbols] = torch.eye(task.symbols)
        model.output.weight.copy_(torch.eye(task.symbols))
        assert model.output.bias is not None
        model.output.bias.zero_()
    return model


@pytest.mark.parametrize(("reach", "seen"), [(0, 0), (6, 0), (7, 1), (100, 1)])
def test_what_is_remembered_is_found_and_what_is_not_is_guessed(reach: int, seen: int) -> None:
    task = Recall(4)
    found = accuracy(planted(task, reach), task, 8, 400, seed=0)
    assert found == 1.0 if seen else found == pytest.approx(task.chance, abs=0.07)


def test_the_set_alone_is_half_of_what_first_asks() -> None:
    task = First(4)
    assert accuracy(planted(task, 100), task, 8, 600, seed=0) == pytest.approx(0.5, abs=0.06)


def test_every_answer_counts_in_batches_too(monkeypatch: pytest.MonkeyPatch) -> None:
    task, model = Copy(4), planted(Copy(4), 0)
    whole = accuracy(model, task, 8, 50, seed=0)
    asked = task.test(50, 8, torch.Generator().manual_seed(0))
    assert whole == pytest.approx(float((asked.answers[:, 4:] == 0).float().mean()))
    monkeypatch.setattr("heedful.probe.model.TEST_TOKENS", 16)
    assert 0 < accuracy(model, task, 8, 50, seed=0) < 1


def test_training_learns_what_can_be_learned_and_nothing_else(shop: Workshop) -> None:
    settings = replace(
        shop.settings, steps=150, tokens=256, width=16, lengths=(4, 6), train_lengths=(4, 6)
    )
    specs = [Spec.parse(name) for name in ("none", "window:size=3", "lstm")]
    none, window, lstm = quality("recall", specs, Workshop(replace(settings, examples=300)))
    assert [x for x, _ in none.points] == [3.0, 5.0]
    assert all(share < 0.45 for _, share in none.points)
    assert window.points[0][1] > 0.97
    assert window.points[1][1] < 0.45
    assert all(share > 0.9 for _, share in lstm.points)


def test_a_measure_does_not_depend_on_what_came_before(shop: Workshop) -> None:
    specs = [Spec.parse("window"), Spec.parse("transformer:heads=2")]
    forward = list(quality("recall", specs, Workshop(shop.settings)))
    backward = list(quality("recall", specs[::-1], Workshop(shop.settings)))
    assert forward == backward[::-1]


def test_seeds_differ_and_each_length_can_be_trained_for(shop: Workshop) -> None:
    settings = replace(shop.settings, seeds=2, each=True)
    two = Workshop(settings)
    list(quality("recall", [Spec.parse("window")], two))
    assert set(two._trained) == {
        (Spec.parse("window"), "recall", (length,), seed) for length in (8, 16) for seed in (0, 1)
    }
    one, other = (
        two.trained(Spec.parse("window"), "recall", (8,), seed).output.weight for seed in (0, 1)
    )
    assert not torch.equal(one, other)


def test_the_loss_is_of_what_is_asked_alone() -> None:
    task = Recall(4)
    model, asked = planted(task, 0), task.test(5, 6, torch.Generator().manual_seed(0))
    expected = torch.tensor(4.0).log()
    torch.testing.assert_close(loss(model, asked), expected)
