"""The section `data` of tasks on images: where the images come from, and their size."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from heedful.data.images.form import Fit
from heedful.data.images.read import ImageFiles
from heedful.data.text_rows import TextColumns
from heedful.tasks.readers.base import TextFiles

ANY_LENGTH: Final = 2**31 - 1
Kind = Literal["label", "number", "cells", "objects"]
"""What the answer of an image is: labels, numbers, a label a cell, or boxes."""


class ImageData(TextFiles):
    """Where the images come from, and their size."""

    train: tuple[str, ...] = Field(
        (),
        description="Training images: a folder with a folder for each class, or with metadata.csv; a table that names "
        "the files; or an IDX file, as of MNIST. A folder may be divided into train, valid and test.",
    )
    valid: tuple[str, ...] = Field((), description="Validation images, given in the same way.")
    valid_share: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Without validation images: the share of the training images that is cut off for it.",
    )
    valid_seed: int = Field(0, ge=0, description="Which images are cut off.")
    image: str = Field(
        "file_name", description="Column of a table that names the file of each image."
    )
    size: int = Field(
        0,
        ge=0,
        description="Height and width of all images in pixels; 0: that of the training images if it is the same for "
        "all and at most 128, else 64.",
    )
    fit: Fit = Field(
        "stretch",
        description="How images are brought to the size: stretch scales height and width separately, crop cuts off "
        "what is too long, pad adds black.",
    )
    patch: int = Field(
        4,
        ge=1,
        description="Height and width in pixels of a cell, which is one position of the model.",
    )
    colour: Literal["auto", "grey", "rgb"] = Field(
        "auto", description="Channels; auto: grey if all training images are."
    )
    frames: int = Field(
        0,
        ge=0,
        description="Frames that are read of a video, evenly spread; 0: the data are images. A video is a folder of "
        "frames or a .npy file.",
    )
    skip_bad: bool = Field(
        False,
        description="Leave out images that cannot be decoded, and rows without an answer, which are an error "
        "otherwise; the run lists them in skipped.txt.",
    )

    @property
    def max_length(self) -> int:
        """The longest example of training: no limit, since all images have one length."""
        return ANY_LENGTH

    @property
    def answer(self) -> str:
        """The column of the answers."""
        return ""

    @property
    def label_separator(self) -> str:
        """What separates several labels in one field; empty: one label."""
        return ""

    def files_of(self, kind: Kind) -> ImageFiles:
        """Return how files are read."""
        return ImageFiles(
            columns=TextColumns(
                self.image,
                self.answer,
                self.label_separator,
                answer_is_label=kind != "number",
                encoding=self.encoding,
                max_line=self.max_line,
                skip_bad=self.skip_bad,
            ),
            side=self.size,
            fit=self.fit,
            frames=self.frames,
            has_classes=kind == "label",
        )
