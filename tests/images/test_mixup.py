"""Mixup: blends of pixels, and the loss of both labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import heedful
from heedful.answers.label import Label
from heedful.answers.mixup import mix_images
from heedful.config import build
from heedful.data.images.dataset import Image, Images
from heedful.data.images.picture import Picture
from heedful.models.encoders.patches import PatchBatch
from heedful.tasks.images import CLASSIFY, ClassifyImagesConfig
from tests.images.pictures import SIDES, picture
from tests.images.test_images_tasks import SMALL


def batch(count: int = 5) -> PatchBatch:
    pixels = torch.randint(0, 256, (count, 1, 4, 4, 1), dtype=torch.uint8)
    return PatchBatch(pixels, torch.full((count,), 4))


def test_pixels_are_blended_in_one_share_and_the_seed_decides() -> None:
    given = batch()
    torch.manual_seed(3)
    mixed = mix_images(given, 0.5)
    torch.manual_seed(3)
    again = mix_images(given, 0.5)
    assert mixed.share == again.share
    assert torch.equal(mixed.batch.pixels, again.batch.pixels)
    values = given.pixels.float()
    expected = mixed.share * values + (1 - mixed.share) * values[mixed.order]
    torch.testing.assert_close(mixed.batch.pixels, expected)
    assert sorted(mixed.order.tolist()) == list(range(5))
    assert torch.equal(mixed.batch.lengths, given.lengths)


def test_shares_follow_the_beta_distribution() -> None:
    torch.manual_seed(0)
    shares = np.array([mix_images(batch(2), 0.2).share for _ in range(2000)])
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    # The variance of Beta(a, a) is 1 / (4 (2a + 1)).
    assert shares.var() == pytest.approx(1 / (4 * 1.4), rel=0.1)


@pytest.mark.parametrize("separator", ["", ","])
def test_the_loss_is_that_of_both_labels_in_training_alone(separator: str) -> None:
    config = build(
        ClassifyImagesConfig, {"data": {"separator": separator, "patch": 4}, "augmentation": {"mixup": 0.4}}
    )  # fmt: skip
    answer = Label.learn(config, [(side,) for side in SIDES] * 4)
    assert answer.mixup == 0.4
    seen: list[Any] = []

    class Scorer(torch.nn.Module):
        def scores_and_penalty(self, given: PatchBatch) -> tuple[Tensor, Tensor]:
            seen.append(given.pixels)
            return given.pixels.float().flatten(1)[:, :3] / 100, torch.tensor(0.5)

        def forward(self, given: PatchBatch) -> Tensor:
            return self.scores_and_penalty(given)[0]

    given, model = batch(3), Scorer()
    images = Images([Image(Picture.of(picture(side, 0), side), (side,)) for side in SIDES])
    targets = answer.collate(answer.targets(images))
    torch.manual_seed(1)
    loss = answer.network_loss(model.train(), given, targets)
    torch.manual_seed(1)
    mixed = mix_images(given, 0.4)
    assert torch.equal(seen[0], mixed.batch.pixels)
    scores = mixed.batch.pixels.flatten(1)[:, :3] / 100
    parts = [answer._loss(scores, each, training=True) for each in (targets, targets[mixed.order])]
    expected = mixed.share * parts[0] + (1 - mixed.share) * parts[1] + 0.5
    torch.testing.assert_close(loss, expected)
    plain = answer.network_loss(model.eval(), given, targets)
    torch.testing.assert_close(
        plain, answer._loss(given.pixels.float().flatten(1)[:, :3] / 100, targets, training=False)
    )


def test_a_classifier_learns_from_blends(tmp_path: Path) -> None:
    rows = [{"image": picture(side, n), "label": side} for side in SIDES for n in range(12)]
    model = heedful.train(
        "classify-images", train=rows, out=tmp_path / "run", data={"patch": 2, "valid_share": 0.3},
        augmentation={"mixup": 0.2}, **SMALL,
    )  # fmt: skip
    test = [{"image": picture(side, 100 + n), "label": side} for side in SIDES for n in range(4)]
    assert model.evaluate(test).accuracy > 0.7
    assert CLASSIFY.load_config(model.run).augmentation.mixup == 0.2
