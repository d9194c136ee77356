"""`heedful predict --timestamps`: the words of transcripts with their times, as TextGrid, CTM or SRT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heedful.data.timings import TIMING_FORMATS, TimedText
from heedful.errors import OptionError, unknown_choice

if TYPE_CHECKING:
    from heedful.answers.transcript import Transcript

SUFFIXES: Final = {"textgrid": ".TextGrid", "ctm": ".ctm", "srt": ".srt"}
JSON: Final = "json"
"""Words with times in the objects of `--json`."""
ONE_RECORDING: Final = ("textgrid", "srt")
"""Formats of which a file holds one recording."""


def timestamps_writer(name: str | None, folder: Path | None, *, json: bool) -> Timestamps | None:
    """Return what writes words with times; None if that is not asked for, or they are in the JSON output.

    Raises: OptionError for an unknown format, or one that has no effect.
    """
    if name is None:
        if folder is not None:
            raise OptionError("--timestamps-folder needs a format; add --timestamps textgrid")
        return None
    if name not in (JSON, *TIMING_FORMATS):
        raise unknown_choice("--timestamps", name, (JSON, *TIMING_FORMATS))
    if name == JSON:
        if not json or folder is not None:
            raise OptionError("--timestamps json is for --json; choose ctm, textgrid or srt")
        return None
    if json and folder is None:
        raise OptionError(
            f"--timestamps {name} has no effect on --json; use --timestamps json, or name a folder with "
            "--timestamps-folder"
        )
    return Timestamps(name, folder)


class Timestamps:
    """Collects words with times and writes them, to standard output or to one file a recording.

    Args:
        name: the format.
        folder: of the files; None: standard output.

    """

    def __init__(self, name: str, folder: Path | None):
        self.name, self.folder = name, folder
        self.written: list[str] = []

    @property
    def on_output(self) -> bool:
        """Whether they are written to standard output, in place of the predictions."""
        return self.folder is None

    def text(self, item: Any, transcript: Transcript) -> str:
        """Return what to write to standard output of one recording; empty if it is written to a file.

        Raises: OptionError for a second recording of a format whose files hold one.
        """
        if self.on_output and self.written and self.name in ONE_RECORDING:
            raise OptionError(
                f"a {self.name} file holds one recording; write one file for each with --timestamps-folder FOLDER"
            )
        words = [
            word._replace(start=min(word.start, item.seconds), end=min(word.end, item.seconds))
            for word in transcript.words or ()
        ]
        name = item.name if item.path is None else item.path.name
        shown = TIMING_FORMATS[self.name]([TimedText(name, item.seconds, words)])
        if self.folder is None:
            self.written.append(name)
            return shown
        path = self.folder / f"{Path(name).stem}{SUFFIXES[self.name]}"
        if str(path) in self.written:
            path = path.with_stem(f"{path.stem}-{len(self.written) + 1}")
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(shown, encoding="utf-8")
        self.written.append(str(path))
        return ""
