"""Images with objects: files in COCO's format, rows, and generated scenes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from heedful.data.builtin import load_builtin_scenes
from heedful.data.images.coco import SceneFiles, box_of, read_pictures, read_scenes
from heedful.data.images.objects import Box, Scene, Scenes
from heedful.data.images.picture import Picture
from heedful.data.words import canonical
from heedful.errors import DataError, shown
from heedful.strict_json import to_strict_json
from heedful.tasks.readers.base import InputFile, OutputFormat, Part, Rows, Stream
from heedful.tasks.readers.image_data import ImageData
from heedful.tasks.readers.images import ImageReader


class SceneData(ImageData):
    """Where the images and their objects come from, and their size."""

    train: tuple[str, ...] = Field(
        (),
        description="Training images: a JSON file in COCO's format with images, annotations and categories, or a "
        'folder that holds one as instances.json; or "builtin:scenes". A folder may be divided into train, valid and '
        "test.",
    )
    images: str = Field(
        "",
        description="Folder of the images; empty: that of the JSON file, or the folder images beside it.",
    )
    image: str = Field(
        "file_name",
        description="Column of a table that names the file of each image, for prediction.",
    )
    fit: Literal["stretch", "pad"] = Field(
        "stretch",
        description="How images are brought to the size: stretch scales height and width separately, pad keeps the "
        "shape and adds black.",
    )
    frames: int = Field(0, ge=0, le=0, description="Objects are found in images, not in videos.")
    patch: int = Field(
        8,
        ge=1,
        description="Height and width in pixels of a cell, which is one position of the model.",
    )
    skip_bad: bool = Field(
        False,
        description="Leave out images that cannot be decoded and annotations that cannot be used, which are an error "
        "otherwise; the run lists them in skipped.txt.",
    )

    def scene_files(self) -> SceneFiles:
        """Return how files are read."""
        return SceneFiles(images=self.images, side=self.size, fit=self.fit, skip_bad=self.skip_bad)


class SceneReader(ImageReader):
    """Reads images with the boxes of the objects in them."""

    train_hint = "--train instances.json, a folder that holds it, or --train builtin:scenes"
    test_hint = "a file in COCO's format, or its folder,"

    def __init__(self) -> None:
        super().__init__("objects")

    def builtin(self, name: str, data: Any, part: Part) -> Scenes:
        return load_builtin_scenes(name).scenes(part)

    def read_files(self, paths: Sequence[str], data: Any, part: Part) -> Any:
        return read_scenes(paths, data.scene_files(), part)

    def split(self, train: Any, data: Any) -> tuple[Any, Any]:
        """Cut validation images off; the others may still be made anew."""
        parts: tuple[Any, Any] = super().split(train, data)
        rest, valid = parts
        return replace(rest, maker=train.maker), valid

    def layout(self, data: Any) -> dict[str, Any]:
        """Return the ids of the categories, which results in COCO's format name."""
        categories = dict(data.categories)
        if not categories:
            labels = sorted({box.label for boxes in data.answers for box in boxes})
            categories = {label: number for number, label in enumerate(labels, start=1)}
        return {"categories": categories}

    def check_layout(self, data: Any, learned: Mapping[str, Any]) -> None:
        """Test files may number their categories otherwise: labels are compared by name."""

    def from_rows(self, rows: Rows, data: Any, name: str) -> Any:
        """Convert rows of an image and its objects, as in {"label": "cat", "bbox": [left, top, width, height]}."""
        scenes = []
        for number, row in enumerate(rows, start=1):
            place = f"example {number} of {name}"
            picture = self.input_of_row(row, data, place)
            scenes.append(Scene(picture, tuple(_boxes(row, picture, place)), Path(place), number))
        return Scenes(scenes, name)

    def stream(self, source: InputFile, data: Any, output: OutputFormat) -> Stream:
        return _SceneStream(source.path, super().stream(source, data, output), data, output)


def _boxes(row: Mapping[str, Any], picture: Picture, place: str) -> Iterator[Box]:
    """Yield the boxes of a row.

    Raises: DataError naming the row, for a missing list, or an object without a label and a box in the image.
    """
    objects = row.get("objects")
    if not isinstance(objects, Sequence) or isinstance(objects, str):
        raise DataError(
            f"{place}: its objects are {shown(objects, 40)}; expected a list, which may be empty, of "
            '{"label": "cat", "bbox": [left, top, width, height]}.'
        )
    height, width = picture.size
    for number, each in enumerate(objects, start=1):
        label = each.get("label") if isinstance(each, Mapping) else None
        box = None
        if isinstance(label, str) and label.strip():
            corners = each.get("bbox")
            box = box_of(
                corners.tolist() if hasattr(corners, "tolist") else corners, canonical(label)
            )
        inside = None if box is None else box.clipped(width, height)
        if inside is None or min(inside.width, inside.height) <= 0:
            raise DataError(
                f"{place}, object {number}: {shown(each, 80)}; expected "
                f'{{"label": "cat", "bbox": [left, top, width, height]}} within the {width} × {height} pixels of the '
                "image."
            )
        yield inside


class _SceneStream(Stream):
    """Writes a JSON list of results in COCO's format, one a line."""

    unit = "images"

    def __init__(self, path: Path, images: Stream, data: Any, output: OutputFormat):
        self.path, self.images, self.data = path, images, data
        self.skipped: Sequence[str] = ()
        learned = (output.layout or {}).get("categories", {})
        self.categories = {
            label: learned.get(label, number) for number, label in enumerate(output.labels, 1)
        }
        self.is_first = True

    def items(self) -> Iterator[Scene]:
        if self.path.suffix.lower() == ".json":
            scenes, self.skipped = read_pictures(self.path, self.data.scene_files())
            yield from scenes
            return
        for item in self.images.items():
            yield Scene(item.picture, path=item.path)
        self.skipped = self.images.skipped

    def input(self, item: Scene) -> Picture:
        return item.picture

    def header(self) -> str:
        return "[\n"

    def footer(self) -> str:
        return "]\n" if self.is_first else "\n]\n"

    def format(
        self, item: Scene, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        [candidates] = cells
        rows = [
            to_strict_json(self._result(item, number, box), ensure_ascii=False)
            for box in candidates
        ]
        if not rows:
            return ""
        lead = "" if self.is_first else ",\n"
        self.is_first = False
        return lead + ",\n".join(rows)

    def _result(self, item: Scene, number: int, box: Box) -> dict[str, Any]:
        return {
            "image_id": number if item.number is None else item.number,
            "file_name": item.picture.name,
            "category_id": self.categories[box.label],
            "category": box.label,
            "bbox": [round(each, 2) for each in (box.left, box.top, box.width, box.height)],
            "score": round(box.score, 5),
        }

    def to_json(self, item: Scene, number: int) -> dict[str, Any]:
        return {
            "image": item.picture.name,
            "id": number if item.number is None else item.number,
        }
