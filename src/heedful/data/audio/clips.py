"""Recordings with their answers, and datasets of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from heedful.data.audio.cache import FeatureCache
from heedful.data.audio.fbank import Framing
from heedful.data.audio.files import Samples, decode, resample, resampled_length
from heedful.data.dataset import Dataset
from heedful.errors import DataError

_ENDS: Final = 1 << 16
"""Bytes at the beginning and at the end of a file that identify it, with its size."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A recording, or a part of one, as an input: samples are read when they are needed.

    >>> clip = Clip.of(np.zeros(8000, np.float32), 8000, Framing(rate=16_000))
    >>> clip.seconds, clip.frames
    (1.0, 98)
    """

    rate: int
    """Samples per second of the file."""
    samples: int
    """Their number, at that rate."""
    framing: Framing
    """How the model cuts frames; `read` resamples to its rate."""
    path: Path | None = None
    start: int = 0
    """First sample of the file."""
    channel: int = 0
    """From 1; 0: the mean of all."""
    wave: Samples | None = field(default=None, repr=False)
    """The samples, without a file."""
    cache: FeatureCache | None = field(default=None, repr=False)
    """Where features of this recording are kept."""
    label: str = ""
    """What a recording without a file is called."""
    voice: Voice | None = field(default=None, repr=False)
    """Who speaks, where recordings are normalized by speaker."""

    @classmethod
    def of(cls, samples: Any, rate: int, framing: Framing, label: str = "samples") -> Clip:
        """Return a clip of samples in memory, (samples,) in [-1, 1]."""
        wave = np.ascontiguousarray(samples, dtype=np.float32)
        return cls(rate, len(wave), framing, wave=wave, label=label)

    @property
    def name(self) -> str:
        """The name of the file, with the part that is read."""
        if self.path is None:
            return self.label
        part = f" from {self.start / self.rate:.2f} s" if self.start else ""
        return f"{self.path.name}{part}"

    @property
    def seconds(self) -> float:
        """The duration."""
        return self.samples / self.rate

    @property
    def frames(self) -> int:
        """The number of frames."""
        return self.framing.frames(resampled_length(self.samples, self.rate, self.framing.rate))

    def read(self) -> Samples:
        """Return the samples at the rate of the model, in [-1, 1].

        Raises: BadRecordingError for a file that is damaged or gone.
        """
        if self.wave is not None:
            samples = self.wave
        else:
            assert self.path is not None
            samples = decode(self.path, self.start, self.start + self.samples, self.channel)
        return resample(samples, self.rate, self.framing.rate)

    @cached_property
    def fingerprint(self) -> str:
        """What identifies the samples: the size of the file, its first and last 64 KiB, and the part that is read."""
        digest = hashlib.blake2b(digest_size=16)
        if self.wave is not None:
            digest.update(self.wave.tobytes())
        elif self.path is not None:
            size = self.path.stat().st_size
            with self.path.open("rb") as file:
                digest.update(file.read(_ENDS))
                file.seek(max(0, size - _ENDS))
                digest.update(file.read(_ENDS))
            digest.update(str(size).encode())
        part = (self.start, self.samples, self.channel, self.rate)
        return f"{digest.hexdigest()} {part} {self.framing}"


@dataclass(frozen=True, eq=False)
class Voice:
    """A speaker: all recordings of one person in a list."""

    name: object
    """None where the list does not say who speaks."""
    clips: list[Clip] = field(default_factory=list)


def with_voices(clips: Iterable[tuple[Clip, object]]) -> list[Clip]:
    """Return clips that know the others of their speaker, from clips with the names of their speakers.

    >>> one, two = (Clip.of(np.zeros(800), 8000, Framing(rate=8000)) for _ in range(2))
    >>> [len(clip.voice.clips) for clip in with_voices([(one, "ann"), (two, "ann")])]
    [2, 2]
    """
    voices: dict[object, Voice] = {}
    found = []
    for clip, speaker in clips:
        voice = voices.setdefault(speaker, Voice(speaker))
        found.append(replace(clip, voice=voice))
        voice.clips.append(clip)
    return found


@dataclass(frozen=True, eq=False)
class Recording:
    """A clip with its answer and where it is listed."""

    clip: Clip
    answer: Any = ()
    """One label or several, a number as text, or a label per frame, as a tuple; a transcript as a string."""
    path: Path | None = None
    """The table, folder or file that lists it."""
    line: int | None = None

    def error(self, message: str) -> DataError:
        """Return an error about this recording."""
        return DataError(f"{self.clip.name}: {message}", path=self.path, line=self.line)


def recordings_with_voices(
    rows: Sequence[Recording], speakers: Sequence[object]
) -> list[Recording]:
    """Return recordings whose clips know the others of their speaker."""
    clips = with_voices(zip([each.clip for each in rows], speakers, strict=True))
    return [replace(each, clip=clip) for each, clip in zip(rows, clips, strict=True)]


@dataclass(frozen=True)
class Recordings(Dataset):
    """Recordings of one or several files, in order."""

    rows: Sequence[Recording]
    name: str = "recordings"
    skipped: Sequence[str] = ()
    example: ClassVar[str] = "recording"

    @property
    def inputs(self) -> list[Clip]:
        """The clips."""
        return [each.clip for each in self.rows]

    @property
    def answers(self) -> list[Any]:
        """The answer of each recording."""
        return [each.answer for each in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Sequence[int]) -> Recordings:
        return Recordings([self.rows[row] for row in rows], self.name)

    def cached_in(self, folder: Path) -> Recordings:
        """Return these recordings with their features kept in a folder."""
        cache = FeatureCache(folder)
        rows = [replace(each, clip=replace(each.clip, cache=cache)) for each in self.rows]
        return Recordings(rows, self.name, self.skipped)

    def texts(self) -> Sequence[Sequence[str]]:
        answers = [a if isinstance(a, str) else "\n".join(a) for a in self.answers]
        return [each.fingerprint for each in self.inputs], answers

    def input_of_length(self, length: int) -> Clip:
        first = self.inputs[0]
        wanted = first.framing.samples(length)
        samples = np.concatenate([first.read(), *(each.read() for each in self.inputs[1:10])])
        return Clip.of(np.resize(samples, wanted), first.framing.rate, first.framing)

    def labels(self) -> list[tuple[str, ...]]:
        return [() if isinstance(each, str) else each for each in self.answers]

    def showcase(self, count: int) -> list[Clip]:
        return sorted(self.inputs, key=lambda clip: clip.samples)[:count]

    def error(self, row: int, message: str, position: int = 0) -> DataError:
        return self.rows[row].error(message)
