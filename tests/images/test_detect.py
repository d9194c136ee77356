"""Object detection from end to end: train, evaluate, predict, draw, explain, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import heedful
from heedful.answers.boxes import Boxes, FoundObjects, check_objects
from heedful.api import TrainedModel
from heedful.config import build
from heedful.data.images.compose import SceneMaker
from heedful.data.images.objects import Box, Scenes
from heedful.data.lexicon import Lexicon
from heedful.errors import DataError, OptionError
from heedful.explore.cells import ImageView
from heedful.explore.image_html import draw_image_heat
from heedful.explore.panels import panels
from heedful.inputs.scenes import SceneBatch, SceneInput, SceneTarget
from heedful.models.query_head import ObjectsConfig
from heedful.ops.grid import Grid
from heedful.tasks.detect import TASK, DetectConfig
from heedful.tasks.readers.base import OutputFormat
from tests.cli.conftest import run_command

pytest.importorskip("scipy")
pytest.importorskip("faster_coco_eval")

ITEMS = [np.full((8, 8), 220, np.uint8), np.zeros((8, 8), np.uint8)]
ITEMS[1][:, 2:6] = 220
MAKER = SceneMaker(ITEMS, ["square", "bar"], side=16, sizes=(7, 9), most=1, scraps=0, noise=0.02)
SMALL: dict[str, Any] = {
    "data": {"patch": 4},
    "inputs": {"stem": "convolution", "width": 16},
    "encoder": {"kind": "transformer", "width": 16, "heads": 2, "feed_forward": 16, "layers": 1},
    "objects": {"queries": 3, "heads": 2, "layers": 2, "feed_forward": 16, "groups": 2},
    "training": {
        "epochs": 12, "batch_tokens": 128, "learning_rate": 0.005, "keep_freed_memory": False, "threads": 1,
    },
}  # fmt: skip


def scenes(count: int, seed: int = 0) -> Scenes:
    rng = np.random.default_rng(seed)
    return Scenes([MAKER(rng) for _ in range(count)], "made", maker=MAKER)


def write_coco(folder: Path, count: int, seed: int = 0) -> Path:
    """Write scenes as images with instances.json; the ids of its categories are not 1 and 2."""
    folder.mkdir(parents=True)
    content: dict[str, Any] = {
        "images": [], "annotations": [],
        "categories": [{"id": 9, "name": "square"}, {"id": 4, "name": "bar"}],
    }  # fmt: skip
    for number, scene in enumerate(scenes(count, seed).scenes, start=100):
        Image.fromarray(scene.picture.kept[0, ..., 0]).save(folder / f"{number}.png")
        content["images"].append({"id": number, "file_name": f"{number}.png"})
        for box in scene.boxes:
            content["annotations"].append(
                {
                    "id": len(content["annotations"]), "image_id": number,
                    "category_id": 9 if box.label == "square" else 4,
                    "bbox": [box.left, box.top, box.width, box.height],
                }
            )  # fmt: skip
    path = folder / "instances.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files in COCO's format and `run`, trained on scenes without end."""
    folder = tmp_path_factory.mktemp("detect")
    write_coco(folder / "street", 12, seed=5)
    heedful.train("detect", train=scenes(256), valid=scenes(20, 1), out=folder / "run", **SMALL)
    return folder


@pytest.fixture(scope="module")
def model(place: Path) -> TrainedModel:
    return heedful.load(place / "run")


def test_a_detector_learns_what_is_where(model: TrainedModel) -> None:
    found = model.evaluate(replace(scenes(40, 2), maker=None))
    assert found.mean_ap50 > 0.3
    assert {each.label for each in found.labels} == {"square", "bar"}


def test_the_report_has_a_table_of_labels_and_heat_over_images(place: Path) -> None:
    report = (place / "run" / "report.html").read_text("utf-8")
    assert "Average precision by label" in report
    assert 'class="heat"' in report


def test_files_are_trained_on_by_the_command_and_scored_by_name(
    place: Path, tmp_path: Path
) -> None:
    sets = [
        word
        for name, section in SMALL.items()
        for key, value in section.items()
        for word in ("--set", f"{name}.{key}={json.dumps(value)}")
    ]
    run = str(tmp_path / "run")
    trained = run_command(
        "train", "detect", "--train", str(place / "street"), "--out", run, *sets,
        "--epochs", "1", "--queries", "4",
    )  # fmt: skip
    assert trained.status == 0, trained.stderr
    assert json.loads((tmp_path / "run" / "layout.json").read_text()) == {
        "categories": {"square": 9, "bar": 4}
    }
    evaluated = run_command("evaluate", run, "--test", str(place / "street"), "--json")
    values = json.loads(evaluated.stdout.splitlines()[-1])
    assert 0 <= values["mean_ap"] <= values["mean_ap50"] <= 1
    ran = run_command("predict", run, str(place / "street" / "instances.json"))
    results = json.loads(ran.stdout)
    assert {each["category_id"] for each in results} <= {9, 4}


