"""Scenes made of items: boxes hold what is drawn, hidden items are left out, and scenes depend on the seed alone."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.data.builtin import load_builtin_scenes
from heedful.data.images.compose import SceneMaker
from heedful.errors import OptionError

SQUARE, BAR = np.full((8, 8), 200, np.uint8), np.zeros((8, 8), np.uint8)
BAR[:, 3:5] = 250


def test_boxes_hold_the_bright_pixels() -> None:
    maker = SceneMaker([SQUARE, BAR], ["square", "bar"], side=40, sizes=(8, 16), scraps=0, noise=0)
    rng, seen = np.random.default_rng(0), set()
    for _ in range(40):
        scene = maker(rng)
        pixels = scene.picture.kept[0, ..., 0]
        outside = pixels.copy()
        for box in scene.boxes:
            left, top = int(box.left), int(box.top)
            place = np.s_[top : top + int(box.height), left : left + int(box.width)]
            assert pixels[place].max() >= 200
            outside[place] = 0
            seen.add(box.label)
            if box.label == "bar":
                assert box.width < box.height
        if len(scene.boxes) == 1:
            assert (outside > 0).sum() <= pixels.size / 2
    assert seen == {"square", "bar"}


def test_an_item_that_is_hidden_is_no_object() -> None:
    maker = SceneMaker([SQUARE], ["square"], side=8, sizes=(8, 8), most=5, scraps=0, noise=0)
    rng = np.random.default_rng(0)
    assert all(len(maker(rng).boxes) == 1 for _ in range(10))


def test_a_black_item_is_no_object() -> None:
    maker = SceneMaker([np.zeros((8, 8), np.uint8)], ["nothing"], side=16, sizes=(8, 8))
    assert maker(np.random.default_rng(0)).boxes == ()


def test_scraps_and_noise_are_drawn() -> None:
    quiet = SceneMaker([np.zeros((9, 9), np.uint8)], ["nothing"], side=16, sizes=(9, 9), noise=0)
    assert quiet(np.random.default_rng(1)).picture.kept.max() == 0
    scraps = SceneMaker([np.full((9, 9), 20, np.uint8)], ["a"], side=16, sizes=(9, 9), noise=0)
    assert scraps(np.random.default_rng(2)).picture.kept.max() == 12


def test_training_scenes_are_without_end_and_others_are_not() -> None:
    corpus = load_builtin_scenes("scenes")
    train, valid = corpus.scenes("train"), corpus.scenes("valid")
    one, same, other = (train.fresh(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one is not None
    assert same is not None
    assert other is not None
    assert one.texts() == same.texts() != other.texts()
    assert valid.fresh(np.random.default_rng(0)) is None
    assert train.take([0]).fresh(np.random.default_rng(0)) is None


def test_what_cannot_be_composed() -> None:
    with pytest.raises(OptionError, match="got 1 items and 0 labels"):
        SceneMaker([SQUARE], [])
    with pytest.raises(OptionError, match="items of up to 28 pixels do not fit into scenes of 20"):
        SceneMaker([SQUARE], ["square"], side=20)
