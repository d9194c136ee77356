"""Folders of images: parts of a dataset, classes, tables of metadata, frames of videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from heedful.data.images.idx import NAME, is_idx
from heedful.data.words import canonical
from heedful.errors import DataError

Part = Literal["train", "valid", "test"]
PARTS: Final[dict[Part, tuple[str, ...]]] = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val", "dev"),
    "test": ("test", "testing", "t10k"),
}
"""Names of the folders, and starts of the names of IDX files, that hold a part of a dataset."""
METADATA: Final = ("metadata.csv", "metadata.tsv", "metadata.jsonl")
"""Tables that a folder may hold, with a row for each of its files."""
IGNORED: Final = frozenset({"thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class Source:
    """The files of one image or video, and its answer."""

    files: tuple[Path, ...]
    name: str
    """For display."""
    answer: tuple[str, ...] = ()
    path: Path | None = None
    """Where an error about it points to."""
    line: int | None = None


def has_part(folder: Path, part: Part) -> bool:
    """Return whether a folder is divided into parts, of which `part` is there."""
    return _part_folder(folder, part) is not None or _part_idx(folder, part) is not None


def part_of(folder: Path, part: Part) -> Path:
    """Return the folder or IDX file that holds a part of a dataset: itself, unless it is divided into parts.

    Raises: DataError for a folder divided into parts without this one.
    """
    found = _part_folder(folder, part) or _part_idx(folder, part)
    if found is not None:
        return found
    others: list[Part] = ["train", "valid", "test"]
    there = [other for other in others if has_part(folder, other)]
    if there:
        raise DataError(
            f"the folder has the parts {', '.join(there)}, but none of the name {' or '.join(PARTS[part])}.",
            path=folder,
        )
    return folder


def _part_folder(folder: Path, part: Part) -> Path | None:
    names = {each.name.lower(): each for each in _visible(folder) if each.is_dir()}
    # A class may be called "train" too; beside it lie other classes.
    if not names or not names.keys() <= {name for names_of in PARTS.values() for name in names_of}:
        return None
    return next((names[name] for name in PARTS[part] if name in names), None)


def _part_idx(folder: Path, part: Part) -> Path | None:
    for each in sorted(folder.iterdir()):
        match = NAME.fullmatch(each.name)
        if match is not None and is_idx(each) and match[1].lower() in PARTS[part]:
            return each
    return None


def metadata_of(folder: Path) -> Path | None:
    """Return the table of metadata in a folder; None if it has none."""
    return next((folder / name for name in METADATA if (folder / name).is_file()), None)


def class_sources(folder: Path, *, videos: bool) -> list[Source]:
    """Return the images, or videos, in the folders of classes: `folder/CLASS/…`; the folder's name is the label.

    Images may lie deeper in the folder of their class. A video is a folder of frames or a `.npy` file, directly in the
    folder of its class.

    Raises: DataError for a folder without folders of classes, or a class without files.
    """
    classes = [each for each in _visible(folder) if each.is_dir()]
    if not classes:
        raise DataError(
            "the folder has no folders of classes and no metadata.csv; expected FOLDER/CLASS/IMAGE, or a table with "
            "a column file_name.",
            path=folder,
        )
    sources = []
    for each in classes:
        found = [
            Source(files, str(place.relative_to(folder)), (canonical(each.name),), place)
            for place, files in (_videos(each) if videos else _images(each))
        ]
        if not found:
            what = "videos, which are folders of frames or .npy files" if videos else "images"
            raise DataError(f"the folder of a class holds no {what}; remove it.", path=each)
        sources += found
    return sources


def all_sources(folder: Path, *, videos: bool) -> list[Source]:
    """Return the images below a folder, or the videos directly in it or in its folders, without answers.

    Raises: DataError for a folder without any.
    """
    if videos:
        places = [folder, *(each for each in _visible(folder) if each.is_dir())]
        found = [pair for place in places for pair in _videos(place)]
    else:
        found = list(_images(folder))
    if not found:
        raise DataError(f"the folder holds no {'videos' if videos else 'images'}.", path=folder)
    return [Source(files, str(place.relative_to(folder)), (), place) for place, files in found]


def _visible(folder: Path) -> list[Path]:
    """Return what a folder holds, by name, without hidden files and those that systems put into folders of images."""
    return sorted(
        each
        for each in folder.iterdir()
        if not each.name.startswith(".") and each.name.lower() not in IGNORED
    )


def _images(folder: Path) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    for each in _visible(folder):
        if each.is_dir():
            yield from _images(each)
        elif each.name not in METADATA:
            yield each, (each,)


def _videos(folder: Path) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    for each in _visible(folder):
        files = frames_of(each)
        if files:
            yield each, files


def frames_of(place: Path) -> tuple[Path, ...]:
    """Return the files of the frames of a video: the images of a folder by name, or one `.npy` file; else nothing."""
    if place.is_dir():
        return tuple(
            each for each in _visible(place) if each.is_file() and each.suffix.lower() != ".npy"
        )
    return (place,) if place.suffix.lower() == ".npy" else ()
