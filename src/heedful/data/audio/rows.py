"""Rows of tables as recordings: the clip, which is checked, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from heedful.data.audio.clips import Clip, Recording
from heedful.data.audio.columns import AUDIO_COLUMNS, NEMO, TEXT_COLUMNS, AudioColumns
from heedful.data.audio.fbank import Framing
from heedful.data.audio.files import AudioInfo, BadRecordingError, check_channel, inspect
from heedful.data.audio.segments import Segment, frame_labels
from heedful.data.number import parse_number, read_number
from heedful.data.table_rows import TableRow, check_columns
from heedful.data.text_rows import split_names
from heedful.data.words import canonical
from heedful.errors import DataError

_SLACK: Final = 0.1
"""Seconds by which a listed duration may pass the end of the file: they are rounded."""


def audio_column(row: TableRow, columns: AudioColumns) -> str:
    """Return the column of the paths.

    Raises: DataError if it is not named and no usual one is there.
    """
    return _column(row, columns.audio, AUDIO_COLUMNS, "the recordings", "--audio")


def _column(row: TableRow, name: str, usual: Sequence[str], what: str, option: str) -> str:
    if name:
        check_columns(row.path, list(row.fields), [name], row.line)
        return name
    for each in usual:
        if each in row.fields:
            return each
    raise DataError(
        f"no column of {what} was found ({', '.join(usual)}); name it with {option}. The columns are: "
        f"{', '.join(row.fields)}.",
        path=row.path,
        line=row.line,
    )


def recording_of(
    rows: Sequence[TableRow],
    columns: AudioColumns,
    framing: Framing,
    infos: dict[Path, AudioInfo],
) -> Recording:
    """Return the recording of a row, or of the rows of its segments.

    Raises: BadRecordingError for one that cannot be used; DataError for a missing column.
    """
    row = rows[0]
    clip = clip_of_row(row, columns, framing, infos)
    if columns.kind == "frames":
        answer: Any = frame_labels(
            clip.framing,
            clip.frames,
            [_segment(each, columns, clip.seconds) for each in rows],
            columns.background,
        )
    else:
        answer = answer_of_row(row, columns)
    return Recording(clip, answer, row.path, row.line)


def clip_of_row(
    row: TableRow,
    columns: AudioColumns,
    framing: Framing,
    infos: dict[Path, AudioInfo] | None = None,
) -> Clip:
    """Return the clip of a row; its path is relative to the table.

    Raises: BadRecordingError, naming file and line of the table, for a recording that cannot be used.
    """
    name = audio_column(row, columns)
    given = row.fields[name]
    if not isinstance(given, str) or not given.strip():
        raise bad_row(row, f"column {name!r} is empty; fill it in or remove the row.")
    folder = row.path if row.path.is_dir() else row.path.parent
    path = folder / given.strip()
    infos = {} if infos is None else infos
    try:
        info = infos.get(path) or inspect(path)
    except BadRecordingError as error:
        raise _located(row, error) from None
    infos[path] = info
    start, samples = _part(row, columns, info, name)
    check_channel(columns.channel, info.channels, path)
    clip = Clip(info.rate, samples, framing, path, start, columns.channel)
    check_length(clip, columns, row)
    return clip


def check_length(clip: Clip, columns: AudioColumns, row: TableRow) -> None:
    """Raise BadRecordingError for a clip that is shorter than one frame."""
    if clip.frames < columns.least_frames:
        framing = clip.framing
        raise bad_row(
            row,
            f"{clip.name} has {clip.seconds * 1000:.3g} ms, too short for a frame of {framing.window:g} ms; remove it.",
        )


def _part(row: TableRow, columns: AudioColumns, info: AudioInfo, audio: str) -> tuple[int, int]:
    """Return first sample and number of samples of the part of a file that a row names."""
    is_nemo = audio == NEMO
    offset = _seconds(row, columns.offset or ("offset" if is_nemo else ""))
    duration = _seconds(row, columns.duration or ("duration" if is_nemo else ""))
    start = round((offset or 0.0) * info.rate)
    left = info.samples - start
    wanted = left if duration is None else round(duration * info.rate)
    if left <= 0 or wanted > left + _SLACK * info.rate:
        raise bad_row(
            row,
            f"the part from {start / info.rate:g} s of {wanted / info.rate:g} s passes the end of "
            f"{row.fields[audio]}, which has {info.samples / info.rate:.2f} s.",
        )
    return start, min(wanted, left)


def _seconds(row: TableRow, column: str) -> float | None:
    if not column or row.fields.get(column) in (None, ""):
        return None
    number = read_number(str(row.fields[column]))
    if number is None or number < 0:
        raise row.error(
            f"column {column!r} holds {str(row.fields[column])[:40]!r}; expected seconds."
        )
    return number


def _segment(row: TableRow, columns: AudioColumns, seconds: float) -> Segment:
    begin, end = (_seconds(row, required(row, name)) for name in (columns.begin, columns.end))
    label = _text(row, required(row, columns.answer))
    if begin is None or end is None or not label:
        raise bad_row(
            row,
            f"a segment needs {columns.begin}, {columns.end} and {columns.answer}; fill them in.",
        )
    if end <= begin or begin >= seconds:
        raise bad_row(
            row,
            f"the segment from {begin:g} to {end:g} s is empty, or begins after the end of the recording "
            f"({seconds:.2f} s).",
        )
    return Segment(begin, end, label)


def required(row: TableRow, column: str) -> str:
    """Return a column, which a row must have.

    Raises: DataError naming the nearest column.
    """
    check_columns(row.path, list(row.fields), [column], row.line)
    return column


def answer_of_row(row: TableRow, columns: AudioColumns) -> Any:
    """Return the answer of a row: labels or numbers as a tuple of strings, a transcript as a string.

    Raises: BadRecordingError for an empty one; DataError for a missing column.
    """
    if columns.kind == "none":
        return ()
    if columns.kind == "text":
        name = _column(row, columns.answer, TEXT_COLUMNS, "the transcripts", "--text")
        text = _text(row, name)
        if not text:
            raise bad_row(row, f"column {name!r} is empty; fill it in or remove the row.")
        return text
    if columns.kind == "number":
        return _numbers(row, split_names(columns.answer))
    label = _text(row, required(row, columns.answer))
    if columns.separator:
        parts = (canonical(part.strip()) for part in label.split(columns.separator))
        return tuple(dict.fromkeys(part for part in parts if part))
    if not label:
        raise bad_row(row, f"column {columns.answer!r} is empty; fill it in or remove the row.")
    return (label,)


def _numbers(row: TableRow, names: Sequence[str]) -> tuple[str, ...]:
    numbers = tuple(_text(row, required(row, name)) for name in names)
    if not any(numbers):
        raise bad_row(row, f"column {names[0]!r} is empty; fill it in or remove the row.")
    for number in numbers:
        if number:
            parse_number(number, lambda message: bad_row(row, message))
    return numbers


def _text(row: TableRow, column: str) -> str:
    value = row.fields[column]
    if hasattr(value, "item"):
        value = value.item()
    if value is None or value != value:
        return ""
    return canonical(" ".join(str(value).split()))


def bad_row(row: TableRow, message: str) -> BadRecordingError:
    """Return an error about a row that can be left out."""
    return BadRecordingError(message, path=row.path, line=row.line)


def _located(row: TableRow, error: BadRecordingError) -> BadRecordingError:
    """Return an error about a file with the line that lists it."""
    if row.path.is_dir() or error.path == row.path:
        return error
    return BadRecordingError(str(error), path=row.path, line=row.line)
