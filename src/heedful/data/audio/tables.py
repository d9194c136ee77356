"""Lists of recordings that people have: folders of labels, tables, NeMo manifests, Kaldi folders, single files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from heedful.data.audio.clips import Recording, Recordings, recordings_with_voices
from heedful.data.audio.columns import AUDIO_COLUMNS, AudioColumns
from heedful.data.audio.fbank import Framing
from heedful.data.audio.files import SUFFIXES, AudioInfo, BadRecordingError
from heedful.data.audio.kaldi import is_kaldi, read_kaldi
from heedful.data.audio.rows import audio_column, recording_of
from heedful.data.files import iterate_lines
from heedful.data.table_rows import TableRow
from heedful.data.tables import TABLES, JsonLinesTable, extension, table_format
from heedful.errors import DataError

METADATA: Final = ("metadata.csv", "metadata.tsv", "metadata.jsonl")
"""Tables of a folder, as Hugging Face names them."""


def read_audio(paths: Sequence[str], columns: AudioColumns, framing: Framing) -> Recordings:
    """Read the recordings that files and folders list, with their answers.

    Of each recording the header is read, and that the file is whole is checked; samples are read later.

    Raises: DataError naming file and line, for a list that cannot be read, and, without `columns.skip_bad`, for a
        recording that cannot be used.
    """
    rows: list[Recording] = []
    speakers: list[object] = []
    skipped: list[str] = []
    infos: dict[Path, AudioInfo] = {}
    for path in map(Path, paths):
        before = len(rows)
        for listed in _grouped(list(list_rows(path, columns)), columns):
            try:
                rows.append(recording_of(listed, columns, framing, infos))
            except BadRecordingError as error:
                if not columns.skip_bad:
                    raise
                skipped.append(str(error))
            else:
                speakers.append(listed[0].fields.get(columns.speaker))
        if len(rows) == before:
            left_out = " that can be used" if skipped else ""
            raise DataError(f"there are no recordings{left_out}.", path=path)
    if columns.speaker:
        rows = recordings_with_voices(rows, speakers)
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
