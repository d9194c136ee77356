"""Objects of images in COCO's format: `instances.json` with images, annotations and categories."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from heedful.data.images.decode import BadImageError
from heedful.data.images.folders import Part, part_of
from heedful.data.images.form import Fit
from heedful.data.images.objects import Box, Scene, Scenes
from heedful.data.images.picture import Picture
from heedful.data.opening import check_file
from heedful.data.words import canonical
from heedful.errors import DataError, listed, nearest, shown
from heedful.stored_files import JsonError, parse_json

NAMES: Final = ("instances.json", "_annotations.coco.json", "annotations.json")
"""Names of the file in a folder; before them `instances_PART….json`, also in the folder `annotations`."""


class BadObjectError(DataError):
    """An image or annotation that cannot be used; it can be left out by --skip-bad."""


@dataclass(frozen=True, kw_only=True)
class SceneFiles:
    """How files of objects and their images are read."""

    images: str = ""
    """Folder of the images; empty: that of the file, or the folder `images` beside it."""
    side: int = 0
    """Height and width that the images will be brought to; 0: not known yet."""
    fit: Fit = "stretch"
    skip_bad: bool = False


def annotation_file(place: Path, part: Part) -> Path:
    """Return the file of a part of a dataset, of which `place` is the folder, or the file itself.

    Raises: DataError for a folder without one.
    """
    if not place.is_dir():
        check_file(place)
        return place
    folder = part_of(place, part)
    for where in (folder, folder / "annotations"):
        found = sorted(where.glob(f"instances_{part}*.json")) if where.is_dir() else []
        found += [where / name for name in NAMES if (where / name).is_file()]
        if found:
            return found[0]
    raise DataError(
        f"the folder holds no {NAMES[0]}; expected it, or {', '.join(NAMES[1:])} or instances_{part}.json, with "
        "images, annotations and categories in COCO's format.",
        path=folder,
    )


def read_scenes(paths: Sequence[str], files: SceneFiles, part: Part) -> Scenes:
    """Read the images and objects of one or several files, or folders that hold one.

    Raises: DataError naming the file and the image or annotation, for what is malformed; with `files.skip_bad` an
        image that cannot be read, and an annotation of a box or category that cannot be, are left out and listed in
        `Scenes.skipped`.
    """
    scenes: list[Scene] = []
    skipped: list[str] = []
    categories: dict[str, int] = {}
    for name in paths:
        path = annotation_file(Path(name), part)
        found = _File(path, files, skipped)
        read = found.scenes()
        if not read:
            raise DataError("no image could be read.", path=path)
        scenes += read
        for number, label in found.categories.items():
            categories.setdefault(label, number)
    if len(set(categories.values())) < len(categories):
        raise DataError(f"{' + '.join(paths)}: one id stands for categories of different names.")
    return Scenes(scenes, " + ".join(paths), skipped, None, tuple(categories.items()))


def read_pictures(path: Path, files: SceneFiles) -> tuple[list[Scene], list[str]]:
    """Read the images of a file without their annotations, which may be missing, and what was left out."""
    skipped: list[str] = []
    return _File(path, files, skipped, answered=False).scenes(), skipped


@dataclass
class _File:
    """One file, as it is read."""

    path: Path
    files: SceneFiles
    skipped: list[str]
    answered: bool = True
    content: dict[str, Any] = field(init=False)
    categories: dict[int, str] = field(init=False, default_factory=dict)
    boxes: dict[Any, list[tuple[str, Box]]] = field(init=False, default_factory=dict)
    """Id of an image -> where each box stands in the file, and the box."""

    def __post_init__(self) -> None:
        self.content = self._parse()
        if self.answered:
            self._read_categories()

    def _parse(self) -> dict[str, Any]:
        check_file(self.path)
        try:
            content = parse_json(self.path.read_bytes().decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise DataError("not valid UTF-8; save the file as UTF-8.", path=self.path) from None
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}.", path=self.path) from None
        except JsonError as error:
            raise DataError(f"not valid JSON ({error}).", path=self.path) from None
        wanted = ("images", "annotations", "categories") if self.answered else ("images",)
        if not isinstance(content, dict) or any(
            not isinstance(content.get(key), list) for key in wanted
        ):
            got = f"the keys {listed(content)}" if isinstance(content, dict) else "no object"
            raise DataError(
                f"expected a JSON object with the lists {', '.join(wanted)}, COCO's format; got {got}.",
                path=self.path,
            )
        return content

    def _entries(self, name: str) -> list[tuple[str, Mapping[str, Any]]]:
        """Return where each entry of a list stands, and the entry."""
        found: list[tuple[str, Mapping[str, Any]]] = []
        for number, entry in enumerate(self.content[name], start=1):
            place = f"{name}, entry {number}"
            if not isinstance(entry, dict):
                raise self._error(place, f"is {shown(entry, 40)}; expected a JSON object.")
            found.append((place, entry))
        return found

    def _error(self, place: str, message: str, kind: type[DataError] = DataError) -> DataError:
        return kind(f"{place}: {message}", path=self.path)

    def _key(self, place: str, entry: Mapping[str, Any], seen: Mapping[Any, Any]) -> Any:
        """Return the id of an entry, which no other has."""
        number = entry.get("id")
        if isinstance(number, bool) or not isinstance(number, int | str):
            raise self._error(place, f"its id is {shown(number, 40)}; expected a whole number.")
        if number in seen:
            raise self._error(place, f"its id {shown(number, 40)} occurs a second time.")
        return number

    def _text(self, place: str, entry: Mapping[str, Any], key: str) -> str:
        value = entry.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self._error(place, f"its {key} is {shown(value, 40)}; expected a name.")
        return value

    def _read_categories(self) -> None:
        for place, entry in self._entries("categories"):
            number = self._key(place, entry, self.categories)
            if not isinstance(number, int):
                raise self._error(place, f"its id is {shown(number, 40)}; expected a whole number.")
            label = canonical(self._text(place, entry, "name"))
            if label in self.categories.values():
                raise self._error(place, f"its name {shown(label)} occurs a second time.")
            self.categories[number] = label

    def scenes(self) -> list[Scene]:
        """Read images and boxes."""
        images: dict[Any, tuple[str, Mapping[str, Any]]] = {}
        for place, entry in self._entries("images"):
            images[self._key(place, entry, images)] = place, entry
        if self.answered:
            self._read_annotations(images)
        return [
            scene
            for number, (place, entry) in images.items()
            if (scene := self._skipping(partial(self._scene, number, place, entry)))
        ]

    def _skipping(self, read: Callable[[], Any]) -> Any:
        """Return what is read, or None if it is bad and bad entries are left out."""
        try:
            return read()
        except (BadObjectError, BadImageError) as error:
            if not self.files.skip_bad:
                raise
            self.skipped.append(str(error))
            return None

    def _read_annotations(self, images: Mapping[Any, Any]) -> None:
        for place, entry in self._entries("annotations"):
            if "id" in entry:
                place = f"{place} (id {shown(entry['id'], 40)})"
            image = entry.get("image_id")
            if not isinstance(image, int | str) or image not in images:
                wrong = self._error(
                    place, f"there is no image of the id {shown(image, 40)}.", BadObjectError
                )
                self._skipping(partial(_raise, wrong))
                continue
            box = self._skipping(partial(self._box, place, entry))
            if box is not None:
                self.boxes.setdefault(image, []).append((place, box))

    def _box(self, place: str, entry: Mapping[str, Any]) -> Box:
        number, corners = entry.get("category_id"), entry.get("bbox")
        if not isinstance(number, int) or number not in self.categories:
            known = listed(f"{key} {name}" for key, name in self.categories.items())
            raise self._error(
                place,
                f"there is no category of the id {shown(number, 40)}; the categories are {known}.",
                BadObjectError,
            )
        box = box_of(corners, self.categories[number])
        if box is None:
            raise self._error(
                place,
                f"its bbox is {shown(corners, 60)}; expected four numbers: left, top, width and height in pixels, the "
                "last two above 0.",
                BadObjectError,
            )
        return replace(box, is_crowd=bool(entry.get("iscrowd")))

    def _scene(self, number: Any, place: str, entry: Mapping[str, Any]) -> Scene:
        name = self._text(place, entry, "file_name")
        picture = Picture.read([self._find(place, name)], name, self.files.side, self.files.fit)
        height, width = picture.size
        stated = entry.get("height", height), entry.get("width", width)
        if stated != picture.size:
            raise self._error(
                place,
                f"{shown(name)} is said to be {shown(stated[1], 20)} × {shown(stated[0], 20)} pixels and is {width} × "
                f"{height}; its boxes would not fit.",
                BadObjectError,
            )
        boxes = []
        for where, box in self.boxes.get(number, ()):
            inside = self._skipping(partial(self._inside, box, where, picture))
            if inside is not None:
                boxes.append(inside)
        return Scene(picture, tuple(boxes), self.path, number)

    def _inside(self, box: Box, place: str, picture: Picture) -> Box:
        """Return what of a box lies within its image."""
        height, width = picture.size
        inside = box.clipped(width, height)
        if inside.width <= 0 or inside.height <= 0:
            raise self._error(
                place,
                f"its bbox [{box.left:g}, {box.top:g}, {box.width:g}, {box.height:g}] lies outside the image "
                f"{shown(picture.name)} of {width} × {height} pixels.",
                BadObjectError,
            )
        return inside

    def _find(self, place: str, name: str) -> Path:
        """Return the file of an image."""
        folder = self.path.parent
        own = [Path(self.files.images)] if self.files.images else [folder, folder / "images"]
        for each in own:
            if (each / name).is_file():
                return each / name
        near = nearest(Path(name).name, (each.name for each in sorted(own[0].iterdir())))
        hint = f"; did you mean {shown(near)}?" if near else "."
        raise self._error(
            place,
            f"there is no file {shown(name)} in {' or '.join(map(str, own))}{hint} --images FOLDER names another "
            "folder.",
            BadObjectError,
        )


def _raise(error: Exception) -> None:
    raise error


def box_of(corners: object, label: str) -> Box | None:
    """Return the box of left, top, width and height; None unless these are finite numbers, the last two above 0.

    >>> box_of([1, 2, 3, 4], "cat")
    Box(label='cat', left=1.0, top=2.0, width=3.0, height=4.0, score=1.0, is_crowd=False)
    >>> box_of([1, 2, 0, 4], "cat") is box_of("1234", "cat") is None
    True
    """
    if not isinstance(corners, list | tuple) or len(corners) != 4:
        return None
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in corners):
        return None
    left, top, width, height = map(float, corners)
    if not all(map(math.isfinite, (left, top, width, height))) or min(width, height) <= 0:
        return None
    return Box(label, left, top, width, height)
