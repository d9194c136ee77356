"""The tasks on images from end to end: train, evaluate, predict, explain, resume, and what is refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import heedful
from heedful import run_folder
from heedful.api import TrainedModel
from heedful.config import build
from heedful.data.images.picture import Picture
from heedful.errors import DataError, HeedfulError, OptionError
from heedful.inputs.patches import PatchInput
from heedful.models.encoders import ENCODERS
from heedful.tasks.images import CLASSIFY, ClassifyImagesConfig
from heedful.training.events import Progress
from heedful.training.loop import train_model
from tests.cli.conftest import run_command
from tests.images.pictures import SIDES, picture, write_folder, write_table

SMALL: dict[str, Any] = {
    "encoder": {"kind": "transformer", "width": 16, "heads": 2, "feed_forward": 16, "layers": 1},
    "pooling": {"heads": 2},
    "training": {
        "epochs": 12,
        "batch_tokens": 64,
        "learning_rate": 0.01,
        "keep_freed_memory": False,
    },
}


def trained(folder: Path, **changes: Any) -> TrainedModel:
    settings = {**SMALL, **changes}
    data = {"patch": 2, "valid_share": 0.3, **settings.pop("data", {})}
    return heedful.train(
        "classify-images", train=str(folder / "train"), out=folder / "run", data=data, **settings
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and `run`, trained on them."""
    folder = tmp_path_factory.mktemp("images")
    write_folder(folder / "train", 12)
    write_folder(folder / "test", 4, seed=100)
    trained(folder)
    return folder


def test_a_classifier_learns_what_is_bright(place: Path) -> None:
    found = heedful.load(place / "run").evaluate(str(place / "test"))
    assert found.accuracy == 1.0


def test_the_commands_take_folders_and_files(place: Path) -> None:
    run, test = str(place / "run"), place / "test"
    evaluated = run_command("evaluate", run, "--test", str(test), "--json")
    assert json.loads(evaluated.stdout.splitlines()[-1])["accuracy"] == 1.0
    predicted = run_command("predict", run, str(test)).stdout.splitlines()
    assert predicted[0] == "image\tpredicted\tpredicted_probability"
    assert [line.split("\t")[:2] for line in predicted[1:]] == [
        [f"{side}/{number}.png", side] for side in sorted(SIDES) for number in range(4)
    ]
    [one] = run_command("predict", run, str(test / "left" / "0.png"), "--json").stdout.splitlines()[
        :1
    ]
    assert json.loads(one)["labels"] == ["left"]
    explained = run_command("explain", run, str(test / "left" / "0.png"))
    assert explained.status == 0
    assert "left: " in explained.stdout


def test_python_takes_arrays_names_and_pictures(place: Path) -> None:
    model, file = heedful.load(place / "run"), place / "test" / "right" / "1.png"
    pixels = picture("right", 101)
    given = [
        pixels,
        str(file),
        file,
        Image.fromarray(pixels),
        {"image": pixels},
        {"file_name": str(file)},
        Picture.of(pixels, "x"),
    ]
    scores = [each.scores for each in model.predict(given)]
    assert [each.label for each in model.predict(given)] == ["right"] * len(given)
    assert scores == [scores[0]] * len(given)


def test_rows_train_too(tmp_path: Path) -> None:
    rows = [{"image": picture(side, n), "label": side} for side in SIDES for n in range(6)]
    model = heedful.train(
        "classify-images",
        train=rows,
        out=tmp_path / "run",
        data={"patch": 2, "valid_share": 0.3},
        **SMALL,
    )
    assert model.labels == tuple(sorted(SIDES)) or set(model.labels) == set(SIDES)
    with pytest.raises(
        DataError, match="example 1 of train has no 'file_name' and no 'image'; its keys are label"
    ):
        heedful.train("classify-images", train=[{"label": "a"}], out=tmp_path / "other")


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_encoder_serves(kind: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "train", 4)
    has_width = ("attention", "transformer", "gat", "gatv2", "graph-transformer", "gcn")
    size = {"width": 8} if kind in has_width else {"hidden": 8}
    training = {**SMALL["training"], "epochs": 1}
    model = trained(
        tmp_path, encoder={"kind": kind, **size}, training=training, pooling={"heads": 1}
    )
    [label] = model.predict([picture("left", 0)])
    assert label.label in SIDES
    records = model.explain(picture("left", 0)).records
    assert records[-1].key_tokens[5] == "2,2"