def test_predictions_are_results_in_coco_format(place: Path, tmp_path: Path) -> None:
    from faster_coco_eval import COCO

    run, street = str(place / "run"), place / "street"
    ran = run_command(
        "predict", run, str(street / "instances.json"), "--drawn", str(tmp_path / "drawn")
    )
    assert ran.status == 0, ran.stderr
    results = json.loads(ran.stdout)
    assert {each["image_id"] for each in results} == set(range(100, 112))
    assert all(len(each["bbox"]) == 4 and 0 < each["score"] <= 1 for each in results)
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [
        f"{n}.png" for n in range(100, 112)
    ]
    with Image.open(tmp_path / "drawn" / "100.png") as image:
        assert image.size == (256, 256)
        assert image.mode == "RGB"
    truth = json.loads((street / "instances.json").read_text())
    for number, each in enumerate(truth["annotations"]):
        each |= {"area": 1, "iscrowd": 0, "id": number + 1}
    ids = {name: {"square": 2, "bar": 1}[name] for name in ("square", "bar")}
    truth["categories"] = [{"id": number, "name": name} for name, number in ids.items()]
    assert len(COCO(truth).loadRes(results).anns) == len(results)


def test_a_threshold_cuts_results_and_json_has_objects(place: Path) -> None:
    run, street = str(place / "run"), str(place / "street")
    ran = run_command("predict", run, str(Path(street) / "100.png"), "--threshold", "0.99999")
    assert json.loads(ran.stdout) == []
    both = run_command("predict", run, str(Path(street) / "100.png"), "--json").stdout.splitlines()
    assert set(json.loads(both[0])) == {"image", "id", "objects"}
    wrong = run_command("predict", run, street, "--threshold", "1.5")
    assert wrong.status != 0


def test_python_takes_rows_and_arrays(model: TrainedModel, tmp_path: Path) -> None:
    made = scenes(20, 3)
    rows = [
        {
            "image": scene.picture.kept[0, ..., 0],
            "objects": [
                {"label": box.label, "bbox": [box.left, box.top, box.width, box.height]}
                for box in scene.boxes
            ],
        }
        for scene in made.scenes
    ]
    trained = heedful.train(
        "detect", train=rows, out=tmp_path / "run",
        **{**SMALL, "training": {**SMALL["training"], "epochs": 1}, "augmentation": {"flip": True, "shift": 2}},
    )  # fmt: skip
    assert set(trained.labels) == {"square", "bar"}
    first = model.predict([rows[0]["image"]])[0]
    same = model.predict([{"image": rows[0]["image"]}], threshold=0.01)[0]
    assert isinstance(first, FoundObjects)
    assert set(first.boxes) <= set(same.boxes)
    for box in same.candidates:
        assert 0 <= box.left <= box.left + box.width <= 16 + 1e-4
    with pytest.raises(OptionError, match=r"threshold is 2; expected a probability"):
        model.predict([rows[0]["image"]], threshold=2)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
def test_each_query_is_drawn_over_its_scene(
    place: Path, model: TrainedModel, suffix: str, tmp_path: Path
) -> None:
    file = place / "street" / "100.png"
    out = tmp_path / f"looked{suffix}"
    ran = run_command("explain", str(model.run), str(file), "--out", str(out))
    assert ran.status == 0, ran.stderr
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".html": b"<!DOCTYPE"}[suffix]
    assert out.read_bytes().startswith(start)


def test_an_explanation_has_a_row_for_each_object(model: TrainedModel) -> None:
    made = next(each for each in scenes(30, 8).scenes if each.boxes)
    explained = model.explain(made.picture.kept)
    count = len(explained.prediction.boxes)
    rows = count or 3
    cross = [each for each in explained.records if each.kind == "cross"]
    assert [len(each.query_tokens) for each in cross] == [rows, rows]
    assert explained.main == cross[-1:]
    assert explained.view is not None
    assert len(explained.view.boxes) == count
    drawn = panels(explained.records, explained.view)
    # Two layers of the decoder for each object, the encoder and the rollout; not the queries among each other.
    assert len(drawn) == 2 * rows + 2
    assert all(panel.heat.shape == (1, 4, 4) for row in drawn for panel in row)
    page = draw_image_heat(explained.records, explained.view)
    assert page.count("<rect") == count + 2 * count * 3


