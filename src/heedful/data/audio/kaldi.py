"""Kaldi data folders: wav.scp, text, utt2spk, segments. Nothing in them is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from heedful.data.files import iterate_lines
from heedful.data.table_rows import TableRow
from heedful.errors import DataError

WAVES: Final = "wav.scp"
SEGMENTS: Final = "segments"
TEXT: Final = "text"


def is_kaldi(folder: Path) -> bool:
    """Return whether a folder holds the list of recordings of Kaldi."""
    return (folder / WAVES).is_file()


def read_kaldi(folder: Path, encoding: str) -> Iterator[TableRow]:
    """Yield a row for each utterance: "audio_filepath", of segments "offset" and "duration", "text", "spk" (utt2spk).

    Every other file utt2NAME gives a column NAME. Paths are relative to the folder.

    Raises: DataError naming file and line, for an entry that is a shell command (these are never run), a position in
        an archive, a recording or a segment that is not listed.
    """
    waves = {key: (line, value) for line, key, value in _entries(folder / WAVES, encoding)}
    columns = {"text": _column(folder / TEXT, encoding)} if (folder / TEXT).is_file() else {}
    for file in sorted(folder.glob("utt2*")):
        columns[file.name.removeprefix("utt2")] = _column(file, encoding)
    for key, recording, line, part in _utterances(folder, waves, encoding):
        fields: dict[str, object] = {"audio_filepath": waves[recording][1], **part}
        fields |= {name: values.get(key, "") for name, values in columns.items()}
        path = folder / (SEGMENTS if part else WAVES)
        yield TableRow(path, line, "", {**fields, "utterance": key})


def _utterances(
    folder: Path, waves: dict[str, tuple[int, str]], encoding: str
) -> Iterator[tuple[str, str, int, dict[str, object]]]:
    """Yield utterance, recording, line, and the part of the recording."""
    path = folder / SEGMENTS
    if not path.is_file():
        yield from ((key, key, line, {}) for key, (line, _) in waves.items())
        return
    for line, key, value in _entries(path, encoding):
        parts = value.split()
        try:
            recording, begin, end = parts[0], float(parts[1]), float(parts[2])
        except (IndexError, ValueError):
            raise DataError(
                f"got {value[:40]!r}; expected a recording, its start and its end in seconds.",
                path=path,
                line=line,
            ) from None
        if recording not in waves:
            raise DataError(f"the recording {recording!r} is not in {WAVES}.", path=path, line=line)
        duration = round(end - begin, 6)
        if end > begin:
            yield key, recording, line, {"offset": begin, "duration": duration}
        elif end == -1:  # to the end of the recording
            yield key, recording, line, {"offset": begin, "duration": ""}
        else:
            raise DataError(
                f"the segment ends at {end:g} s, before it begins at {begin:g} s.",
                path=path,
                line=line,
            )


def _entries(path: Path, encoding: str) -> Iterator[tuple[int, str, str]]:
    """Yield (line, key, value) of a file of `key value`."""
    for number, line in enumerate(iterate_lines(path, encoding), start=1):
        if not line.strip():
            continue
        key, *rest = line.split(maxsplit=1)
        value = rest[0].strip() if rest else ""
        if path.name == WAVES:
            _check_file_name(path, number, value)
        yield number, key, value


def _check_file_name(path: Path, line: int, value: str) -> None:
    if value.endswith("|") or value.startswith("|"):
        raise DataError(
            f"{value[:60]!r} is a shell command, which is not run; write the recordings to files and list these.",
            path=path,
            line=line,
        )
    if not value or value.rpartition(":")[2].isdecimal():
        raise DataError(
            f"{value[:60]!r} is not the name of a file; expected a recording such as a WAV file.",
            path=path,
            line=line,
        )


def _column(path: Path, encoding: str) -> dict[str, str]:
    return {key: value for _, key, value in _entries(path, encoding)}