@pytest.mark.parametrize("inputs", [{"stem": "convolution", "width": 8}, {"class_token": True}])
def test_stems_and_class_tokens_are_trained_and_loaded(
    inputs: dict[str, Any], tmp_path: Path
) -> None:
    write_folder(tmp_path / "train", 4)
    pooling = {"kind": "first"} if inputs.get("class_token") else {"heads": 2}
    model = trained(tmp_path, inputs=inputs, pooling=pooling)
    scores = model.predict([picture("left", 0)])[0].scores
    assert heedful.load(tmp_path / "run").predict([picture("left", 0)])[0].scores == scores
    records = model.explain(picture("left", 0)).records
    assert records[0].key_tokens[0] == ("class" if inputs.get("class_token") else "1,1")


def test_numbers_and_labels_of_cells_are_learned(tmp_path: Path) -> None:
    table = write_table(tmp_path)
    common = {"train": str(table), "image": "path", "patch": 2, **SMALL}
    numbers = heedful.train(
        "regress-images", target="brightness", out=tmp_path / "numbers",
        **{**common, "training": {**SMALL["training"], "epochs": 30}},
    )  # fmt: skip
    assert numbers.evaluate(str(table)).r2 > 0.5
    cells = {key: value for key, value in common.items() if key != "pooling"}
    maps = heedful.train("tag-images", label="map", out=tmp_path / "maps", **cells)
    assert maps.evaluate(str(table)).accuracy > 0.9
    [found] = maps.predict([picture("left", 0)])
    assert len(found.labels) == 16
    predicted = run_command(
        "predict", str(tmp_path / "maps"), str(tmp_path / "left" / "0.png")
    ).stdout
    assert predicted.splitlines()[1].split("\t")[1].split(" ") == list(found.labels)
    assert (
        run_command("explain", str(tmp_path / "maps"), str(tmp_path / "left" / "0.png")).status == 0
    )


def test_maps_fit_their_images_and_the_training(tmp_path: Path) -> None:
    table = write_table(tmp_path)
    settings = {key: value for key, value in SMALL.items() if key != "pooling"}
    model = heedful.train(
        "tag-images", train=str(table), image="path", label="map", patch=2, out=tmp_path / "maps",
        **{**settings, "training": {**SMALL["training"], "epochs": 1}},
    )  # fmt: skip
    larger = write_table(tmp_path / "larger", size=16)
    with pytest.raises(
        DataError, match="the maps of labels have 64 cells; those of the training had 16"
    ):
        model.evaluate(str(larger))
    np.save(tmp_path / "both" / "3-map.npy", np.zeros((4, 8), np.uint8))
    with pytest.raises(DataError, match=r"both/3-map\.npy has 4 × 8 pixels; the image has 8 × 8"):
        model.evaluate(str(table))


def test_cells_with_labels_have_no_class_token(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="a class token is no cell"):
        heedful.train(
            "tag-images", train=str(tmp_path), out=tmp_path / "run", inputs={"class_token": True}
        )


def test_videos_are_frames_of_cells(tmp_path: Path) -> None:
    for side in SIDES:
        (tmp_path / "train" / side).mkdir(parents=True)
        for number in range(6):
            video = np.stack(
                [picture(side if frame == 2 else "both", 10 * number + frame) for frame in range(4)]
            )
            np.save(tmp_path / "train" / side / f"{number}.npy", video)
    model = trained(tmp_path, data={"frames": 4}, training={**SMALL["training"], "epochs": 2})
    assert model.predictor.input.positions(Picture.of(video, "x"))[16:18] == ["2:1,1", "2:1,2"]
    assert model.predict([str(tmp_path / "train" / "left" / "0.npy")])[0].label in SIDES
    with pytest.raises(DataError, match="x: 1 frames; the model was trained on videos of 4 frames"):
        model.predict([Picture.of(picture("left", 0), "x")])


AUGMENTED = {"flip": False, "shift": 1, "erase": 0.5}


