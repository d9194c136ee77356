"""Recordings: folders, tables, manifests and Kaldi folders, with a label, a number, a transcript or segments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from heedful.data.audio.clips import Clip, Recordings, with_voices
from heedful.data.audio.columns import AudioColumns, Kind
from heedful.data.audio.fbank import Framing
from heedful.data.audio.files import BadRecordingError
from heedful.data.audio.python_rows import clip_of_mapping, clip_of_samples, recordings_of_rows
from heedful.data.audio.rows import clip_of_row
from heedful.data.audio.segments import BACKGROUND, merge_frames
from heedful.data.audio.tables import list_rows, read_audio
from heedful.data.table_rows import TableRow
from heedful.data.validation_split import validation_rows
from heedful.errors import DataError
from heedful.tasks.readers.base import (
    InputFile,
    OutputFormat,
    Part,
    Reader,
    Rows,
    Stream,
    TextFiles,
)


class AudioData(TextFiles):
    """Where the recordings come from, and how they are cut into frames."""

    train: tuple[str, ...] = Field(
        (),
        description="Folders with a folder of recordings per label; tables (.csv, .tsv, .jsonl) or manifests (.json) "
        'with a column of paths; Kaldi folders; or "builtin:tones".',
    )
    valid: tuple[str, ...] = Field((), description="Validation recordings, given in the same way.")
    valid_share: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Without validation recordings: the share of the training recordings that is cut off for it. 0: "
        "validate on the training recordings, to train a final model on all of them.",
    )
    valid_seed: int = Field(0, ge=0, description="Which recordings are cut off.")
    audio: str = Field(
        "",
        description="Column of the paths, relative to the table; empty: audio, audio_filepath, file_name, path or "
        "file.",
    )
    offset: str = Field(
        "",
        description="Column of the seconds at which a recording begins in its file; of NeMo manifests offset.",
    )
    duration: str = Field("", description="Column of its seconds; of NeMo manifests duration.")
    speaker: str = Field(
        "",
        description='Column of who speaks, for features.normalize = "speaker"; of Kaldi folders spk. Recordings in '
        "a folder, or in a table without this column, count as one person's.",
    )
    rate: int = Field(
        16_000, ge=1_000, le=192_000, description="Samples per second; others are resampled to it."
    )
    channel: int = Field(
        0, ge=0, description="Channel that is read, from 1; 0: the mean of all channels."
    )
    window: float = Field(25.0, gt=0, description="Milliseconds of a frame.")
    shift: float = Field(10.0, gt=0, description="Milliseconds from one frame to the next.")
    snip_edges: bool = Field(
        True,
        description="Only frames that lie within the recording; otherwise one per shift, the edges reflected.",
    )
    max_length: int = Field(
        3_000, ge=1, description="Longer training recordings, in frames, are left out."
    )
    skip_bad: bool = Field(
        False,
        description="Leave out recordings that cannot be read, are too short or have no answer, which are an error "
        "otherwise; the run lists them in skipped.txt.",
    )

    @property
    def answer(self) -> str:
        """The column of the answers."""
        return ""

    def framing(self) -> Framing:
        """Return how samples are cut into frames."""
        return Framing(
            rate=self.rate, window=self.window, shift=self.shift, snip_edges=self.snip_edges
        )

    def columns(self, kind: Kind) -> AudioColumns:
        """Return how tables are read."""
        return AudioColumns(
            audio=self.audio,
            answer=self.answer,
            kind=kind,
            separator=getattr(self, "separator", ""),
            offset=self.offset,
            duration=self.duration,
            speaker=self.speaker,
            begin=getattr(self, "begin", "start"),
            end=getattr(self, "end", "end"),
            background=getattr(self, "background", BACKGROUND),
            channel=self.channel,
            encoding=self.encoding,
            skip_bad=self.skip_bad,
        )


class AudioReader(Reader):
    """Reads recordings, each with an answer.

    Args:
        kind: what the answer is.
    """

    reads_lines = False
    reads_folders = True
    skips_inputs = True
    takes_files = True
    train_hint = "--train FOLDER, FILE.csv, or --train builtin:tones"
    test_hint = "a folder or a table"
    input_hint = "the name of a recording, or an array of samples"

    def __init__(self, kind: Kind):
        self.kind = kind

    def builtin(self, name: str, data: Any, part: Part) -> Recordings:
        from heedful.data.builtin import load_builtin_audio

        corpus = load_builtin_audio(name)
        return corpus.recordings(part, self.kind, data.framing())

    def read_files(self, paths: Sequence[str], data: Any, part: Part) -> Recordings:
        return read_audio(paths, data.columns(self.kind), data.framing())

    def check_split(self) -> None:
        """A share of the recordings is cut off."""

    def split(self, train: Recordings, data: Any) -> tuple[Recordings, Recordings]:
        """Cut validation recordings off, drawn by `data.valid_seed`; of labels a share of each."""
        if not data.valid_share:
            return train, train
        rest, chosen = validation_rows(
            train,
            data.valid_share,
            data.valid_seed,
            f"{len(train)} recordings are too few to cut a share of {data.valid_share} off for validation; give more, "
            "or --valid.",
            train.labels() if self.kind == "label" else None,
            data.answer,
        )
        return Recordings(train.take(rest).rows, train.name, train.skipped), train.take(chosen)

    def from_rows(self, rows: Rows, data: Any, name: str) -> Recordings:
        return recordings_of_rows(rows, data.columns(self.kind), data.framing(), name)

    def input_of_row(self, row: Mapping[str, Any], data: Any, name: str) -> Clip:
        return clip_of_mapping(
            TableRow(Path(name), None, "", row), data.columns("none"), data.framing()
        )

    def to_input(self, given: Any, data: Any, name: str) -> Any:
        if isinstance(given, str | Path):
            return self.parse(str(given), data)
        if isinstance(given, Mapping | Clip):
            return super().to_input(given, data, name)
        return clip_of_samples(given, data.rate, data.columns("none"), data.framing(), name)

    def to_inputs(self, given: Iterable[Any], data: Any) -> list[Any]:
        """Return recordings, of which those whose rows name the same speaker know each other."""
        rows = list(given)
        clips = super().to_inputs(rows, data)
        if not data.speaker:
            return clips
        named = [place for place, row in enumerate(rows) if _speaker(row, data) is not None]
        known = with_voices((clips[place], _speaker(rows[place], data)) for place in named)
        for place, clip in zip(named, known, strict=True):
            clips[place] = clip
        return clips

    def from_json(self, given: Any, data: Any, name: str) -> Any:
        """Return the recording of samples, which JSON cannot tell the width of: numbers from -1 to 1."""
        clip = super().from_json(_as_floats(given), data, name)
        if isinstance(clip, Clip) and clip.wave is not None and abs(clip.wave).max() > 1:
            raise DataError(f"{name} has samples beyond 1; divide them by the largest value.")
        if isinstance(clip, Clip) and not clip.frames:
            raise DataError(
                f"{name} has {clip.seconds * 1000:.3g} ms, too short for a frame of {data.window:g} ms; give more."
            )
        return clip

    def check_input(self, given: Any, name: str) -> Clip:
        if isinstance(given, Clip):
            return given
        raise self.wrong_input(given, name)

    def parse(self, text: str, data: Any) -> Clip:
        """Return the recording in a file."""
        path = Path(text)
        row = TableRow(path, None, "", {"audio": path.name})
        columns = data.columns("none")
        return clip_of_row(
            row, AudioColumns(audio="audio", channel=columns.channel), data.framing()
        )

    def to_argument(self, example: Clip) -> str:
        return "RECORDING" if example.path is None else str(example.path)

    def to_json(self, example: Clip) -> dict[str, Any]:
        return {"audio": example.name, "seconds": round(example.seconds, 3)}

    def stream(self, source: InputFile, data: Any, output: OutputFormat) -> Stream:
        columns = data.columns("none")
        if self.kind == "frames":
            return _SegmentStream(source.path, data, columns, output)
        if self.kind == "text" and output.nbest > 1:
            return _NBestStream(source.path, data, columns, output)
        return _AudioStream(source.path, data, columns, output)


def _speaker(row: Any, data: Any) -> object:
    """Who speaks in a recording given in Python; None where that is not said."""
    return row.get(data.speaker) if isinstance(row, Mapping) else None


class _AudioStream(Stream):
    """The recordings of a file, a table or a folder, one line each."""

    unit = "recordings"

    def __init__(self, path: Path, data: Any, columns: AudioColumns, output: OutputFormat):
        self.path, self.framing, self.columns, self.output = path, data.framing(), columns, output
        self.background = columns.background
        self.skipped: list[str] = []

    def items(self) -> Iterator[Clip]:
        if not self.columns.speaker:
            yield from (clip for clip, _ in self._clips())
        else:  # how a speaker sounds is known when all recordings are
            yield from with_voices(self._clips())

    def _clips(self) -> Iterator[tuple[Clip, object]]:
        """Yield the recordings with their speakers."""
        for row in list_rows(self.path, self.columns):
            try:
                clip = clip_of_row(row, self.columns, self.framing)
            except BadRecordingError as error:
                if not self.columns.skip_bad:
                    raise
                self.skipped.append(str(error))
            else:
                yield clip, row.fields.get(self.columns.speaker)

    def input(self, item: Clip) -> Clip:
        return item

    def header(self) -> str:
        return "\t".join(["audio", *self.output.columns]) + "\n"

    def format(
        self, item: Clip, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        shown = (f"{each:.6g}" if isinstance(each, float) else _joined(each) for each in cells)
        return "\t".join([_listed(item), *shown]) + "\n"

    def to_json(self, item: Clip, number: int) -> dict[str, Any]:
        return {"audio": _listed(item)}


class _SegmentStream(_AudioStream):
    """Of each recording the segments of equal labels, a line each."""

    def header(self) -> str:
        return "\t".join(["audio", "start", "end", *self.output.columns]) + "\n"

    def format(
        self, item: Clip, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        segments = merge_frames(item.framing, cells[0], self.background)
        return "".join(
            f"{_listed(item)}\t{each.begin:g}\t{each.end:g}\t{each.label}\n" for each in segments
        )


class _NBestStream(_AudioStream):
    """Of each recording the best transcripts, a line each."""

    def header(self) -> str:
        return "\t".join(["audio", "score", *self.output.columns]) + "\n"

    def format(
        self, item: Clip, number: int, values: Mapping[str, Any], cells: Sequence[Any]
    ) -> str:
        return "".join(
            f"{_listed(item)}\t{each['score']:.4f}\t{each['text']}\n"
            for each in values["transcripts"]
        )


def _as_floats(given: Any) -> Any:
    """Return JSON with its whole numbers as floats, which are not taken for samples of 64 bits."""
    if isinstance(given, list):
        return [_as_floats(each) for each in given]
    if isinstance(given, Mapping):
        return {
            **given,
            **{
                key: _as_floats(each)
                for key, each in given.items()
                if isinstance(each, list | Mapping)
            },
        }
    return float(given) if type(given) is int else given


def _listed(clip: Clip) -> str:
    return clip.name if clip.path is None else str(clip.path)


def _joined(cell: Any) -> str:
    return " ".join(cell) if isinstance(cell, list | tuple) else str(cell)