def test_without_attention_in_the_encoder_saliency_has_a_row_for_each_object(
    tmp_path: Path,
) -> None:
    trained = heedful.train(
        "detect", train=scenes(16), valid=scenes(4, 1), out=tmp_path / "run",
        **{**SMALL, "encoder": {"kind": "convolution", "hidden": 16}, "training": {**SMALL["training"], "epochs": 1}},
    )  # fmt: skip
    explained = trained.explain(scenes(1).scenes[0].picture.kept)
    [relevance] = [each for each in explained.records if each.kind == "saliency"]
    rows = len(explained.prediction.boxes) or 3
    assert relevance.weights.shape == (1, rows, 16)
    assert relevance.weights.sum(-1) == pytest.approx(np.ones((1, rows)), abs=1e-4)


def test_nothing_over_the_cells_cannot_be_drawn(model: TrainedModel) -> None:
    view = ImageView(np.zeros((1, 8, 8, 1), np.uint8), Grid(2, 2))
    with pytest.raises(OptionError, match="no attention records to draw"):
        panels([], view)


def test_flips_and_shifts_move_boxes_with_the_pixels() -> None:
    data = scenes(12)
    config = build(DetectConfig, {**SMALL, "augmentation": {"flip": True, "shift": 3}})
    images = SceneInput.learn(config, data.inputs)
    answer = Boxes.learn(config, data.answers)
    change, moved = images.pair_augmentation(), 0
    assert change is not None
    for one, target in zip(images.encode(data.inputs), answer.targets(data), strict=True):
        for seed in range(6):
            changed, after = change(one, target, np.random.default_rng(seed))
            assert (
                change(one, target, np.random.default_rng(seed))[1].boxes.tolist()
                == after.boxes.tolist()
            )
            counts = torch.tensor([len(after.boxes)])
            inside = images.collate([changed]).to_model(torch.from_numpy(after.boxes), counts)
            for x, y, width, height in (inside * 16).tolist():
                left, top, right, bottom = (
                    round(each)
                    for each in (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
                )
                bright = changed.pixels[0, top:bottom, left:right]
                assert bright.size
                assert float(bright.mean()) > 150
                moved += 1
    assert moved > 40
    plain = SceneInput.learn(build(DetectConfig, SMALL), data.inputs)
    assert plain.pair_augmentation() is None
    target = SceneTarget(np.array([0]), np.array([[0.95, 0.5, 0.1, 0.1]], np.float32))
    wide = build(DetectConfig, {**SMALL, "augmentation": {"shift": 8}})
    shifting = SceneInput.learn(wide, data.inputs).pair_augmentation()
    assert shifting is not None
    encoded = images.encode(data.inputs[:1])[0]
    left = {len(shifting(encoded, target, np.random.default_rng(n))[1].labels) for n in range(20)}
    assert left == {0, 1}


def test_every_epoch_has_fresh_scenes_and_the_same_again_when_repeated() -> None:
    data = scenes(8)
    config = build(DetectConfig, SMALL)
    predictor = TASK.learn(config, data)
    batches = TASK.batches(predictor, data, training=True)
    [first], [again], [second] = (list(batches.epoch(epoch)) for epoch in (1, 1, 2))
    assert torch.equal(first.batch.pixels, again.batch.pixels)
    assert not torch.equal(first.batch.pixels, second.batch.pixels)
    fixed = TASK.batches(predictor, replace(data, maker=None), training=True)
    [one], [other] = (list(fixed.epoch(epoch)) for epoch in (1, 2))
    assert sorted(one.batch.pixels.flatten(1).sum(1).tolist()) == sorted(
        other.batch.pixels.flatten(1).sum(1).tolist()
    )


def test_more_labels_start_from_the_weights_of_fewer(model: TrainedModel, tmp_path: Path) -> None:
    data = scenes(12)
    changed = [
        replace(each, boxes=tuple(replace(box, label="new") for box in each.boxes)) for each in data.scenes[:4]
    ]  # fmt: skip
    more = Scenes([*changed, *data.scenes[4:]], "more")
    settings = {**SMALL, "training": {**SMALL["training"], "epochs": 1}}
    run = heedful.train(
        "detect", train=more, valid=more, out=tmp_path / "run", init_from=model.run, **settings
    )
    assert set(run.labels) == {"square", "bar", "new"}
    assert run.labels[:2] == model.labels


BOX = Box("cat", 0, 0, 4, 4)


def test_statistics_sum_to_f1(model: TrainedModel) -> None:
    data = replace(scenes(30, 4), maker=None)
    predicted = list(model.predictor.predict_data(data))
    sums = model.predictor.answer.statistics(predicted, data).sum(axis=0)
    assert float(Boxes.value(sums)) == pytest.approx(model.evaluate(data).f1)


def answer(*labels: str) -> Boxes:
    return Boxes(Lexicon(labels), ObjectsConfig(queries=2), 0.5)


def test_predictions_by_hand() -> None:
    scores = torch.full((1, 2, 3 + 4), -20.0)
    scores[0, 0, 0] = 20.0
    scores[0, 1, 2] = 20.0  # no object
    scores[0, :, -4:] = torch.tensor([0.5, 0.5, 0.5, 1.0])

    batch = SceneBatch(
        torch.zeros(1, 1, 8, 8, 1, dtype=torch.uint8), torch.tensor([4]), torch.tensor([[10, 40]]),
        torch.tensor([[0.0, 0.0, 1.0, 1.0]]),
    )  # fmt: skip
    [found] = answer("cat", "dog").predictions(scores, batch)
    assert found.boxes == found.candidates == (Box("cat", 10.0, 0.0, 20.0, 10.0, 1.0),)
    assert found.queries == (0,)
    assert answer("cat").to_text(answer("cat").empty()) == "nothing"
    names = answer("cat", "dog").row_names((), found)
    assert names == ["cat 1.00", "query 2"]


def test_data_that_cannot_be_learned_from(model: TrainedModel) -> None:
    data = scenes(12)
    config = build(DetectConfig, SMALL)
    empty = Scenes([replace(each, boxes=()) for each in data.scenes], "empty")
    with pytest.raises(DataError, match="empty: no image has an object"):
        check_objects(empty)
    strange = Scenes([replace(data.scenes[0], boxes=(replace(BOX, label="squares"),))], "strange")
    with pytest.raises(
        DataError, match="the label 'squares' is in no training image; did you mean 'square'"
    ):
        Boxes.check(config, data, strange)
    with pytest.raises(DataError, match="the label 'squares' is in no training image"):
        model.evaluate(strange)
    crowded = Scenes([replace(data.scenes[0], boxes=(replace(BOX, label="bar"),) * 4)], "crowded")
    with pytest.raises(
        DataError, match=r"4 objects, and the model has 3 object queries.*objects.queries to 4"
    ):
        Boxes.check(config, data, crowded)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (None, "its objects are None; expected a list"),
        (["cat"], "example 1 of train, object 1: 'cat'; expected"),
        ([{"label": "cat", "bbox": [9, 9, 3, 3]}], "within the 8 × 8 pixels"),
        ([{"label": "", "bbox": [1, 1, 3, 3]}], "object 1"),
    ],
)
def test_rows_that_are_wrong(objects: Any, message: str) -> None:
    data = build(DetectConfig, SMALL).data
    with pytest.raises(DataError, match=message):
        TASK.reader.from_rows(
            [{"image": np.zeros((8, 8), np.uint8), "objects": objects}], data, "train"
        )


def test_settings_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="object queries read the cells"):
        build(DetectConfig, {"inputs": {"class_token": True}})
    data = build(DetectConfig, {"data": {"valid_share": 0.01}}).data
    with pytest.raises(DataError, match=r"3 images are too few to cut a share of 0.01"):
        TASK.reader.split(scenes(3), data)
    rest, valid = TASK.reader.split(scenes(30), build(DetectConfig, {}).data)
    assert (len(rest), len(valid)) == (27, 3)
    assert rest.maker is MAKER
    assert valid.maker is None


def test_an_image_without_objects_writes_no_result(place: Path) -> None:
    from heedful.tasks.readers.base import InputFile

    path = place / "street" / "100.png"
    data = build(DetectConfig, {}).data
    stream = TASK.reader.stream(
        InputFile(path, str(path), iter(())), data, OutputFormat(["predicted"], labels=["cat"])
    )
    [item] = stream.items()
    assert stream.header() + stream.format(item, 1, {}, [[]]) + stream.footer() == "[\n]\n"
    written = stream.format(item, 1, {}, [[BOX]]) + stream.format(item, 2, {}, [[BOX]])
    assert [each["category_id"] for each in json.loads(f"[{written}]")] == [1, 1]