def config_of(folder: Path, **changes: Any) -> ClassifyImagesConfig:
    training = {
        **SMALL["training"],
        "epochs": 3,
        "average_epochs": 1,
        "checkpoint_steps": 2,
        "progress_steps": 1,
    }
    values = {
        **SMALL,
        "data": {"train": (str(folder),), "patch": 2, "valid_share": 0.3},
        "training": training,
        **changes,
    }
    return build(ClassifyImagesConfig, values)


def weights(run: Path) -> dict[str, torch.Tensor]:
    tensors, _ = run_folder.read_tensors(run / run_folder.WEIGHTS)
    return tensors


def test_a_resumed_training_sees_the_same_changes_of_its_images(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", 6)
    config = config_of(tmp_path / "train", augmentation=AUGMENTED)
    data = CLASSIFY.reader.read_training(config.data)
    list(train_model(CLASSIFY, config, *data, tmp_path / "whole"))
    with contextlib.closing(train_model(CLASSIFY, config, *data, tmp_path / "cut")) as events:  # type: ignore[type-var]
        for event in events:
            if isinstance(event, Progress) and event.step == 5:
                break
    list(train_model(CLASSIFY, config, *data, tmp_path / "cut", resume=True))
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    plain = config_of(tmp_path / "train")
    list(train_model(CLASSIFY, plain, *data, tmp_path / "plain"))
    other = weights(tmp_path / "plain")
    assert not all(torch.equal(whole[name], other[name]) for name in whole)


def test_changes_depend_on_the_generator_alone(tmp_path: Path) -> None:
    data = CLASSIFY.reader.read_files(
        [str(write_folder(tmp_path / "train", 4))], config_of(tmp_path).data, "train"
    )
    config = config_of(tmp_path, augmentation={"flip": True, "shift": 2, "erase": 0.9})
    images = PatchInput.learn(config, data.inputs)
    change, encoded = images.augmentation(), images.encode(data.inputs)
    assert change is not None
    seen = [change(encoded[0], np.random.default_rng([1, 3, row])) for row in (5, 5, 6)]
    assert (seen[0] == seen[1]).all()
    assert not (seen[0] == seen[2]).all()
    assert images.collate(seen).pixels.shape == images.collate(encoded[:3]).pixels.shape
    plain = PatchInput.learn(config_of(tmp_path), data.inputs)
    assert plain.augmentation() is None


def test_images_of_several_sizes_and_colours_are_brought_to_one(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", 4)
    Image.fromarray(picture("left", 9, 30, 3)).save(tmp_path / "train" / "left" / "large.png")
    training = {**SMALL["training"], "epochs": 1}
    model = trained(tmp_path, training=training, data={"size": 12, "patch": 4, "fit": "pad"})
    assert model.predictor.sizes() == {"rows": 3, "columns": 3, "labels": 3}
    assert model.predictor.input.statistics.channels == 3
    assert len(model.predict([picture("left", 0), picture("left", 0, 50, 3)])) == 2


def test_pixels_are_standardised_by_mean_and_deviation_of_the_training(tmp_path: Path) -> None:
    given = [Picture.of(picture(side, n, 8, 3), str(n)) for side in SIDES for n in range(3)]
    images = PatchInput.learn(config_of(tmp_path), given)
    pixels = np.concatenate([each.kept.reshape(-1, 3) for each in given])
    assert images.statistics.mean == pytest.approx(pixels.mean(axis=0))
    assert images.statistics.scale == pytest.approx(pixels.std(axis=0))
    features = images.embedding()(images.collate(images.encode(given)))
    assert float(features.mean()) == pytest.approx(0.0, abs=1e-5)
    black = PatchInput.learn(config_of(tmp_path), [Picture.of(np.zeros((8, 8), np.uint8), "black")])
    assert black.statistics.scale == (1.0,)


def test_a_stated_colour_is_kept(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", 4)
    training = {**SMALL["training"], "epochs": 1}
    model = trained(tmp_path, training=training, data={"colour": "rgb"})
    assert model.predictor.input.statistics.channels == 3
    grey, colour = picture("left", 0), np.repeat(picture("left", 0)[..., None], 3, -1)
    one, other = model.predict([grey, colour])
    assert one.scores == other.scores


def test_bad_images_are_named_or_left_out(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", 4)
    (tmp_path / "train" / "left" / "note.txt").write_text("no image", encoding="utf-8")
    arguments = (
        *("train", "classify-images", "--train", str(tmp_path / "train"), "--patch", "2"),
        *("--epochs", "1", "--encoder", "none", "--out", str(tmp_path / "run")),
        *("--set", "data.valid_share=0.3", "--set", "training.keep_freed_memory=false"),
    )
    ran = run_command(*arguments)
    assert ran.status != 0
    assert ran.stderr.count("\n") == 1
    assert "left/note.txt: not an image" in ran.stderr
    assert not (tmp_path / "run").exists()
    ran = run_command(*arguments, "--skip-bad")
    assert ran.status == 0, ran.stderr
    assert "note.txt" in (tmp_path / "run" / "skipped.txt").read_text("utf-8")
    predict = ("predict", str(tmp_path / "run"), str(tmp_path / "train"))
    assert "left/note.txt: not an image" in run_command(*predict).stderr
    predicted = run_command(*predict, "--skip-bad")
    assert len(predicted.stdout.splitlines()) == 13
    assert "1 left out; the first: " in predicted.stderr
    told = json.loads(run_command(*predict, "--skip-bad", "--json").stdout.splitlines()[-1])
    assert len(told["skipped"]) == 1


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"data": {"patch": 3}},
            OptionError,
            "patch is 3, which does not divide the images of 8 × 8",
        ),
        ({"data": {"size": 10, "patch": 4}}, OptionError, "does not divide the images of 10 × 10"),
        (
            {"data": {"patch": 8, "size": 24}, "inputs": {"stem": "convolution"}, "x": 1},
            OptionError,
            "unknown setting 'x'",
        ),
        (
            {"data": {"patch": 6, "size": 24}, "inputs": {"stem": "convolution"}},
            OptionError,
            "power of two",
        ),
        ({"data": {"colour": "red"}}, HeedfulError, "colour"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    settings: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    write_folder(tmp_path / "train", 4)
    with pytest.raises(error, match=message):
        trained(tmp_path, **settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [None, "{", '{"height": 8}', "[]"])
def test_a_damaged_run_is_named(place: Path, content: str | None, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(place / "run", tmp_path / "run")
    path = tmp_path / "run" / "images.json"
    path.unlink() if content is None else path.write_text(content, encoding="utf-8")
    with pytest.raises(HeedfulError, match=r"images\.json is (missing|damaged)"):
        heedful.load(tmp_path / "run")


def test_what_cannot_be_predicted_is_named(place: Path, tmp_path: Path) -> None:
    model = heedful.load(place / "run")
    for given, message in (
        (3, "input 1 is 3 .int.; expected the name of an image file, or an array of pixels"),
        (np.zeros((2, 2)), "input 1: the pixels are float64"),
        ("nothing.png", "nothing.png.: there is no file"),
        (str(tmp_path), "this is a folder; expected an image file"),
        ({"text": "x"}, "input 1 has no 'file_name' and no 'image'; its keys are text"),
    ):
        with pytest.raises(DataError, match=message):
            model.predict([given])
    assert run_command("predict", str(place / "run"), "-", input="x").stderr.startswith(
        "error: name a FILE; images are not read from standard input"
    )


def test_texts_are_not_left_out_of_predictions() -> None:
    run = Path(__file__).parents[1] / "runs" / "format_1" / "classify-lstm"
    ran = run_command("predict", str(run), "-", "--skip-bad", input="text\ngood\n")
    assert "skip-bad has no effect on predictions of the task 'classify'" in ran.stderr
    assert ran.status != 0


def test_an_idx_file_is_read_and_its_images_explained(place: Path, tmp_path: Path) -> None:
    from tests.data.images.test_idx import idx

    pixels = np.stack([picture(side, 200) for side in SIDES])
    (tmp_path / "test-images-idx3-ubyte").write_bytes(idx(pixels))
    run = str(place / "run")
    predicted = run_command("predict", run, str(tmp_path / "test-images-idx3-ubyte")).stdout
    assert [line.split("\t")[1] for line in predicted.splitlines()[1:]] == list(SIDES)
    explained = run_command("explain", run, f"{tmp_path / 'test-images-idx3-ubyte'}:2")
    assert "right: test-images-idx3-ubyte:2" in explained.stdout
    with pytest.raises(DataError, match="holds the images 1 to 3; got 4"):
        heedful.load(run).explain(f"{tmp_path / 'test-images-idx3-ubyte'}:4")
