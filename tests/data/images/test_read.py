"""Folders of classes, folders in parts, tables of files, videos; what is wrong is named, or left out on request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from heedful.data.images.dataset import Images
from heedful.data.images.folders import has_part
from heedful.data.images.read import ImageFiles, load, read_images, unanswered_sources
from heedful.data.text_rows import TextColumns
from heedful.errors import DataError
from tests.data.images.test_idx import IMAGES, idx

Columns = dict[str, Any]


def save(path: Path, value: int = 0, size: tuple[int, int] = (4, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)


def files(*, frames: int = 0, has_classes: bool = True, **columns: Any) -> ImageFiles:
    return ImageFiles(
        columns=TextColumns(**{"text": "file_name", **columns}),
        frames=frames,
        has_classes=has_classes,
    )


def read(place: Path, part: Any = "train", **options: Any) -> Images:
    return read_images([str(place)], files(**options), part)


def told(data: Images) -> list[tuple[str, tuple[str, ...], int]]:
    """Name, answer and first pixel of each image."""
    return [
        (each.picture.name, each.answer, int(each.picture.kept.flat[0])) for each in data.images
    ]


def test_folders_are_classes(tmp_path: Path) -> None:
    for number, name in enumerate(["cat/1.png", "cat/deep/2.png", "dog/1.JPG"]):
        save(tmp_path / name, number)
    for name in (".hidden", "Thumbs.db"):
        (tmp_path / "dog" / name).write_text("no image", encoding="utf-8")
    assert told(read(tmp_path)) == [
        ("cat/1.png", ("cat",), 0),
        ("cat/deep/2.png", ("cat",), 1),
        ("dog/1.JPG", ("dog",), 2),
    ]


@pytest.mark.parametrize(
    "names", [("train", "valid", "test"), ("Training", "val", "testing"), ("train", "dev", "test")]
)
def test_a_folder_may_be_divided_into_parts(names: tuple[str, ...], tmp_path: Path) -> None:
    for value, name in enumerate(names):
        save(tmp_path / name / "a" / "1.png", value)
    for value, part in enumerate(("train", "valid", "test")):
        assert has_part(tmp_path, part)  # type: ignore[arg-type]
        assert told(read(tmp_path, part)) == [("a/1.png", ("a",), value)]


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a" / "1.png")
    with pytest.raises(
        DataError, match="has the parts train, but none of the name test or testing"
    ):
        read(tmp_path, "test")


def test_classes_may_be_called_as_parts_are(tmp_path: Path) -> None:
    for name in ("car", "train"):
        save(tmp_path / name / "1.png")
    assert [answer for _, answer, _ in told(read(tmp_path))] == [("car",), ("train",)]


def test_idx_files_in_a_folder_are_its_parts(tmp_path: Path) -> None:
    for name, labels in (("train", [1, 2]), ("t10k", [3, 4])):
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(idx(IMAGES))
        (tmp_path / f"{name}-labels-idx1-ubyte").write_bytes(idx(np.array(labels)))
    assert [each.answer for each in read(tmp_path).images] == [("1",), ("2",)]
    assert [each.answer for each in read(tmp_path, "test").images] == [("3",), ("4",)]
    assert not has_part(tmp_path, "valid")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", "file_name,label,stars\na.png,cat,1.5\nin/b.png,dog,2\n"),
        ("metadata.tsv", "file_name\tlabel\tstars\na.png\tcat\t1.5\nin/b.png\tdog\t2\n"),
        (
            "metadata.jsonl",
            '{"file_name": "a.png", "label": "cat", "stars": 1.5}\n'
            '{"file_name": "in/b.png", "label": "dog", "stars": 2}\n',
        ),
    ],
)
def test_a_folder_may_hold_a_table(name: str, text: str, tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1)
    save(tmp_path / "in" / "b.png", 2)
    (tmp_path / name).write_text(text, encoding="utf-8")
    for place in (tmp_path, tmp_path / name):
        assert told(read(place)) == [("a.png", ("cat",), 1), ("in/b.png", ("dog",), 2)]
    numbers = read(tmp_path, answer="stars", answer_is_label=False, has_classes=False)
    assert [float(each.answer[0]) for each in numbers.images] == [1.5, 2.0]
    with pytest.raises(DataError, match="there is no column 'kinds'"):
        read(tmp_path, answer="kinds")


def test_several_labels_of_an_image(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text(
        'file_name,label\na.png,"red, round"\n', encoding="utf-8"
    )
    assert read(tmp_path, separator=",").answers == [("red", "round")]


def test_a_bad_image_is_named_or_left_out(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "2.png").write_text("no image", encoding="utf-8")
    with pytest.raises(DataError, match=r"a/2\.png: not an image"):
        read(tmp_path)
    data = read(tmp_path, skip_bad=True)
    assert len(data) == 1
    assert [message.endswith("GIF or BMP.") for message in data.skipped] == [True]
    assert data.take([0]).skipped == ()


def test_rows_without_a_file_or_an_answer_are_named_or_left_out(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    table = tmp_path / "t.csv"
    table.write_text("file_name,label\na.png,cat\nb.png,dog\na.png,\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"t\.csv, line 4: column 'label' is empty"):
        read(table)
    skipped = read(table, skip_bad=True).skipped
    assert [message.partition(": ")[2][:28] for message in skipped] == [
        "column 'label' is empty; fil",
        "'b.png': there is no file " + str(tmp_path)[:2],
    ]
    table.write_text("file_name,label\nb.png,dog\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"t\.csv, line 2: 'b\.png': there is no file .*b\.png"):
        read(table)
    with pytest.raises(DataError, match="no image could be read"):
        read(table, skip_bad=True)


def _nothing(place: Path) -> Path:
    return place


def _empty_class(place: Path) -> Path:
    (place / "cat").mkdir()
    return place


def _image(place: Path) -> Path:
    save(place / "a.png")
    return place / "a.png"


def _no_table(place: Path) -> Path:
    save(place / "a" / "1.png")
    return place


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (_nothing, {}, "has no folders of classes and no metadata.csv"),
        (_empty_class, {}, "cat: the folder of a class holds no images"),
        (_empty_class, {"frames": 2}, "holds no videos, which are folders of frames or .npy files"),
        (_image, {}, "expected a folder of images, a table"),
        (_no_table, {"has_classes": False}, "the folder holds no metadata.csv"),
    ],
)
def test_places_without_data_are_named(
    make: Callable[[Path], Path], options: Columns, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        read(make(tmp_path), **options)


def test_a_place_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "nothing")


def test_videos_are_folders_of_frames_or_arrays(tmp_path: Path) -> None:
    for frame in range(10):
        save(tmp_path / "run" / "one" / f"{frame}.png", frame)
    np.save(
        tmp_path / "run" / "two.npy",
        np.arange(4, dtype=np.uint8)[:, None, None] + np.zeros((4, 4, 4), np.uint8),
    )
    data = read(tmp_path, frames=2)
    assert [each.picture.name for each in data.images] == ["run/one", "run/two.npy"]
    assert [each.picture.kept[:, 0, 0, 0].tolist() for each in data.images] == [[2, 7], [1, 3]]
    assert data.images[0].picture.argument == str(tmp_path / "run" / "one")
    longer = read(tmp_path, frames=8).images[1].picture
    assert longer.kept[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_an_array_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "two.npy").write_bytes(b"\x93NUMPY no array")
    with pytest.raises(DataError, match=r"two\.npy: not a NumPy array of pixels"):
        read(tmp_path, frames=2)


def test_what_is_predicted_needs_no_answers(tmp_path: Path) -> None:
    def names(place: Path, **options: Any) -> list[str]:
        how = files(**options)
        lines = {"t.csv": ["file_name", "in/b.png"], "metadata.csv": ["file_name", "in/b.png"]}
        found = unanswered_sources(place, how, lambda table: iter(lines[table.name]))
        return [load(source, how).picture.name for source in found]

    save(tmp_path / "a.png")
    save(tmp_path / "in" / "b.png")
    assert names(tmp_path) == ["a.png", "in/b.png"]
    assert names(tmp_path / "a.png") == [str(tmp_path / "a.png")]
    (tmp_path / "t.csv").touch()
    assert names(tmp_path / "t.csv") == ["in/b.png"]
    (tmp_path / "metadata.csv").touch()
    assert names(tmp_path) == ["in/b.png"]
    with pytest.raises(DataError, match="the folder holds no videos"):
        names(tmp_path / "in", frames=2)


def test_the_digest_changes_with_pixels_and_labels(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", 1)
    first = read(tmp_path).texts()
    assert read(tmp_path).texts() == first
    save(tmp_path / "a" / "1.png", 2)
    assert read(tmp_path).texts() != first
