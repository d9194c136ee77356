"""How far attention looks, beside convolutions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heedful
from heedful.api import TrainedModel
from heedful.explore.receptive_field import (
    can_measure_reach,
    convolution_reach,
    encoder_weights,
    reach_curves,
)
from tests.images.pictures import SIDES, picture
from tests.images.test_images_tasks import SMALL

ROWS = [{"image": picture(side, n), "label": side} for side in SIDES for n in range(6)]


def train(out: Path, **changes: Any) -> TrainedModel:
    training = {**SMALL["training"], "epochs": 1}
    return heedful.train(
        "classify-images", train=ROWS, out=out, data={"patch": 2, "valid_share": 0.3},
        **{**SMALL, "training": training, **changes},
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    encoder = {**SMALL["encoder"], "layers": 2}
    inputs = {"class_token": True}
    return train(tmp_path_factory.mktemp("reach") / "run", encoder=encoder, inputs=inputs)


def test_convolutions_see_what_random_walks_do() -> None:
    rng = np.random.default_rng(0)
    steps = rng.integers(-1, 2, (40_000, 3, 2)).cumsum(axis=1)
    expected = np.hypot(steps[..., 0], steps[..., 1]).mean(axis=0)
    assert convolution_reach(3) == pytest.approx(expected, rel=0.02)


def test_curves_have_a_point_a_layer(model: TrainedModel) -> None:
    assert can_measure_reach(model.predictor)
    pictures = [model.predictor.task.reader.check_input(row["image"], "x") for row in ROWS[:3]]
    curves = {each.name: each.points for each in reach_curves(model.predictor, pictures)}
    assert set(curves) == {
        "a 3 × 3 convolution", "as many convolutions", "all layers so far", "head 1", "head 2",
    }  # fmt: skip
    assert all([x for x, _ in points] == [1, 2] for points in curves.values())
    weights = [encoder_weights(model.predictor, each) for each in pictures]
    assert weights[0].shape == (2, 2, 16, 16)
    assert weights[0].sum(-1) == pytest.approx(np.ones((2, 2, 16)))
    cells = np.stack(np.divmod(np.arange(16), 4), axis=1)
    far = np.hypot(*(cells[:, None] - cells).transpose(2, 0, 1))
    expected = np.mean([(each[1, 0] * far).sum(-1).mean() for each in weights])
    assert curves["head 1"][1][1] == pytest.approx(expected)
    # Half of a layer is the connection past it.
    both = np.mean([(each[0].mean(0) * far).sum(-1).mean() for each in weights]) / 2
    assert curves["all layers so far"][0][1] == pytest.approx(both)


def test_the_report_has_a_chart(model: TrainedModel, tmp_path: Path) -> None:
    chart = "How far does attention look?"
    report = (model.run / "report.html").read_text("utf-8")
    assert chart in report
    assert "Are the weights faithful?" in report
    plain = train(tmp_path / "cnn", encoder={"kind": "convolution", "hidden": 8})
    assert not can_measure_reach(plain.predictor)
    assert chart not in (plain.run / "report.html").read_text("utf-8")
    words = [{"text": "good film", "label": "yes"}, {"text": "bad film", "label": "no"}] * 12
    other = heedful.train(
        "classify", train=words, out=tmp_path / "text", encoder="none",
        training={"epochs": 1, "keep_freed_memory": False},
    )  # fmt: skip
    assert not can_measure_reach(other.predictor)
