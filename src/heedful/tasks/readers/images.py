"""Images and videos: folders, tables, IDX files and arrays, with an answer an image or a label a cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from heedful.data.files import iterate_lines
from heedful.data.images.cells import cell_labels, read_map
from heedful.data.images.dataset import Image, Images
from heedful.data.images.decode import BadImageError
from heedful.data.images.folders import Source, has_part
from heedful.data.images.form import common_form
from heedful.data.images.idx import is_idx, read_idx
from heedful.data.images.picture import Picture
from heedful.data.images.read import ImageFiles, load, load_picture, read_images, unanswered_sources
from heedful.data.table_rows import TableRow
from heedful.data.text_rows import TextColumns, read_answered
from heedful.data.validation_split import validation_rows
from heedful.errors import DataError
from heedful.tasks.readers.base import (
    InputFile,
    OutputFormat,
    Part,
    Reader,
    Rows,
    Stream,
)
from heedful.tasks.readers.image_data import Kind


class ImageReader(Reader):
    """Reads images, each with an answer.

    Args:
        kind: what the answer is.
    """

    reads_lines = False
    reads_folders = True
    skips_inputs = True
    takes_files = True
    train_hint = "--train FOLDER, with a folder for each class"
    test_hint = "a folder of images"
    input_hint = "the name of an image file, or an array of pixels from 0 to 255"

    def __init__(self, kind: Kind):
        self.kind = kind

    def read_files(self, paths: Sequence[str], data: Any, part: Part) -> Images:
        images = read_images(paths, data.files_of(self.kind), part)
        return self._with_cells(images, data) if self.kind == "cells" else images

    def read_training(self, data: Any) -> tuple[Any, Any]:
        """Read both parts; validation images may be a part of the training folder."""
        if not data.valid and data.train:
            folders = [path for path in map(Path, data.train) if path.is_dir()]
            if folders and all(has_part(folder, "valid") for folder in folders):
                data = data.model_copy(update={"valid": tuple(map(str, folders))})
        return super().read_training(data)

    def check_split(self) -> None:
        """A share of the images is cut off."""

    def split(self, train: Images, data: Any) -> tuple[Images, Images]:
        """Cut validation images off, drawn by `data.valid_seed`: a share of those of each label."""
        rest, chosen = validation_rows(
            train,
            data.valid_share,
            data.valid_seed,
            f"{len(train)} images are too few to cut a share of {data.valid_share} off for validation; give more, or "
            "--valid.",
            train.answers if self.kind == "label" else None,
            data.answer,
        )
        return replace(train.take(rest), skipped=train.skipped), train.take(chosen)

    def _with_cells(self, images: Images, data: Any) -> Images:
        """Replace the name of a map of labels by the label of each cell."""
        form = common_form([each.picture.size for each in images.images], data.size, data.fit)
        found = []
        for each in images.images:
            numbers = read_map((each.path or Path()).parent / each.answer[0])
            if numbers.shape != each.picture.size:
                raise each.error(
                    f"the map of labels {each.answer[0]} has {numbers.shape[0]} × {numbers.shape[1]} pixels; the image "
                    f"has {each.picture.size[0]} × {each.picture.size[1]}."
                )
            found.append(replace(each, answer=cell_labels(numbers, form, data.patch)))
        return replace(images, images=found)

    def layout(self, data: Images) -> dict[str, Any]:
        """Return the size of the cells' images, which test images must share."""
        if self.kind != "cells":
            return {}
        return {"cells": len(data.answers[0])}

    def check_layout(self, data: Images, learned: Mapping[str, Any]) -> None:
        cells = learned.get("cells")
        if cells is not None and len(data.answers[0]) != cells:
            raise data.error(
                0,
                f"the maps of labels have {len(data.answers[0])} cells; those of the training had {cells}. Train with "
                "a stated --size to use images of other sizes.",
            )

    def from_rows(self, rows: Rows, data: Any, name: str) -> Images:
        files = data.files_of(self.kind)
        images = []
        for number, fields in enumerate(rows, start=1):
            row = TableRow(
                Path(f"example {number} of {name}"),
                None,
                "",
                {**fields, files.columns.text: "image"},
            )
            answer = read_answered(row, files.columns).answers
            picture = self._picture(_pixels_of(fields, data, str(row.path)), files, str(row.path))
            images.append(Image(picture, answer, row.path))
        return Images(images, name)

    def from_json(self, given: Any, data: Any, name: str) -> Any:
        if isinstance(given, list):
            given = {data.image: given}
        return super().from_json(given, data, name)

    def input_of_row(self, row: Mapping[str, Any], data: Any, name: str) -> Picture:
        return self._picture(_pixels_of(row, data, name), data.files_of(self.kind), name)

    def _picture(self, given: Any, files: ImageFiles, name: str) -> Picture:
        if isinstance(given, Picture):
            return given
        if isinstance(given, str | Path):
            return load(Source((Path(given),), str(given), (), Path(given)), files).picture
        return Picture.of(_array(given), name, lambda message: DataError(f"{name}: {message}"))

    def check_input(self, given: Any, name: str) -> Picture:
        if (
            isinstance(given, Picture | Path)
            or hasattr(given, "__array__")
            or hasattr(given, "__array_interface__")
        ):
            return self._picture(given, ImageFiles(columns=TextColumns()), name)
        raise self.wrong_input(given, name)

    def parse(self, text: str, data: Any) -> Picture:
        """Read an image file, a video, or FILE:NUMBER, one image of an IDX file, numbered from 1.

        Raises: DataError for a file that is missing or no image, or a number that the file does not hold.
        """
        files, path = data.files_of(self.kind), Path(text)
        stem, _, number = text.rpartition(":")
        if not path.exists() and number.isdecimal() and is_idx(Path(stem)):
            images = read_idx(Path(stem), answers=False)
            if not 1 <= int(number) <= len(images):
                raise DataError(f"holds the images 1 to {len(images):,}; got {number}.", path=stem)
            return images[int(number) - 1].picture
        if path.is_dir():
            [source] = _one_video(path, files)
            return load_picture(source, text, files)
        return self._picture(path, files, text)

    def to_argument(self, example: Picture) -> str:
        return example.argument or "FILE"

    def to_json(self, example: Picture) -> dict[str, Any]:
        return {"image": example.name}

    def stream(self, source: InputFile, data: Any, output: OutputFormat) -> Stream:
        return _ImageStream(source.path, data.files_of(self.kind), output)


