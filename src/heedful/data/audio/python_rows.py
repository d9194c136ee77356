"""Recordings given in Python: rows with a path or samples, and samples alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from heedful.data.audio.clips import Clip, Recording, Recordings, recordings_with_voices
from heedful.data.audio.columns import AudioColumns
from heedful.data.audio.fbank import Framing
from heedful.data.audio.files import BadRecordingError, mixed
from heedful.data.audio.rows import (
    answer_of_row,
    audio_column,
    bad_row,
    check_length,
    clip_of_row,
    required,
)
from heedful.data.table_rows import TableRow


def recordings_of_rows(
    rows: Sequence[Mapping[str, Any]], columns: AudioColumns, framing: Framing, name: str
) -> Recordings:
    """Convert mappings, one per recording: "audio" is a path, or samples with their "rate".

    Raises: DataError naming the example.
    """
    made, speakers, skipped = [], [], []
    for number, fields in enumerate(rows, start=1):
        row = TableRow(Path(f"example {number} of {name}"), None, "", fields)
        try:
            clip = clip_of_mapping(row, columns, framing)
            made.append(Recording(clip, _answer_in_python(row, columns, clip), row.path))
        except BadRecordingError as error:
            if not columns.skip_bad:
                raise
            skipped.append(str(error))
        else:
            speakers.append(fields.get(columns.speaker))
    if columns.speaker:
        made = recordings_with_voices(made, speakers)
    return Recordings(made, name, skipped)


def _answer_in_python(row: TableRow, columns: AudioColumns, clip: Clip) -> Any:
    """Return the answer of a mapping; labels of frames are a list, one each."""
    if columns.kind != "frames":
        return answer_of_row(row, columns)
    given = row.fields[required(row, columns.answer)]
    if not isinstance(given, list | tuple) or len(given) != clip.frames:
        raise bad_row(
            row,
            f"column {columns.answer!r} must hold a list of {clip.frames} labels, one per frame.",
        )
    return tuple(map(str, given))


def clip_of_mapping(row: TableRow, columns: AudioColumns, framing: Framing) -> Clip:
    """Return the clip of a mapping: a path relative to the working directory, samples, or the audio of a Hugging Face
    data set ("array" and "sampling_rate").
    """
    given = row.fields[audio_column(row, columns)]
    if isinstance(given, str | Path):
        fields = {**row.fields, audio_column(row, columns): str(Path(given).absolute())}
        return clip_of_row(TableRow(row.path, row.line, "", fields), columns, framing)
    rate = row.fields.get("rate", framing.rate)
    if isinstance(given, Mapping) and "array" in given:
        given, rate = given["array"], given.get("sampling_rate", rate)
    clip = clip_of_samples(given, int(str(rate)), columns, framing, str(row.path))
    check_length(clip, columns, row)
    return clip


def clip_of_samples(
    given: Any, rate: int, columns: AudioColumns, framing: Framing, name: str
) -> Clip:
    """Return a clip of samples: (samples,) or (samples, channels), floats in [-1, 1] or integers of their full range.

    Raises: BadRecordingError for anything else.
    """
    wrong = BadRecordingError(
        "expected samples: an array of numbers, (samples,) or (samples, channels).", path=name
    )
    try:
        array = np.asarray(given)
        scale = np.iinfo(array.dtype).max + 1 if array.dtype.kind == "i" else 1
        samples = (array / scale).astype(np.float32)
    except (TypeError, ValueError):
        raise wrong from None
    if samples.ndim not in (1, 2) or not samples.size:
        raise wrong
    if not np.isfinite(samples).all():
        raise BadRecordingError("the samples hold NaN or infinity.", path=name)
    two = samples[:, None] if samples.ndim == 1 else samples
    return Clip.of(mixed(two, columns.channel, Path(name)), rate, framing, name)
