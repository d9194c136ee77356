"""Audio files: what their headers say, whether they are whole, and their samples."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful.errors import DataError, OptionError, count

Samples = NDArray[np.float32]
"""(samples,), in [-1, 1]."""

SUFFIXES: Final = frozenset(
    {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".sph", ".w64", ".caf"}
)
"""Extensions of files that are recordings."""
RATES: Final = range(1_000, 768_001)
"""Sample rates that are read."""
UNKNOWN_SIZES: Final = frozenset({0, 0x7FFF_FFFF, 0xFFFF_FFFF})
"""Sizes in a WAV header that programs write which do not know it in advance."""
_BLOCK: Final = 1 << 18
"""Samples that are read at once."""
INSTALL: Final = 'install it: pip install "heedful[audio]"'


class BadRecordingError(DataError):
    """A recording that cannot be used, or that has no answer; left out with `skip_bad`."""


class AudioInfo(NamedTuple):
    """What the header of a file says."""

    rate: int
    samples: int
    """Of each channel."""
    channels: int


def inspect(path: Path) -> AudioInfo:
    """Read the header of a file, and check that the file is whole.

    Of WAV files of integers the sizes are checked, everything else is decoded.

    Raises: BadRecordingError for a file that is missing, empty, of an unknown format, truncated or damaged, or whose
        sample rate is out of range; OptionError if soundfile is not installed.
    """
    if not path.is_file():
        what = "a folder, not a recording" if path.is_dir() else "no such file"
        raise BadRecordingError(f"{what}.", path=path)
    if not path.stat().st_size:
        raise BadRecordingError("the file is empty.", path=path)
    _check_whole(path)
    soundfile = _soundfile()
    try:
        header = soundfile.info(str(path))
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise _unreadable(path, error) from None
    info = AudioInfo(header.samplerate, header.frames, header.channels)
    if info.rate not in RATES:
        raise BadRecordingError(
            f"the sample rate is {info.rate} Hz; expected {RATES.start:,} to {RATES.stop - 1:,} Hz.",
            path=path,
        )
    if info.samples <= 0:
        raise BadRecordingError("the file holds no samples.", path=path)
    if header.format not in ("WAV", "WAVEX") or header.subtype[:4] != "PCM_":
        for _ in _blocks(path, 0, info.samples):
            pass
    return info


def decode(path: Path, start: int, stop: int, channel: int = 0) -> Samples:
    """Return the samples of a file from `start` to before `stop`, of one channel.

    Args:
        path: the file.
        start: the first sample.
        stop: the sample after the last.
        channel: from 1; 0: the mean of all.

    Raises: BadRecordingError for a file that is damaged, holds fewer samples, NaN or infinity, or lacks the channel.
    """
    blocks = [mixed(block, channel, path) for block in _blocks(path, start, stop)]
    return np.concatenate(blocks)


def _blocks(path: Path, start: int, stop: int) -> Iterator[NDArray[np.float32]]:
    """Yield the samples of a file, (samples, channels), in blocks: a damaged header may claim terabytes.

    Raises: BadRecordingError for a file that is damaged, holds fewer samples, NaN or infinity.
    """
    soundfile, at = _soundfile(), start
    try:
        with soundfile.SoundFile(str(path)) as file:
            file.seek(start)
            while at < stop:
                block = file.read(min(_BLOCK, stop - at), dtype="float32", always_2d=True)
                if not len(block):
                    break
                if not np.isfinite(block).all():
                    raise BadRecordingError(
                        "the samples hold NaN or infinity; write the file again.", path=path
                    )
                at += len(block)
                yield block
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise _unreadable(path, error) from None
    if at < stop:
        raise BadRecordingError(
            f"the file is truncated: {count(at - start, 'sample')} of {stop - start:,} can be read.",
            path=path,
        )


def mixed(samples: NDArray[np.float32], channel: int, path: Path) -> Samples:
    """Return one channel of (samples, channels), numbered from 1, or with 0 the mean of all."""
    check_channel(channel, samples.shape[1], path)
    if channel:
        return np.ascontiguousarray(samples[:, channel - 1])
    found: Samples = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    return np.ascontiguousarray(found)


def check_channel(channel: int, channels: int, path: Path) -> None:
    """Raise BadRecordingError for a channel that a recording lacks."""
    if channel > channels:
        raise BadRecordingError(
            f"data.channel is {channel}; the recording has {count(channels, 'channel')}.", path=path
        )


def resample(samples: Samples, rate: int, target: int) -> Samples:
    """Return samples at another rate: round(samples · target / rate) of them.

    Raises: OptionError if soxr is not installed.
    """
    if rate == target:
        return samples
    try:
        import soxr
    except ImportError:
        raise OptionError(f"resampling needs the package soxr; {INSTALL}") from None
    wanted = resampled_length(len(samples), rate, target)
    made: Samples = soxr.resample(samples, rate, target)[:wanted]
    return np.pad(made, (0, wanted - len(made)))


def resampled_length(samples: int, rate: int, target: int) -> int:
    """Return the number of samples after resampling.

    >>> resampled_length(44_100, 44_100, 16_000)
    16000
    """
    return (samples * target + rate // 2) // rate


def _soundfile() -> ModuleType:
    try:
        import soundfile
    except ImportError:
        raise OptionError(f"reading audio needs the package soundfile; {INSTALL}") from None
    except OSError as error:  # the library libsndfile
        raise OptionError(f"soundfile cannot be used ({error}); {INSTALL}") from None
    module: ModuleType = soundfile
    return module


def _unreadable(path: Path, error: Any) -> BadRecordingError:
    reason = str(error).rpartition(": ")[2].strip().rstrip(".") or type(error).__name__
    return BadRecordingError(
        f"cannot be read as audio ({reason}); convert it to WAV or FLAC, or remove it.", path=path
    )


def _check_whole(path: Path) -> None:
    """Raise BadRecordingError for a WAV file with fewer bytes of samples than its header says.

    libsndfile reads such a file without a word.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return
        size = path.stat().st_size
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", chunk)
            left = size - file.tell()
            if name == b"data":
                if length not in UNKNOWN_SIZES and left < length:
                    raise BadRecordingError(
                        f"the file is truncated: {left:,} of {length:,} bytes of samples are there; copy it again, or "
                        "remove it.",
                        path=path,
                    )
                return
            file.seek(length + length % 2, 1)