def _one_video(path: Path, files: ImageFiles) -> list[tuple[Path, ...]]:
    from heedful.data.images.folders import frames_of

    frames = frames_of(path) if files.frames else ()
    if not frames:
        raise DataError("this is a folder; expected an image file.", path=path)
    return [frames]


def _pixels_of(row: Mapping[str, Any], data: Any, name: str) -> Any:
    if data.image in row:
        return row[data.image]
    if "image" in row:
        return row["image"]
    raise DataError(
        f"{name} has no {data.image!r} and no 'image'; its keys are {', '.join(map(str, row))}."
    )


def _array(given: Any) -> Any:
    """Return the pixels of one of Pillow's images by the rule for files; anything else as it is."""
    if hasattr(given, "getbands"):
        from heedful.data.images.decode import to_pixels

        return to_pixels(given)
    return given


class _ImageStream(Stream):
    unit = "images"

    def __init__(self, path: Path, files: ImageFiles, output: OutputFormat):
        self.path, self.files, self.output = path, files, output
        self.skipped: list[str] = []

    def items(self) -> Iterator[Image]:
        if is_idx(self.path):
            yield from read_idx(self.path, answers=False)
            return
        columns = self.files.columns
        lines = partial(iterate_lines, encoding=columns.encoding, max_line=columns.max_line)
        for source in unanswered_sources(self.path, self.files, lines):
            try:
                yield load(source, self.files)
            except BadImageError as error:
                if not self.files.columns.skip_bad:
                    raise
                self.skipped.append(str(error))

    def input(self, item: Image) -> Picture:
        return item.picture

    def header(self) -> str:
        return "\t".join(["image", *self.output.columns]) + "\n"

    def format(
        self, item: Image, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        shown = (
            " ".join(each) if isinstance(each, list | tuple) else _shown(each) for each in cells
        )
        return "\t".join([item.picture.name, *shown]) + "\n"

    def to_json(self, item: Image, number: int) -> dict[str, Any]:
        return {"image": item.picture.name}


def _shown(cell: Any) -> str:
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)
