"""Recordings from what people have: folders of labels, tables, NeMo manifests, Kaldi folders, single files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from heedful.data.audio.clips import Clip, Recording, Recordings
from heedful.data.audio.fbank import Framing
from heedful.data.audio.files import SUFFIXES, AudioInfo, BadRecordingError, inspect, mixed
from heedful.data.audio.kaldi import is_kaldi, read_kaldi
from heedful.data.audio.segments import BACKGROUND, Segment, frame_labels
from heedful.data.decoding import UTF8
from heedful.data.files import iterate_lines
from heedful.data.number import parse_number, read_number
from heedful.data.table_rows import TableRow, check_columns
from heedful.data.tables import TABLES, JsonLinesTable, extension, table_format
from heedful.data.text_rows import split_names
from heedful.data.words import canonical
from heedful.errors import DataError

Kind = Literal["label", "number", "frames", "text", "none"]
"""What the answer of a recording is; "none": it is not read."""
AUDIO_COLUMNS: Final = ("audio", "audio_filepath", "file_name", "path", "file", "wav", "filename")
"""Names that are tried without `AudioColumns.audio`: ours, NeMo's, Hugging Face's, Common Voice's."""
TEXT_COLUMNS: Final = ("text", "sentence", "transcript", "transcription", "normalized_text")
"""The same for transcripts."""
NEMO: Final = "audio_filepath"
METADATA: Final = ("metadata.csv", "metadata.tsv", "metadata.jsonl")
"""Tables of a folder, as Hugging Face names them."""
_SLACK: Final = 0.1
"""Seconds by which a listed duration may pass the end of the file: they are rounded."""


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
    begin: str = "start"
    end: str = "end"
    """Seconds, of the segments of `kind` "frames"."""
    background: str = BACKGROUND
    """The label of frames outside all segments."""
    channel: int = 0
    encoding: str = UTF8
    skip_bad: bool = False
    least_frames: int = 1


def read_audio(paths: Sequence[str], columns: AudioColumns, framing: Framing) -> Recordings:
    """Read the recordings that files and folders list, with their answers.

    Of each recording the header is read, and that the file is whole is checked; samples are read later.

    Raises: DataError naming file and line, for a list that cannot be read, and, without `columns.skip_bad`, for a
        recording that cannot be used.
    """
    rows: list[Recording] = []
    skipped: list[str] = []
    infos: dict[Path, AudioInfo] = {}
    for path in map(Path, paths):
        before = len(rows)
        for listed in _grouped(list(list_rows(path, columns)), columns):
            try:
                rows.append(_recording(listed, columns, framing, infos))
            except BadRecordingError as error:
                if not columns.skip_bad:
                    raise
                skipped.append(str(error))
        if len(rows) == before:
            left_out = " that can be used" if skipped else ""
            raise DataError(f"there are no recordings{left_out}.", path=path)
    return Recordings(rows, " + ".join(map(str, paths)), skipped)


def list_rows(path: Path, columns: AudioColumns) -> Iterator[TableRow]:
    """Yield a row for each recording (or segment) that a file or folder lists, with the column of the paths.

    Raises: DataError for what does not exist or lists no recordings.
    """
    if not path.exists():
        raise DataError("no such file or folder.", path=path)
    if path.is_dir():
        yield from _list_folder(path, columns)
    elif path.suffix.lower() in SUFFIXES:
        yield TableRow(path, None, "", {"audio": path.name})
    else:
        yield from _list_table(path, columns)


def _list_table(path: Path, columns: AudioColumns) -> Iterator[TableRow]:
    is_json = extension(path) == ".json"  # the manifests of NeMo
    if not is_json and extension(path) not in TABLES:
        raise DataError(
            f"unknown format {extension(path)!r}; expected a table ({', '.join(TABLES)}, .json of one object per "
            f"line), a folder, or a recording ({', '.join(sorted(SUFFIXES))}).",
            path=path,
        )
    table = JsonLinesTable() if is_json else table_format(path)
    lines = iterate_lines(path, columns.encoding)
    header = next(lines, "")
    required = [columns.audio] if columns.audio else _usual_column(header)
    if not required and not isinstance(table, JsonLinesTable):
        raise DataError(
            f"no column of the recordings was found in {header[:60]!r} ({', '.join(AUDIO_COLUMNS)}); name it with "
            "--audio, or its number, from 1, in a table without a header.",
            path=path,
            line=1,
        )
    yield from table.rows(path, chain([header], lines), required)


def _usual_column(header: str) -> list[str]:
    """Return the usual name of the column of paths that is in a header, in a list, or an empty list."""
    names = {name.strip(' "') for name in re.split("[,;\t|]", header)}
    return [name for name in AUDIO_COLUMNS if name in names][:1]


def _list_folder(path: Path, columns: AudioColumns) -> Iterator[TableRow]:
    """Yield the rows of a Kaldi folder, of a folder with a table, or of folders that are named by labels."""
    if is_kaldi(path):
        yield from read_kaldi(path, columns.encoding)
        return
    for name in METADATA:
        if (path / name).is_file():
            yield from _list_table(path / name, columns)
            return
    found = False
    for file in sorted(path.rglob("*")):
        if file.suffix.lower() in SUFFIXES and file.is_file():
            found = True
            inside = file.relative_to(path)
            label = inside.parts[0] if len(inside.parts) > 1 else ""
            yield TableRow(path, None, "", {"audio": str(inside), "label": label})
    if not found:
        raise DataError(
            "the folder holds no recordings; expected folders named by labels, a file metadata.csv, or a Kaldi folder "
            "with wav.scp.",
            path=path,
        )


