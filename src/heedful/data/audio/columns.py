"""Which columns of a table hold paths, answers, parts and segments of recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from heedful.data.audio.segments import BACKGROUND
from heedful.data.decoding import UTF8

Kind = Literal["label", "number", "frames", "text", "none"]
"""What the answer of a recording is; "none": it is not read."""
AUDIO_COLUMNS: Final = ("audio", "audio_filepath", "file_name", "path", "file", "wav", "filename")
"""Names that are tried without `AudioColumns.audio`: ours, NeMo's, Hugging Face's, Common Voice's."""
TEXT_COLUMNS: Final = ("text", "sentence", "transcript", "transcription", "normalized_text")
"""The same for transcripts."""
NEMO: Final = "audio_filepath"
"""The column of paths in manifests of NeMo, which have parts of files."""


@dataclass(frozen=True, kw_only=True)
class AudioColumns:
    """Column names of a table; empty where the usual names are tried, or the table has no such column."""

    audio: str = ""
    answer: str = ""
    kind: Kind = "label"
    separator: str = ""
    """Separator of several labels in one field."""
    offset: str = ""
    duration: str = ""
    """Seconds, of recordings that are a part of a file; of NeMo manifests by themselves."""
    speaker: str = ""
    """Who speaks; tables without this column hold recordings of one person."""
    begin: str = "start"
    end: str = "end"
    """Seconds, of the segments of `kind` "frames"."""
    background: str = BACKGROUND
    """The label of frames outside all segments."""
    channel: int = 0
    encoding: str = UTF8
    skip_bad: bool = False
    least_frames: int = 1
