"""Options of images and of the objects in them."""

from __future__ import annotations

from typing import Final

from heedful.tasks.options.base import TaskOption
from heedful.tasks.options.texts import train_files, valid_files

SIZE: Final = TaskOption(
    name="size",
    setting="data.size",
    metavar="N",
    help="Height and width of all images in pixels.",
    default="that of the training images, if it is the same for all and at most 128; else 64",
    is_number=True,
)


IMAGES: Final = (
    train_files(
        "Training images: a folder with a folder for each class, or with metadata.csv; a .csv, .tsv or .jsonl table "
        "that names files (with --image); or an IDX file. A folder may be divided into train, valid and test.",
        "PATH",
    ),
    valid_files(
        "Validation images to select the best checkpoint, in the same format.",
        "PATH",
        default="the part valid of the folder, or 10% of --train",
    ),
    TaskOption(
        name="image",
        setting="data.image",
        metavar="NAME",
        help="Column of a table that names the file of each image.",
        default="file_name",
    ),
    SIZE,
    TaskOption(
        name="patch",
        setting="data.patch",
        metavar="N",
        help="Height and width in pixels of a cell, which is one position of the model.",
        default="4",
        is_number=True,
    ),
    TaskOption(
        name="frames",
        setting="data.frames",
        metavar="N",
        help="Frames to read of each video, which is a folder of frames or a .npy file.",
        default="0: the data are images",
        is_number=True,
    ),
    TaskOption(
        name="skip_bad",
        setting="data.skip_bad",
        metavar="",
        help="Leave out images that cannot be decoded, and rows without an answer; the run lists them in skipped.txt.",
        flag=True,
    ),
)


OBJECTS: Final = (
    train_files(
        "Training images with objects: a JSON file in COCO's format, or a folder that holds it as instances.json; or "
        "builtin:scenes. A folder may be divided into train, valid and test.",
        "PATH",
    ),
    valid_files(
        "Validation images to select the best checkpoint, in the same format.",
        "PATH",
        default="the part valid of the folder, or 10% of --train",
    ),
    TaskOption(
        name="images",
        setting="data.images",
        metavar="FOLDER",
        help="Folder of the images.",
        default="that of the JSON file, or the folder images beside it",
    ),
    SIZE,
    TaskOption(
        name="patch",
        setting="data.patch",
        metavar="N",
        help="Height and width in pixels of a cell, which is one position of the model.",
        default="8",
        is_number=True,
    ),
    TaskOption(
        name="queries",
        setting="objects.queries",
        metavar="N",
        help="Object queries: the most objects that an image can have.",
        default="12",
        is_number=True,
    ),
    TaskOption(
        name="skip_bad",
        setting="data.skip_bad",
        metavar="",
        help="Leave out images that cannot be decoded and annotations that cannot be used; the run lists them in "
        "skipped.txt.",
        flag=True,
    ),
)