def _grouped(rows: Sequence[TableRow], columns: AudioColumns) -> Iterator[list[TableRow]]:
    """Yield the rows of each recording: several only where rows are segments."""
    if columns.kind != "frames":
        yield from ([row] for row in rows)
        return
    groups: dict[str, list[TableRow]] = {}
    for row in rows:
        groups.setdefault(str(row.fields.get(audio_column(row, columns))), []).append(row)
    yield from groups.values()


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


def _recording(
    rows: Sequence[TableRow],
    columns: AudioColumns,
    framing: Framing,
    infos: dict[Path, AudioInfo],
) -> Recording:
    row = rows[0]
    clip = clip_of_row(row, columns, framing, infos)
    line = row.line
    if columns.kind == "frames":
        answer: Any = frame_labels(
            clip.framing,
            clip.frames,
            [_segment(each, columns, clip.seconds) for each in rows],
            columns.background,
        )
    else:
        answer = answer_of_row(row, columns)
    return Recording(clip, answer, row.path, line)


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
        raise _bad(row, f"column {name!r} is empty; fill it in or remove the row.")
    folder = row.path if row.path.is_dir() else row.path.parent
    path = folder / given.strip()
    infos = {} if infos is None else infos
    try:
        info = infos.get(path) or inspect(path)
    except BadRecordingError as error:
        raise _located(row, error) from None
    infos[path] = info
    start, samples = _part(row, columns, info, name)
    if columns.channel > info.channels:
        mixed(np.zeros((1, info.channels), np.float32), columns.channel, path)
    clip = Clip(info.rate, samples, framing, path, start, columns.channel)
    check_length(clip, columns, row)
    return clip


def check_length(clip: Clip, columns: AudioColumns, row: TableRow) -> None:
    """Raise BadRecordingError for a clip that is shorter than one frame."""
    if clip.frames < columns.least_frames:
        framing = clip.framing
        raise _bad(
            row,
            f"{clip.name} has {clip.seconds * 1000:.0f} ms, too short for a frame of {framing.window:g} ms; remove it.",
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
        raise _bad(
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
    begin, end = (_seconds(row, _required(row, name)) for name in (columns.begin, columns.end))
    label = _text(row, _required(row, columns.answer))
    if begin is None or end is None or not label:
        raise _bad(
            row,
            f"a segment needs {columns.begin}, {columns.end} and {columns.answer}; fill them in.",
        )
    if end <= begin or begin >= seconds:
        raise _bad(
            row,
            f"the segment from {begin:g} to {end:g} s is empty, or begins after the end of the recording "
            f"({seconds:.2f} s).",
        )
    return Segment(begin, end, label)


def _required(row: TableRow, column: str) -> str:
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
            raise _bad(row, f"column {name!r} is empty; fill it in or remove the row.")
        return text
    if columns.kind == "number":
        return _numbers(row, split_names(columns.answer))
    label = _text(row, _required(row, columns.answer))
    if columns.separator:
        parts = (canonical(part.strip()) for part in label.split(columns.separator))
        return tuple(dict.fromkeys(part for part in parts if part))
    if not label:
        raise _bad(row, f"column {columns.answer!r} is empty; fill it in or remove the row.")
    return (label,)


def _numbers(row: TableRow, names: Sequence[str]) -> tuple[str, ...]:
    numbers = tuple(_text(row, _required(row, name)) for name in names)
    if not any(numbers):
        raise _bad(row, f"column {names[0]!r} is empty; fill it in or remove the row.")
    for number in numbers:
        if number:
            parse_number(number, lambda message: _bad(row, message))
    return numbers


def _text(row: TableRow, column: str) -> str:
    value = row.fields[column]
    if hasattr(value, "item"):
        value = value.item()
    if value is None or value != value:
        return ""
    return canonical(" ".join(str(value).split()))


def _bad(row: TableRow, message: str) -> BadRecordingError:
    return BadRecordingError(message, path=row.path, line=row.line)


def _located(row: TableRow, error: BadRecordingError) -> BadRecordingError:
    """Return an error about a file with the line that lists it."""
    if row.path.is_dir() or error.path == row.path:
        return error
    return BadRecordingError(str(error), path=row.path, line=row.line)


def recordings_of_rows(
    rows: Sequence[Mapping[str, Any]], columns: AudioColumns, framing: Framing, name: str
) -> Recordings:
    """Convert mappings, one per recording: "audio" is a path, or samples with their "rate".

    Raises: DataError naming the example.
    """
    made, skipped = [], []
    for number, fields in enumerate(rows, start=1):
        row = TableRow(Path(f"example {number} of {name}"), None, "", fields)
        try:
            clip = clip_of_mapping(row, columns, framing)
            made.append(Recording(clip, _answer_in_python(row, columns, clip), row.path))
        except BadRecordingError as error:
            if not columns.skip_bad:
                raise
            skipped.append(str(error))
    return Recordings(made, name, skipped)


def _answer_in_python(row: TableRow, columns: AudioColumns, clip: Clip) -> Any:
    """Return the answer of a mapping; labels of frames are a list, one each."""
    if columns.kind != "frames":
        return answer_of_row(row, columns)
    given = row.fields[_required(row, columns.answer)]
    if not isinstance(given, list | tuple) or len(given) != clip.frames:
        raise _bad(
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
