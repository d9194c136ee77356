"""Datasets of images from folders, tables, IDX files and arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from heedful.data.images.dataset import Image, Images
from heedful.data.images.decode import BadImageError
from heedful.data.images.folders import (
    Part,
    Source,
    all_sources,
    class_sources,
    frames_of,
    metadata_of,
    part_of,
)
from heedful.data.images.form import Fit
from heedful.data.images.idx import is_idx, read_idx
from heedful.data.images.picture import Picture, as_frames
from heedful.data.opening import check_file
from heedful.data.tables import TABLES, extension
from heedful.data.text_rows import Text, TextColumns
from heedful.data.texts import iterate_texts, read_texts
from heedful.errors import DataError


@dataclass(frozen=True, kw_only=True)
class ImageFiles:
    """How files of images are read."""

    columns: TextColumns
    """Of tables; the column `text` names the file of each image."""
    side: int = 0
    """Height and width of all images; 0: see `common_form`."""
    fit: Fit = "stretch"
    frames: int = 0
    """Frames of a video, evenly spread over it; 0: images."""
    has_classes: bool = True
    """Whether folders are classes."""


def read_images(paths: Sequence[str], files: ImageFiles, part: Part) -> Images:
    """Read the images and answers of one or several folders and files.

    Raises: DataError naming the file, for one that is missing or of an unknown format, a folder without images, or an
        image that cannot be decoded, unless `files.columns.skip_bad`: it is left out then, and listed in
        `Images.skipped`.
    """
    images: list[Image] = []
    skipped: list[str] = []
    for path in map(Path, paths):
        before = len(images)
        place = part_of(path, part) if path.is_dir() else path
        if is_idx(place):
            images += read_idx(place, answers=True)
            continue
        sources, incomplete = answered_sources(place, files)
        skipped += incomplete
        images += load_all(sources, files, skipped)
        if len(images) == before:
            raise DataError("no image could be read.", path=place)
    return Images(images, " + ".join(paths), skipped)


def load_all(sources: Iterable[Source], files: ImageFiles, skipped: list[str]) -> list[Image]:
    """Decode the images of sources; with `skip_bad` those that cannot be decoded are added to `skipped`."""
    images = []
    for source in sources:
        try:
            images.append(load(source, files))
        except BadImageError as error:
            if not files.columns.skip_bad:
                raise
            skipped.append(str(error))
    return images


def load(source: Source, files: ImageFiles) -> Image:
    """Decode an image or video.

    Raises: BadImageError for files that are missing or cannot be decoded.
    """
    if not source.files or not source.files[0].exists():
        what = (
            f"there is no file {source.files[0]}"
            if source.files
            else "no folder of frames and no .npy file"
        )
        raise BadImageError(f"{source.name!r}: {what}.", path=source.path, line=source.line)
    picture = load_picture(source.files, source.name, files)
    return Image(picture, source.answer, source.path, source.line)


def load_picture(paths: Sequence[Path], name: str, files: ImageFiles) -> Picture:
    """Decode the files of an image, or of the frames of a video; of a video `files.frames` are taken.

    Raises: BadImageError for a file that cannot be decoded.
    """
    if paths[0].suffix.lower() == ".npy":
        frames = _read_npy(paths[0])
        if files.frames:
            frames = frames[_spread(len(frames), files.frames)]
        return Picture.of(frames, name, partial(BadImageError, path=paths[0]))
    if files.frames:
        paths = [paths[row] for row in _spread(len(paths), files.frames)]
    return Picture.read(paths, name, files.side, files.fit)


def _spread(count: int, wanted: int) -> list[int]:
    """Return the middle of each of `wanted` equal parts of `count` frames; a short video repeats frames.

    >>> _spread(10, 2), _spread(2, 4)
    ([2, 7], [0, 0, 1, 1])
    """
    return [(2 * part + 1) * count // (2 * wanted) for part in range(wanted)]


def _read_npy(path: Path) -> Any:
    check_file(path)
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise BadImageError(
            f"not a NumPy array of pixels ({error}); write it with numpy.save.", path=path
        ) from None
    return as_frames(array, partial(BadImageError, path=path))


def answered_sources(place: Path, files: ImageFiles) -> tuple[list[Source], Sequence[str]]:
    """Return the images of a folder or table with their answers, and what is wrong with rows that are left out."""
    table = metadata_of(place) if place.is_dir() else place
    if table is None:
        if not files.has_classes:
            raise DataError(
                "the folder holds no metadata.csv, .tsv or .jsonl; expected one with a column file_name and the "
                "answers.",
                path=place,
            )
        return class_sources(place, videos=files.frames > 0), ()
    check_file(table)
    if extension(table) not in TABLES:
        raise DataError(
            f"expected a folder of images, a table ({', '.join(TABLES)}), or an IDX file named like "
            "train-images-idx3-ubyte.gz.",
            path=table,
        )
    rows = read_texts([table], files.columns)
    return [_source_of_row(row, table, files) for row in rows.rows], rows.skipped


def _source_of_row(row: Text, table: Path, files: ImageFiles) -> Source:
    place = table.parent / row.text
    paths = frames_of(place) if files.frames else (place,)
    return Source(paths, row.text, row.answers, row.path, row.line)


def unanswered_sources(
    place: Path, files: ImageFiles, lines: Callable[[Path], Any]
) -> Iterable[Source]:
    """Return the images of a folder, a table or a single file, without answers.

    Args:
        place: the folder or file.
        files: how they are read.
        lines: returns the lines of a table.
    """
    if place.is_dir():
        table = metadata_of(place)
        if table is None:
            return all_sources(place, videos=files.frames > 0)
    elif extension(place) not in TABLES:
        check_file(place)
        return [Source((place,), str(place), (), place)]
    else:
        table = place
    columns = replace(files.columns, answer="", label_columns=())
    rows = iterate_texts(columns.table(table), table, lines(table), columns)
    return (_source_of_row(row, table, files) for row in rows)
