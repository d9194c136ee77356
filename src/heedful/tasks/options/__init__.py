"""Options of tasks in `heedful train`: help texts, and the settings that they change."""

from heedful.tasks.options.base import GivenOptions, TaskOption
from heedful.tasks.options.dialogues import DIALOGUES
from heedful.tasks.options.graphs import GRAPHS, LINKS, NODES
from heedful.tasks.options.images import IMAGES, OBJECTS, SIZE
from heedful.tasks.options.models import ATTENTION, DECODER, ENCODER, MODEL, TRANSFORMER, encoder
from heedful.tasks.options.molecules import MOLECULES
from heedful.tasks.options.reading import read_otherwise, split_columns
from heedful.tasks.options.series import AUDIO, HORIZON, SERIES
from heedful.tasks.options.texts import (
    ALIGNMENTS,
    CLASS_WEIGHTS,
    COLUMNS,
    ENCODING,
    LABEL,
    LABEL_COLUMN,
    MAX_LINE,
    ROWS,
    SKIP_BAD,
    TABLES,
    TARGET,
    TEXT,
    TOKEN_COLUMN,
    TRANSCRIPT,
    train_files,
    valid_files,
)
from heedful.tasks.options.training import COMMON

__all__ = [
    "ALIGNMENTS",
    "ATTENTION",
    "AUDIO",
    "CLASS_WEIGHTS",
    "COLUMNS",
    "COMMON",
    "DECODER",
    "DIALOGUES",
    "ENCODER",
    "ENCODING",
    "GRAPHS",
    "HORIZON",
    "IMAGES",
    "LABEL",
    "LABEL_COLUMN",
    "LINKS",
    "MAX_LINE",
    "MODEL",
    "MOLECULES",
    "NODES",
    "OBJECTS",
    "ROWS",
    "SERIES",
    "SIZE",
    "SKIP_BAD",
    "TABLES",
    "TARGET",
    "TEXT",
    "TOKEN_COLUMN",
    "TRANSCRIPT",
    "TRANSFORMER",
    "GivenOptions",
    "TaskOption",
    "encoder",
    "read_otherwise",
    "split_columns",
    "train_files",
    "valid_files",
]
