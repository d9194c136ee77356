"""Heat over images: rollout, sums over many cells, pictures, and how faithful rankings are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import heedful
from heedful.api import TrainedModel
from heedful.data.images.picture import Picture
from heedful.errors import OptionError
from heedful.explore import AttentionRecord
from heedful.explore.cells import MAX_CELLS, cell_maps, one_row, rollout
from heedful.explore.faithfulness import measure_faithfulness, rankings
from tests.cli.conftest import run_command
from tests.images.pictures import picture, write_folder, write_table
from tests.images.test_images_tasks import SMALL


def record(kind: str, weights: Any, layer: int = 0, queries: int | None = None) -> AttentionRecord:
    array = np.array(weights, np.float32)
    names = [str(number) for number in range(array.shape[-1])]
    return AttentionRecord(kind, kind, layer, names[: array.shape[1]], names, array)


def stochastic(rows: int, columns: int, seed: int, heads: int = 2) -> np.ndarray:
    weights = np.random.default_rng(seed).random((heads, rows, columns))
    return weights / weights.sum(axis=-1, keepdims=True)


def test_rollout_multiplies_the_layers() -> None:
    first, second = stochastic(3, 3, 0), stochastic(3, 3, 1)
    records = [record("encoder", first), record("encoder", second, 1)]
    mixed = [(each.mean(axis=0) + np.eye(3)) / 2 for each in (first, second)]
    expected = (mixed[1] @ mixed[0]).mean(axis=0)
    found = rollout(records, 0, "cat")
    assert found is not None
    assert found.weights[0, 0] == pytest.approx(expected, rel=1e-5)
    assert found.query_tokens == ("cat",)
    by_class = rollout(records, 1, "cat")
    assert by_class is not None
    assert by_class.weights[0, 0] == pytest.approx((mixed[1] @ mixed[0])[0], rel=1e-5)
    pooling = stochastic(1, 3, 2)
    pooled = rollout([*records, record("pooling", pooling)], 0, "cat")
    assert pooled is not None
    assert pooled.weights[0, 0] == pytest.approx(
        pooling.mean(axis=0)[0] @ mixed[1] @ mixed[0], rel=1e-5
    )
    assert rollout([record("pooling", pooling)], 0, "cat") is None


def test_the_class_token_or_all_cells_stand_for_many() -> None:
    weights = stochastic(7, 7, 0)
    plain = one_row(record("encoder", weights), 0)
    assert plain.query_tokens == ("all cells",)
    assert plain.weights[:, 0] == pytest.approx(weights.mean(axis=1), rel=1e-5)
    by_class = one_row(record("encoder", weights), 1)
    assert by_class.query_tokens == ("class",)
    assert by_class.weights[:, 0] == pytest.approx(weights[:, 0], rel=1e-5)
    maps = cell_maps(record("encoder", weights), 1, (1, 2, 3))
    assert maps.shape == (2, 1, 2, 3)
    assert maps[1].ravel() == pytest.approx(weights[1, 0, 1:], rel=1e-5)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explained")
    write_folder(folder / "train", 12)
    return folder


def trained(folder: Path, name: str, **changes: Any) -> TrainedModel:
    settings = {**SMALL, **changes}
    return heedful.train(
        "classify-images",
        train=str(folder / "train"),
        out=folder / name,
        data={"patch": 2},
        **settings,
    )


@pytest.fixture(scope="module")
def model(place: Path) -> TrainedModel:
    return trained(place, "run")


@pytest.fixture(scope="module")
def convolutions(place: Path) -> TrainedModel:
    training = {**SMALL["training"], "epochs": 1}
    return trained(place, "cnn", encoder={"kind": "convolution", "hidden": 8}, training=training)


def test_an_explanation_has_every_head_and_the_rollout(model: TrainedModel) -> None:
    explained = model.explain(picture("left", 0))
    heads = {each.kind: each.heads for each in explained.records}
    assert heads == {"pooling": 2, "encoder": 2, "rollout": 1}
    assert explained.view is not None
    assert explained.view.pixels.shape == (1, 8, 8, 1)
    [rolled] = [each for each in explained.records if each.kind == "rollout"]
    assert rolled.weights.sum() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
def test_pictures_are_drawn(model: TrainedModel, suffix: str, tmp_path: Path, place: Path) -> None:
    file = place / "train" / "left" / "0.png"
    ran = run_command(
        "explain", str(model.run), str(file), "--out", str(tmp_path / f"heat{suffix}")
    )
    assert ran.status == 0, ran.stderr
    data = (tmp_path / f"heat{suffix}").read_bytes()
    assert data.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".html": b"<!DOCTYPE"}[suffix])
    if suffix == ".png":
        with Image.open(tmp_path / "heat.png") as image:
            # Each map colours the image: there are many more colours than the greys of the picture.
            assert len(image.convert("RGB").getcolors(1 << 24) or []) > 300
    if suffix == ".svg":
        assert b"head 2" in data
        assert b"rollout" in data


def test_several_pictures_are_drawn_and_parts_chosen(
    model: TrainedModel, tmp_path: Path, place: Path
) -> None:
    files = [str(place / "train" / side / "0.png") for side in ("left", "right")]
    ran = run_command(
        "explain",
        str(model.run),
        *files,
        "--out",
        str(tmp_path / "heat.svg"),
        "--kind",
        "pooling",
        "--head",
        "1",
    )
    assert ran.status == 0, ran.stderr
    for number in (1, 2):
        assert b"rollout" not in (tmp_path / f"heat-{number}.svg").read_bytes()


def test_without_attention_the_gradient_is_drawn(convolutions: TrainedModel) -> None:
    explained = convolutions.explain(picture("left", 0))
    assert [each.kind for each in explained.records][-1] == "saliency"
    assert explained.png().startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", ["transformer", "convolution"])
def test_many_cells_are_summed_up(kind: str, tmp_path: Path) -> None:
    table = write_table(tmp_path, 4, size=12)
    size = {"width": 8, "heads": 2, "layers": 1} if kind == "transformer" else {"hidden": 8}
    model = heedful.train(
        "tag-images", train=str(table), image="path", label="map", out=tmp_path / "run", encoder={"kind": kind, **size},
        data={"patch": 1, "valid_share": 0.3}, training={**SMALL["training"], "epochs": 1, "batch_tokens": 600},
    )  # fmt: skip
    explained = model.explain(picture("left", 0, 12))
    assert MAX_CELLS < 144
    assert [each.query_tokens for each in explained.records if each.kind != "rollout"] == [
        ("all cells",)
    ]
    assert explained.png().startswith(b"\x89PNG")
    assert (tmp_path / "run" / "report.html").stat().st_size < 3_000_000


def test_frames_stand_side_by_side(tmp_path: Path) -> None:
    for side in ("left", "right"):
        (tmp_path / "train" / side).mkdir(parents=True)
        for number in range(10):
            video = np.stack([picture(side, 10 * number + frame) for frame in range(3)])
            np.save(tmp_path / "train" / side / f"{number}.npy", video)
    settings = {**SMALL, "training": {**SMALL["training"], "epochs": 1}}
    model = heedful.train(
        "classify-images",
        train=str(tmp_path / "train"),
        out=tmp_path / "run",
        data={"patch": 4, "frames": 3},
        **settings,
    )
    explained = model.explain(str(tmp_path / "train" / "left" / "0.npy"))
    assert explained.view is not None
    assert explained.view.pixels.shape == (3, 8, 8, 1)
    assert explained.png().startswith(b"\x89PNG")


def pictures(count: int = 6) -> list[Picture]:
    return [Picture.of(picture(("left", "right")[n % 2], 300 + n), str(n)) for n in range(count)]


def test_the_gradient_finds_what_the_prediction_rests_on(model: TrainedModel) -> None:
    measured = measure_faithfulness(model.predictor, pictures(), steps=8)
    assert set(measured) == {"pooling", "encoder", "rollout", "gradient", "random"}
    for each in measured.values():
        assert each.shares.tolist() == [step / 8 for step in range(9)]
        # Both curves join the whole image and the blank one.
        assert each.deletion[0] == pytest.approx(each.insertion[-1])
        assert each.deletion[-1] == pytest.approx(each.insertion[0])
        assert 0 <= each.deletion_area <= 1
    assert measured["gradient"].deletion_area < measured["random"].deletion_area


def test_curves_are_predictions_of_images_with_cells_replaced(model: TrainedModel) -> None:
    [one] = pictures(1)
    [prediction] = model.predictor.predict([one])
    measured = measure_faithfulness(model.predictor, [one], steps=4)
    mean = round(model.predictor.input.statistics.mean[0])
    for name, heat in rankings(model.predictor, one, prediction).items():
        deleted = picture("left", 300).copy()
        inserted = np.full_like(deleted, mean)
        for cell in np.argsort(-heat, kind="stable")[:4]:
            place = np.s_[
                2 * (cell // 4) : 2 * (cell // 4) + 2, 2 * (cell % 4) : 2 * (cell % 4) + 2
            ]
            inserted[place], deleted[place] = deleted[place], mean
        expected = [
            each.all_probabilities[prediction.labels[0]]
            for each in model.predict([deleted, inserted])
        ]
        found = measured[name].deletion[1], measured[name].insertion[1]
        assert found == pytest.approx(expected, abs=1e-5)


def test_rankings_point_at_cells(model: TrainedModel, convolutions: TrainedModel) -> None:
    one = pictures(1)[0]
    for trained_model in (model, convolutions):
        [prediction] = trained_model.predictor.predict([one])
        ranks = rankings(trained_model.predictor, one, prediction)
        assert all(heat.shape == (16,) for heat in ranks.values())
    assert set(ranks) == {"pooling", "gradient"}


def test_faithfulness_is_of_inputs_that_can_be_hidden(model: TrainedModel, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="faithfulness wants examples"):
        measure_faithfulness(model.predictor, [])
    rows = [{"tokens": ["dogs", "bark"], "tags": ["NOUN", "VERB"]}] * 12
    other = heedful.train(
        "tag",
        train=rows,
        valid=rows,
        out=tmp_path / "run",
        encoder="none",
        training={"epochs": 1, "keep_freed_memory": False},
    )
    with pytest.raises(
        OptionError,
        match="of texts, images, recordings, molecules or graphs; this model is of the task 'tag'",
    ):
        measure_faithfulness(other.predictor, pictures(1))
