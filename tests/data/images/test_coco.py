"""Files in COCO's format: what they hold, and what is said of those that are wrong."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from heedful.data.images.coco import BadObjectError, SceneFiles, read_pictures, read_scenes
from heedful.data.images.decode import BadImageError
from heedful.data.images.objects import Box, Scenes
from heedful.errors import DataError

CONTENT: dict[str, Any] = {
    "images": [
        {"id": 7, "file_name": "a.png", "height": 20, "width": 30},
        {"id": 8, "file_name": "b.png"},
        {"id": 9, "file_name": "empty.png"},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 10, 5]},
        {"id": 2, "image_id": 7, "category_id": 5, "bbox": [25, 15, 10, 10.5], "iscrowd": 0},
        {"id": 3, "image_id": 8, "category_id": 3, "bbox": [0, 0, 30, 20], "iscrowd": 1},
    ],
    "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
}


def write(folder: Path, content: Any, name: str = "instances.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for image in ("a", "b", "empty"):
        Image.fromarray(np.zeros((20, 30), np.uint8)).save(folder / f"{image}.png")
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def read(path: Path, **options: Any) -> Scenes:
    return read_scenes([str(path)], SceneFiles(**options), "train")


def test_boxes_are_clipped_and_crowds_and_empty_images_kept(tmp_path: Path) -> None:
    found = read(write(tmp_path, CONTENT))
    first, second, third = found.scenes
    assert first.boxes == (Box("cat", 1, 2, 10, 5), Box("dog", 25, 15, 5, 5))
    assert second.boxes == (Box("cat", 0, 0, 30, 20, is_crowd=True),)
    assert second.objects == third.boxes == ()
    assert [each.number for each in found.scenes] == [7, 8, 9]
    assert found.categories == (("cat", 3), ("dog", 5))
    assert found.labels() == [("cat", "dog"), (), ()]
    assert str(found.error(1, "wrong")) == f"{tmp_path / 'instances.json'}: b.png: wrong"
    assert len(found.take([2, 0])) == 2
    assert found.fresh(np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    "name",
    ["instances_train2017.json", "_annotations.coco.json", "annotations/instances_train.json"],
)
def test_folders_of_several_layouts_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "train" / name
    write(path.parent, CONTENT, path.name)
    found = read(tmp_path, images=str(path.parent))
    assert len(found) == 3


def test_images_beside_the_file_or_elsewhere(tmp_path: Path) -> None:
    path = write(tmp_path / "images", CONTENT).rename(tmp_path / "instances.json")
    assert len(read(path)) == 3
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "images").rename(elsewhere)
    assert len(read(path, images=str(elsewhere))) == 3


def changed(where: str, number: int, **values: Any) -> dict[str, Any]:
    content = copy.deepcopy(CONTENT)
    content[where][number].update(values)
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected a JSON object with the lists images, annotations, categories.*got no object"),
        ({"images": [], "annotations": []}, "got the keys images, annotations"),
        ({**CONTENT, "images": [3]}, "images, entry 1: is 3; expected a JSON object"),
        ({**CONTENT, "images": []}, "annotations, entry 1 .id 1.: there is no image of the id 7"),
        (changed("images", 0, id=1.5), "images, entry 1: its id is 1.5; expected a whole number"),
        (changed("images", 1, id=7), "images, entry 2: its id 7 occurs a second time"),
        (changed("images", 0, file_name=None), "images, entry 1: its file_name is None"),
        (changed("images", 0, width=31), "'a.png' is said to be 31 × 20 pixels and is 30 × 20"),
        (changed("images", 0, file_name="aa.png"), "there is no file 'aa.png' in .*did you mean 'a.png'"),
        (changed("categories", 1, id="x"), "categories, entry 2: its id is 'x'; expected a whole"),
        (changed("categories", 1, name="cat"), "categories, entry 2: its name 'cat' occurs a second"),
        (changed("annotations", 1, category_id=4), "entry 2 .id 2.: there is no category of the id 4; "
         "the categories are 3 cat, 5 dog"),
        (changed("annotations", 1, bbox=[1, 2, 0, 5]), "entry 2 .id 2.: its bbox is .1, 2, 0, 5."),
        (changed("annotations", 1, bbox=[1, 2, "3", 5]), "its bbox is .*expected four numbers"),
        (changed("annotations", 1, bbox=[40, 2, 5, 5]), "lies outside the image 'a.png' of 30 × 20"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, content: Any, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=message) as told:
        read(path)
    assert told.value.path == path


def test_bad_entries_are_left_out_when_asked_and_counted(tmp_path: Path) -> None:
    content = changed("annotations", 1, category_id=4)
    content["annotations"].append({"id": 4, "image_id": 70, "category_id": 3, "bbox": [0, 0, 1, 1]})
    content["annotations"].append({"id": 5, "image_id": 7, "category_id": 3, "bbox": [0, 99, 1, 1]})
    content["images"].append({"id": 10, "file_name": "lost.png"})
    path = write(tmp_path, content)
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(BadObjectError):
        read(path)
    found = read(path, skip_bad=True)
    assert [each.picture.name for each in found.scenes] == ["a.png", "empty.png"]
    assert found.scenes[0].boxes == (Box("cat", 1, 2, 10, 5),)
    assert len(found.skipped) == 5
    assert any("lost.png" in each for each in found.skipped)


def test_a_damaged_image_and_other_encodings(tmp_path: Path) -> None:
    path = write(tmp_path, CONTENT)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(BadImageError, match=r"a.png"):
        read(path)
    path.write_bytes("é".encode("latin-1"))
    with pytest.raises(DataError, match="not valid UTF-8"):
        read(path)
    path.unlink()
    with pytest.raises(DataError, match=r"holds no instances.json"):
        read(tmp_path)
    only = {**CONTENT, "images": CONTENT["images"][:1], "annotations": []}
    path = write(tmp_path, only)
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match="no image could be read"):
        read(path, skip_bad=True)


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, CONTENT)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        read(path)


def test_one_id_for_two_categories_of_two_files(tmp_path: Path) -> None:
    other = changed("categories", 0, name="cow")
    paths = [write(tmp_path / "one", CONTENT), write(tmp_path / "two", other)]
    with pytest.raises(DataError, match="one id stands for categories of different names"):
        read_scenes([str(path) for path in paths], SceneFiles(), "train")


def test_pictures_are_read_without_annotations(tmp_path: Path) -> None:
    path = write(tmp_path, {"images": CONTENT["images"]})
    scenes, skipped = read_pictures(path, SceneFiles())
    assert [each.number for each in scenes] == [7, 8, 9]
    assert skipped == []
