"""Options of series and recordings."""

from __future__ import annotations

from typing import Final

from heedful.tasks.options.base import TaskOption
from heedful.tasks.options.texts import SKIP_BAD, train_files, valid_files

SERIES: Final = (
    train_files(
        "Training series: .ts; .npy; a .csv, .tsv or .jsonl table in long form (with --series) or per series; or "
        "builtin:waves."
    ),
    valid_files(
        "Validation series to select the best checkpoint, in the same format.",
        default="20% of --train",
    ),
    TaskOption(
        name="series",
        setting="data.series",
        metavar="NAME",
        help="Column that identifies the series of a row.",
        default="each file is one series",
    ),
    TaskOption(
        name="time",
        setting="data.time",
        metavar="NAME",
        help="Column to sort the rows of a series by.",
    ),
    TaskOption(
        name="file",
        setting="data.file",
        metavar="NAME",
        help="Column that names the file of each series.",
    ),
)


AUDIO: Final = (
    train_files(
        "Training recordings: a folder with a folder per label; a table (.csv, .tsv, .jsonl), manifest (.json) or "
        "Kaldi folder that lists files; or builtin:tones."
    ),
    valid_files(
        "Validation recordings to select the best checkpoint, given in the same way.",
        default="10% of --train",
    ),
    TaskOption(
        name="audio",
        setting="data.audio",
        metavar="NAME",
        help="Column of the paths, relative to the table.",
        default="audio, audio_filepath, file_name, path or file",
    ),
    TaskOption(
        name="rate",
        setting="data.rate",
        metavar="HZ",
        help="Samples per second; recordings of other rates are resampled.",
        default="16000",
        is_number=True,
    ),
    SKIP_BAD,
)


HORIZON: Final = TaskOption(
    name="horizon",
    setting="data.horizon",
    metavar="N",
    help="Number of steps to forecast.",
    default="1",
    is_number=True,
)
